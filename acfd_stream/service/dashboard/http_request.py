"""One HTTP request: parses its head, and collects its response; and the metrics that requests share."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from acfd_stream.service.dashboard.http_connections import Chunks, HttpConnections

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SCRAPE_REST = 3  # times the duration of the last scrape, before the next
_BACKLOG = 128  # connections that wait to be accepted
_log = logging.getLogger(__name__)

Answer = tuple[HTTPStatus, str, bytes]
"""Status, Content-Type, body."""
Later = Callable[[], Answer]
AnswerTo = Callable[[str, str, str, str], Answer | Later]
"""Gets the path of a request, and its headers Host, Accept and Authorization."""


def open_connections(host: str, port: int, answer_to: AnswerTo) -> HttpConnections:
    """A server on ``host`` and ``port`` that answers GET and HEAD; it must be started.

    Args:
        host: a name or an address.
        port: 0: a free one.
        answer_to: returns the answer to a request, or what makes it in a thread.

    Raises:
        OSError: the address cannot be bound.
        OverflowError: the port is not in 0 … 65535.
    """
    return HttpConnections(_listener(host, port), partial(_respond, answer_to))


def _respond(answer_to: AnswerTo, head: bytes, is_cut: bool) -> Chunks | Callable[[], Chunks]:
    request = _Request(answer_to, head, is_cut)
    return request.chunks if request.later is None else request.finish_later


class Scrapes:
    """The metrics of a registry in the formats of Prometheus. Requests that wait share one scrape: it takes tens of ms.

    Any number of clients cause at most a quarter of a core.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._bodies: dict[str, tuple[float, bytes]] = {}  # by kind: begin, metrics
        self._next_at = 0.0
        self._closed = threading.Event()

    def answer(self, accept: str, asked_at: float) -> Answer:
        """The metrics as of ``asked_at`` (monotonic) or later, in the format of the Accept header."""
        encode, kind = choose_encoder(accept)
        with self._lock:
            began_at, body = self._bodies.get(kind, (-math.inf, b""))
            if began_at < asked_at:
                self._closed.wait(self._next_at - time.monotonic())
                began_at = time.monotonic()
                body = encode(self._registry)
                self._bodies[kind] = began_at, body
                ended_at = time.monotonic()
                self._next_at = ended_at + (ended_at - began_at) * _SCRAPE_REST
        return HTTPStatus.OK, kind, body

    def close(self) -> None:
        """Let no request wait any more."""
        self._closed.set()


class _Request(BaseHTTPRequestHandler):
    """One request, answered by ``answer_to``: parses a head that was read before, and collects the response."""

    server_version = "acfd_stream"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def __init__(self, answer_to: AnswerTo, head: bytes, is_cut: bool) -> None:
        self.answer_to = answer_to
        self.client_address = ("", 0)
        self.rfile = BytesIO(head)
        self.wfile = self._written = BytesIO()
        self.body = b""
        self.later: Later | None = None
        if is_cut:
            self.requestline, self.request_version, self.command = "", self.protocol_version, ""
            is_line = b"\n" not in head
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG if is_line else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            self.handle()

    @property
    def chunks(self) -> Chunks:
        """The response. Its body is not copied: many connections share that of ``/streams.json``."""
        return [self._written.getvalue(), self.body]

    def do_GET(self) -> None:
        host, accept, authorization = (self.headers.get(name, "") for name in ("Host", "Accept", "Authorization"))
        self._reply(partial(self.answer_to, self.path, host, accept, authorization))

    def do_HEAD(self) -> None:
        self.do_GET()

    def finish_later(self) -> Chunks:
        """The response of a request that is answered in a thread."""
        if self.later is not None:
            self._reply(self.later)
        return self.chunks

    def _reply(self, answer_to: Callable[[], Answer | Later]) -> None:
        try:
            answer = answer_to()
        except Exception:
            _log.exception("the metrics port failed on %s", self.path[:200])
            answer = plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; see the log of the service")
        if callable(answer):
            self.later = answer
            return
        status, kind, body = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.body = body

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():  # for protocol errors too
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("metrics port: " + format, *args)


def _listener(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:  # create_server would leave its socket open
        raise OverflowError("the port must be in 0 … 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def plain(status: HTTPStatus, text: str) -> Answer:
    """A line of text."""
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()
