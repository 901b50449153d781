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

import ipaddress
import json
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from importlib import resources
from urllib.parse import unquote, urlsplit

from prometheus_client import ProcessCollector, disable_created_metrics

from acfd_stream.errors import ConfigError
from acfd_stream.service.dashboard.http_request import Answer, Later, Scrapes, open_connections, plain
from acfd_stream.service.dashboard.metric_samples import STEP_SECONDS, Samples
from acfd_stream.service.dashboard.page_data import PageData, ServiceInfo
from acfd_stream.service.streams.registry import StreamRegistry

DATA_SECONDS = 0.5
"""Maximum age of the page's data."""
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
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
        self._scrapes = Scrapes(registry.metrics.registry)
        self._stopped = threading.Event()
        host, _, port = address.rpartition(":")
        self._is_local = is_loopback(host.strip("[]"))
        try:
            self._connections = open_connections(host.strip("[]"), int(port), self.answer)
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(f"metrics cannot listen on {address}: {error}") from error
        self._process = ProcessCollector(registry=registry.metrics.registry)  # memory, CPU time and open files
        self._sampling = threading.Thread(target=self._sample, name="acfd-samples", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._connections.address[1]

    def start(self) -> DashboardServer:
        """Start the server and the sampling."""
        self._connections.start()
        self._sampling.start()
        host = self._connections.address[0]
        _log.info("page and metrics on http://%s:%d/", f"[{host}]" if ":" in host else host, self.port)
        return self

    def close(self) -> None:
        """Stop; a second call does nothing."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._scrapes.close()
        self._connections.close()
        self._registry.metrics.registry.unregister(self._process)
        if self._sampling.is_alive():
            self._sampling.join()

    def __enter__(self) -> DashboardServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def answer(self, path: str, host: str, accept: str, authorization: str) -> Answer | Later:
        """The response to a GET of ``path``, or what makes it in a thread.

        Args:
            path: may have a query, which is ignored.
            host: the Host header.
            accept: the Accept header.
            authorization: the Authorization header.
        """
        if self._is_local and _host_name(host) not in _LOCAL_NAMES:
            return plain(HTTPStatus.FORBIDDEN, "this port answers to localhost only")
        try:
            path = urlsplit(path).path
        except ValueError:
            return plain(HTTPStatus.BAD_REQUEST, "the path is not valid")
        if path in self._files:
            kind = _KINDS[_PAGE[path].rpartition(".")[2]]
            return HTTPStatus.OK, f"{kind}; charset=utf-8", self._files[path]
        if path == "/metrics":
            return partial(self._scrapes.answer, accept, time.monotonic())
        if path == "/streams.json":
            return self._data
        if path == "/callers.json" and self._callers is not None:
            return partial(self._callers, authorization, self._is_local)
        if path == "/healthz":
            state = self._state()
            return plain(HTTPStatus.OK if state == "serving" else HTTPStatus.SERVICE_UNAVAILABLE, state)
        if path.startswith("/streams/") and path.endswith("/overlay.jpg"):
            return partial(self._overlay, unquote(path.removeprefix("/streams/").removesuffix("/overlay.jpg")))
        return plain(HTTPStatus.NOT_FOUND, "no such page")

    def _data(self) -> Answer:
        """The page's data, at most ``DATA_SECONDS`` old, shared by all viewers."""
        with self._data_lock:
            now = time.monotonic()
            if self._cached is None or now - self._cached[0] >= DATA_SECONDS:
                self._cached = (now, json.dumps(self._page.data(), allow_nan=False).encode())
            return HTTPStatus.OK, "application/json", self._cached[1]

    def _overlay(self, stream_id: str) -> Answer:
        stream = self._registry.stream(stream_id)
        if stream is None or stream.overlay is None:
            return plain(HTTPStatus.NOT_FOUND, "no such stream, or its preview is off")
        picture = stream.overlay.jpeg()
        if picture is None:
            return HTTPStatus.NO_CONTENT, "image/jpeg", b""  # the preview starts with this request; no frame yet
        return HTTPStatus.OK, "image/jpeg", picture

    def _sample(self) -> None:
        while not self._stopped.is_set():
            self._samples.take()
            self._stopped.wait(STEP_SECONDS)


def _page_file(name: str) -> bytes:
    return resources.files("acfd_stream.service.dashboard").joinpath("page", name).read_bytes()


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
