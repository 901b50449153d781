"""Refuses calls that begin new work while memory is short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from acfd_stream.service.handlers import JOB_SERVICE, TRACK_SERVICE
from acfd_stream.service.memory_guard import MemoryGuard
from acfd_stream.service.status import refusing

NEW_WORK = (f"{TRACK_SERVICE}Track", f"{TRACK_SERVICE}TrackUri", f"{TRACK_SERVICE}Detect", f"{JOB_SERVICE}SubmitJob")
"""Methods that are refused while memory is short."""


class ShortMemoryInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Refuses new streams, pictures and jobs while memory is short; must run inside AccessInterceptor."""

    def __init__(self, guard: MemoryGuard) -> None:
        self._guard = guard

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The next handler, or one that returns RESOURCE_EXHAUSTED without waiting for the request."""
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method not in NEW_WORK or not self._guard.is_short:
            return handler
        return refusing(handler, self._guard.refusal())
