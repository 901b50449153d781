"""The standard health service and reflection of a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
MOST_WATCHERS = 8
"""Maximum concurrent calls of Watch, each of which holds a thread. One more gets RESOURCE_EXHAUSTED."""
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
        self._changed = threading.Condition()
        self._statuses = dict.fromkeys(("", *services), _NOT_SERVING)
        self._is_draining = False
        self._watchers = 0

    def add_to(self, server: grpc.Server) -> None:
        """Register with ``server``."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    @property
    def is_serving(self) -> bool:
        """Whether the server reports SERVING."""
        with self._changed:
            return bool(self._statuses[""] == _SERVING)

    def serve(self) -> None:
        """Report SERVING, unless the server drains already."""
        with self._changed:
            if not self._is_draining:
                self._statuses = dict.fromkeys(self._statuses, _SERVING)
                self._changed.notify_all()

    def drain(self) -> None:
        """Report NOT_SERVING for good. Calls of Watch get it and end, so that they do not delay the stop."""
        with self._changed:
            self._is_draining = True
            self._statuses = dict.fromkeys(self._statuses, _NOT_SERVING)
            self._changed.notify_all()

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  # names are the protocol's
        """The status of one service."""
        with self._changed:
            status = self._statuses.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The status of every service."""
        with self._changed:
            statuses = dict(self._statuses)
        answers = {name: health_pb2.HealthCheckResponse(status=status) for name, status in statuses.items()}
        return health_pb2.HealthListResponse(statuses=answers)

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """The status of one service now and after each change."""
        with self._changed:
            if self._watchers >= MOST_WATCHERS:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} callers watch already")
            self._watchers += 1
        try:
            if context.add_callback(self._wake):
                yield from self._watched(request.service, context)
        finally:
            with self._changed:
                self._watchers -= 1

    def _watched(self, service: str, context: Any) -> Iterator[Any]:
        last = None
        while True:
            with self._changed:
                while context.is_active() and not self._is_draining and self._statuses.get(service, _UNKNOWN) == last:
                    self._changed.wait()
                status = self._statuses.get(service, _UNKNOWN)
                is_last = self._is_draining
            if not context.is_active():
                return
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
            if is_last:
                return
            last = status

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def add_reflection(server: grpc.Server, services: Sequence[str]) -> None:
    """Add server reflection: tools can list the methods and messages of ``server``."""
    reflection.enable_server_reflection([*services, HEALTH_SERVICE, reflection.SERVICE_NAME], server)
