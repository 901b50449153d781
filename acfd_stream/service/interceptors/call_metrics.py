"""Counts every call in the usual gRPC metrics, however it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from acfd_stream.metrics import CallType, Metrics
from acfd_stream.service.handlers import rewrapped

_UNKNOWN = "unknown"
_SKEW_SECONDS = 0.05  # a client cancels at its deadline, which is about the deadline here
_Behavior = Callable[[Any, grpc.ServicerContext], Any]


class CallMetricsInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Counts started and handled calls, their codes, times and messages.

    Method names are labels, and clients choose them: methods that no service has are counted as "unknown".

    Args:
        metrics: the counters.
        services: those whose methods are counted by name.
    """

    def __init__(self, metrics: Metrics, services: Sequence[ServiceDescriptor]) -> None:
        self._metrics = metrics
        self._known: dict[str, tuple[CallType, str, str]] = {}
        for service in services:
            for method in service.methods:
                kind = _shape(method.client_streaming, method.server_streaming)
                self._known[f"/{service.full_name}/{method.name}"] = (kind, service.full_name, method.name)
                metrics.call_expected(kind, service.full_name, method.name)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The handler, with its calls counted."""
        known = self._known.get(handler_call_details.method)
        handler = continuation(handler_call_details)
        if handler is None:
            _Call(self._metrics, *(known or (CallType.UNARY, _UNKNOWN, _UNKNOWN))).end("Unimplemented")
            return None
        shape = _shape(handler.request_streaming, handler.response_streaming)  # a refusing handler has another shape
        counted = _counted_stream if handler.response_streaming else _counted_unary

        def start(context: grpc.ServicerContext) -> _Call:
            call = _Call(self._metrics, *(known or (shape, _UNKNOWN, _UNKNOWN)))
            call.watch(context)
            return call

        return rewrapped(handler, lambda behavior: counted(behavior, start, handler.request_streaming))


class _Call:
    """One call between its start and its end; only the first ``end`` counts."""

    def __init__(self, metrics: Metrics, kind: CallType, service: str, method: str) -> None:
        self._metrics = metrics
        self._name = (kind, service, method)
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._is_ended = False
        self._outcome: str | None = None  # of the servicer; a code of the context has precedence
        metrics.call_started(*self._name)

    def watch(self, context: grpc.ServicerContext) -> None:
        """End with the call, also if the client cancels it."""
        if not context.add_callback(lambda: self.end(self._code(context))):
            self.end("Cancelled")

    def end(self, code: str) -> None:
        with self._lock:
            if self._is_ended:
                return
            self._is_ended = True
        self._metrics.call_handled(*self._name, code, time.monotonic() - self._begin)

    @contextmanager
    def running(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Around the behaviour of the servicer."""
        try:
            yield
        except Exception:
            if context.is_active():  # otherwise the exception follows from the cancelled call
                self._outcome = "Unknown"
            raise
        self._outcome = "OK"

    def message(self, *, is_received: bool) -> None:
        self._metrics.call_message(*self._name, is_received=is_received)

    def _code(self, context: grpc.ServicerContext) -> str:
        code = context.code()
        if code is not None:
            return code_name(code)
        if self._outcome is not None:
            return self._outcome
        return "DeadlineExceeded" if context.time_remaining() <= _SKEW_SECONDS else "Cancelled"


def code_name(code: grpc.StatusCode) -> str:
    """The name of a status in metrics: "OK", "InvalidArgument" …"""
    return "OK" if code is grpc.StatusCode.OK else "".join(part.title() for part in str(code.name).split("_"))


def _shape(has_many_requests: bool, has_many_responses: bool) -> CallType:
    if has_many_requests:
        return CallType.BIDI_STREAM if has_many_responses else CallType.CLIENT_STREAM
    return CallType.SERVER_STREAM if has_many_responses else CallType.UNARY


def _counted_unary(behavior: _Behavior, start: Callable[[Any], _Call], has_many_requests: bool) -> _Behavior:
    def run(request: Any, context: grpc.ServicerContext) -> Any:
        call = start(context)
        with call.running(context):
            response = behavior(_received(request, call, has_many_requests), context)
        call.message(is_received=False)
        return response

    return run


def _counted_stream(behavior: _Behavior, start: Callable[[Any], _Call], has_many_requests: bool) -> _Behavior:
    def run(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        call = start(context)
        with call.running(context):
            for response in behavior(_received(request, call, has_many_requests), context):
                call.message(is_received=False)
                yield response

    return run


def _received(request: Any, call: _Call, has_many_requests: bool) -> Any:
    def counted(one: Any) -> Any:
        call.message(is_received=True)
        return one

    return map(counted, request) if has_many_requests else counted(request)
