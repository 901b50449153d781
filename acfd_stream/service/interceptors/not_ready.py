"""The server listens before its engine is warm; until then, calls are refused with UNAVAILABLE and a retry delay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from acfd_stream.service.status import StatusError, refusing


class LateServicer:
    """Delegates calls to ``servicer``, which is set once the engine is warm."""

    servicer: Any = None

    def __getattr__(self, name: str) -> Callable[[Any, Any], Any]:
        return lambda request, context: getattr(self.servicer, name)(request, context)


class NotReadyInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Refuses calls of ``services`` until ``is_ready`` returns True; other services are not affected."""

    def __init__(self, services: Sequence[ServiceDescriptor], is_ready: Callable[[], bool]) -> None:
        self._prefixes = tuple(f"/{service.full_name}/" for service in services)
        self._is_ready = is_ready

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The next handler, or one that returns UNAVAILABLE."""
        handler = continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(self._prefixes) or self._is_ready():
            return handler
        message = "the server is starting; try again in a moment"
        error = StatusError(grpc.StatusCode.UNAVAILABLE, "STARTING", message, retry_seconds=1.0)
        return refusing(handler, error)
