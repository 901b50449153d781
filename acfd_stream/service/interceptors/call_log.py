"""Sets the request id and trace of every call, and logs one line when it ends."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from acfd_stream.service.access.callers import caller_at
from acfd_stream.service.handlers import HEALTH_METHODS, REFLECTION_METHODS, surrounded
from acfd_stream.service.logs import request_id, trace_id
from acfd_stream.service.tracing import Tracing, current_trace_id

REQUEST_ID_KEY = "x-request-id"
"""Metadata with the request id; without it the server creates one. It is sent back as trailing metadata."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_QUIET = (HEALTH_METHODS, REFLECTION_METHODS)
_log = logging.getLogger(__name__)


class CallLogInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Traces and logs every call; health probes and reflection are logged at level "debug"."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        self._tracing = tracing or Tracing()

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler, which runs with the request id and trace of the call."""
        method: str = handler_call_details.method
        metadata = list(handler_call_details.invocation_metadata or ())
        request_id.set(_chosen_id(metadata))
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        return surrounded(handler, lambda context: self._logged(method, metadata, context))

    @contextmanager
    def _logged(self, method: str, metadata: list[Any], context: Any) -> Iterator[None]:
        begin = time.monotonic()
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id.get()),))
        code = "OK"
        with self._tracing.call(method, metadata) as note:
            if self._tracing.is_on:
                trace_id.set(current_trace_id())
            try:
                yield
            except GeneratorExit:
                code = "CANCELLED"
                raise
            except Exception:
                code = "UNKNOWN" if context.is_active() else "CANCELLED"  # the call was already over
                raise
            finally:
                code = _code(context, code)
                if note is not None:
                    note(code)
                _log_call(method, code, time.monotonic() - begin, caller_at(context.peer()))


def _chosen_id(metadata: list[Any]) -> str:
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


def _code(context: Any, otherwise: str) -> str:
    code = context.code()
    return otherwise if code is None else str(code.name)


def _log_call(method: str, code: str, seconds: float, caller: str) -> None:
    level = logging.DEBUG if method.startswith(_QUIET) else logging.INFO
    extra = {"method": method, "code": code, "seconds": round(seconds, 6), "caller": caller}
    _log.log(level, "%s %s", method.rpartition("/")[2], code, extra=extra)
