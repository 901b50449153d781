"""A web server for tests of addresses: files with ranges, redirects, TLS, and servers that misbehave."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.service.certificates import Pair


@dataclass
class Site:
    """What a server gives, by path, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    answers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    """Functions that answer with the handler themselves."""
    has_ranges: bool = True
    sends: int | None = None
    """Bytes of a body after which the server hangs up."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.asked.append((self.path, dict(self.headers)))
        path = self.path.split("?")[0]
        if path in site.answers:
            site.answers[path](self)
        elif path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[path])
            self.end_headers()
        elif path not in site.files:
            self.send_error(404)
        else:
            self._send(path, site.files[path])

    def _send(self, path: str, data: bytes) -> None:
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or not self.site.has_ranges:
            body = data
            self.send_response(200)
        else:
            first = int(wanted[1])
            if first >= len(data):
                self.send_error(416)
                return
            body = data[first : int(wanted[2]) + 1 if wanted[2] else None]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.site.headers.get(path, {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: self.site.sends])

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no error here."""


@contextmanager
def serving(site: Site, pair: Pair | None = None, host: str = "localhost") -> Iterator[Site]:
    """``site`` on a free port of loopback, with TLS if there is a certificate; its ``url`` names ``host``."""
    with _Server(("127.0.0.1", 0), type("_Handler", (_Handler,), {"site": site})) as server:
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        site.url = f"http{'' if pair is None else 's'}://{host}:{server.server_port}"
        yield site
        server.shutdown()
        thread.join()
