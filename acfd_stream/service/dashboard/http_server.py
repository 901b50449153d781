"""The metrics port: Prometheus metrics and the status page, over plain read-only HTTP.

| path | content |
|---|---|
| ``/`` | the page, with its scripts and styles |
| ``/streams.json`` | its data |
| ``/streams/ID/overlay.jpg`` | the last frame of a stream whose client allows a preview |
| ``/callers.json`` | what each caller holds; needs a token with the right "admin", or else a loopback address |
| ``/metrics`` | Prometheus metrics |
| ``/healthz`` | 200 while the service accepts streams |

Anyone who reaches the port sees the names of all streams. By default it listens on this machine only.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import unquote, urlsplit

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from acfd_stream.errors import ConfigError
from acfd_stream.service.dashboard.metric_samples import STEP_SECONDS, Samples
from acfd_stream.service.dashboard.page_data import PageData, ServiceInfo
from acfd_stream.service.streams.registry import StreamRegistry

MOST_REQUESTS = 16
"""Maximum concurrent requests; one more gets 503."""
REQUEST_SECONDS = 5.0
"""Timeout to read a request or write its response."""
DATA_SECONDS = 0.5
"""Maximum age of the page's data."""
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGE = {
    "/": "index.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/charts.js": "charts.js",
    "/icon.svg": "icon.svg",
}
_BASE_STYLES = resources.files("acfd_stream.outputs.report").joinpath("page", "base.css")
_log = logging.getLogger(__name__)

Answer = tuple[HTTPStatus, str, bytes]
"""Status, Content-Type, body."""


class DashboardServer:
    """Serves metrics and the page between ``start`` and ``close``; a context manager.

    Args:
        address: HOST:PORT; port 0: a free one. On a loopback address the Host header must be local too, so that no
            website can read the page through a browser on this machine.
        registry: the streams, and the metrics that are scraped.
        service: facts that do not change while the service runs.
        state: returns "starting", "serving" or "draining".
        samples: of the metrics over time; None: its own.
        callers: the answer of ``/callers.json``, from the Authorization header and whether the port is local; None:
            there is no such page.

    Raises:
        ConfigError: the address cannot be bound.
    """

    def __init__(
        self,
        address: str,
        registry: StreamRegistry,
        service: ServiceInfo,
        state: Callable[[], str],
        samples: Samples | None = None,
        callers: Callable[[str, bool], Answer] | None = None,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double every counter, and are not used
        self._registry = registry
        self._state = state
        self._callers = callers
        self._samples = samples or Samples(registry.metrics)
        self._page = PageData(registry, self._samples, service, state)
        self._files = {path: _page_file(name) for path, name in _PAGE.items()}
        self._files["/page.css"] = _BASE_STYLES.read_bytes() + self._files["/page.css"]
        self._data_lock = threading.Lock()
        self._cached: tuple[float, bytes] | None = None  # time, the page's data
        self._stopped = threading.Event()
        host, _, port = address.rpartition(":")
        self._is_local = _is_loopback(host.strip("[]"))
        try:
            self._server = _Server(host.strip("[]"), int(port), partial(_Handler, self.answer))
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(f"metrics cannot listen on {address}: {error}") from error
        self._process = ProcessCollector(registry=registry.metrics.registry)  # memory, CPU time and open files
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.1,), name="acfd-monitor", daemon=True),
            threading.Thread(target=self._sample, name="acfd-samples", daemon=True),
        ]

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> DashboardServer:
        """Start the server and the sampling."""
        for thread in self._threads:
            thread.start()
        host = str(self._server.server_address[0])
        _log.info("page and metrics on http://%s:%d/", f"[{host}]" if ":" in host else host, self.port)
        return self

    def close(self) -> None:
        """Stop; a second call does nothing."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._threads[0].is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._registry.metrics.registry.unregister(self._process)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def __enter__(self) -> DashboardServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def answer(self, path: str, host: str, accept: str, authorization: str = "") -> Answer:
        """The response to a GET of ``path``.

        Args:
            path: may have a query, which is ignored.
            host: the Host header.
            accept: the Accept header.
            authorization: the Authorization header.
        """
        if self._is_local and _host_name(host) not in _LOCAL_NAMES:
            return _plain(HTTPStatus.FORBIDDEN, "this port answers to localhost only")
        path = urlsplit(path).path
        if path in self._files:
            kind = _KINDS[_PAGE[path].rpartition(".")[2]]
            return HTTPStatus.OK, f"{kind}; charset=utf-8", self._files[path]
        if path == "/metrics":
            return _scraped(self._registry.metrics.registry, accept)
        if path == "/streams.json":
            return HTTPStatus.OK, "application/json", self._data()
        if path == "/callers.json" and self._callers is not None:
            return self._callers(authorization, self._is_local)
        if path == "/healthz":
            state = self._state()
            return _plain(HTTPStatus.OK if state == "serving" else HTTPStatus.SERVICE_UNAVAILABLE, state)
        if path.startswith("/streams/") and path.endswith("/overlay.jpg"):
            return self._overlay(unquote(path.removeprefix("/streams/").removesuffix("/overlay.jpg")))
        return _plain(HTTPStatus.NOT_FOUND, "no such page")

    def _data(self) -> bytes:
        """The page's data, at most ``DATA_SECONDS`` old, shared by all viewers."""
        with self._data_lock:
            now = time.monotonic()
            if self._cached is None or now - self._cached[0] >= DATA_SECONDS:
                self._cached = (now, json.dumps(self._page.data(), allow_nan=False).encode())
            return self._cached[1]

    def _overlay(self, stream_id: str) -> Answer:
        stream = self._registry.stream(stream_id)
        if stream is None or stream.overlay is None:
            return _plain(HTTPStatus.NOT_FOUND, "no such stream, or its preview is off")
        picture = stream.overlay.jpeg()
        if picture is None:
            return HTTPStatus.NO_CONTENT, "image/jpeg", b""  # the preview starts with this request; no frame yet
        return HTTPStatus.OK, "image/jpeg", picture

    def _sample(self) -> None:
        while not self._stopped.is_set():
            self._samples.take()
            self._stopped.wait(STEP_SECONDS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, host: str, port: int, handler: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free = threading.Semaphore(MOST_REQUESTS)
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        request.settimeout(0.1)
        with contextlib.suppress(OSError):
            request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a client of the metrics port disconnected", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One request, answered by ``answer_to``."""

    timeout = REQUEST_SECONDS
    server_version = "acfd_stream"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def __init__(self, answer_to: Callable[..., Answer], *arguments: Any) -> None:
        self.answer_to = answer_to
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self._reply(has_body=True)

    def do_HEAD(self) -> None:
        self._reply(has_body=False)

    def _reply(self, has_body: bool) -> None:
        try:
            headers = (self.headers.get(name, "") for name in ("Host", "Accept", "Authorization"))
            answer = self.answer_to(self.path, *headers)
        except Exception:
            _log.exception("the metrics port failed on %s", self.path[:200])
            answer = _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; see the log of the service")
        status, kind, body = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():  # for protocol errors too
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("metrics port: " + format, *args)


def _scraped(registry: CollectorRegistry, accept: str) -> Answer:
    encode, kind = choose_encoder(accept)
    return HTTPStatus.OK, kind, encode(registry)


def _plain(status: HTTPStatus, text: str) -> Answer:
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()


def _page_file(name: str) -> bytes:
    return resources.files("acfd_stream.service.dashboard").joinpath("page", name).read_bytes()


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
