"""The standard health service and reflection of a server. Their methods run on the event loop, and never block."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
MOST_WATCHERS = 8
"""Maximum concurrent calls of Watch on one connection. One more gets RESOURCE_EXHAUSTED."""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # generated code has no types
    """grpc.health.v1 of the whole server ("") and of each of its services: NOT_SERVING until ``serve``.

    grpc_health's own servicer would not save lines here: it has no List, no bound on watchers, no message for an
    unknown service, and it leaves watchers connected when the server drains.

    Example:
        >>> health = Health([service_name])
        >>> health.add_to(server)
        >>> health.serve()              # after the warm-up
        >>> health.drain()              # NOT_SERVING for good; calls of Watch get the status, then end
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._statuses = dict.fromkeys(("", *services), _NOT_SERVING)
        self._is_draining = False
        self._watchers: dict[Any, str] = {}  # context of each call of Watch → its connection

    def add_to(self, server: Any) -> None:
        """Register with ``server``."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    @property
    def is_serving(self) -> bool:
        """Whether the server reports SERVING."""
        with self._lock:
            return bool(self._statuses[""] == _SERVING)

    def serve(self) -> None:
        """Report SERVING, unless the server drains already."""
        with self._lock:
            if not self._is_draining:
                self._statuses = dict.fromkeys(self._statuses, _SERVING)
        self._wake()

    def drain(self) -> None:
        """Report NOT_SERVING for good. Calls of Watch get it and end, so that they do not delay the stop."""
        with self._lock:
            self._is_draining = True
            self._statuses = dict.fromkeys(self._statuses, _NOT_SERVING)
        self._wake()

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  # names are the protocol's
        """The status of one service."""
        with self._lock:
            status = self._statuses.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The status of every service."""
        with self._lock:
            statuses = dict(self._statuses)
        answers = {name: health_pb2.HealthCheckResponse(status=status) for name, status in statuses.items()}
        return health_pb2.HealthListResponse(statuses=answers)

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """The status of one service now and after each change."""
        connection = context.peer()
        with self._lock:
            if sum(other == connection for other in self._watchers.values()) >= MOST_WATCHERS:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} callers watch already")
            self._watchers[context] = connection
        try:
            yield from self._watched(request.service, context)
        finally:
            with self._lock:
                del self._watchers[context]

    def _watched(self, service: str, context: Any) -> Iterator[Any]:
        while True:
            with self._lock:
                status, is_last = self._statuses.get(service, _UNKNOWN), self._is_draining
            context.step_when(partial(self._has_news, service, status))
            yield health_pb2.HealthCheckResponse(status=status)
            if is_last or self._statuses.get(service, _UNKNOWN) == status:
                return

    def _has_news(self, service: str, seen: int) -> bool:
        return self._is_draining or self._statuses.get(service, _UNKNOWN) != seen

    def _wake(self) -> None:
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.wake()


def add_reflection(server: Any, services: Sequence[str]) -> None:
    """Add server reflection: tools can list the methods and messages of ``server``."""
    reflection.enable_server_reflection([*services, HEALTH_SERVICE, reflection.SERVICE_NAME], server)
