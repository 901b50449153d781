"""Ends unary calls whose request does not arrive in time, and bounds the calls of reflection.

gRPC gives a thread to each call before its request arrives. Without this limit, silent calls could block all threads,
health checks included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc

from acfd_stream.service.handlers import REFLECTION_METHODS, rewrapped

MOST_CALLS = {REFLECTION_METHODS: 8}
"""Maximum concurrent calls of methods that wait for their client repeatedly, by prefix of the method."""


class RequestTimeoutInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Ends a call with one request with DEADLINE_EXCEEDED if the request does not arrive in time.

    Args:
        seconds: maximum time until the request has arrived.
        most_calls: maximum concurrent calls, by prefix of the method.
    """

    def __init__(self, seconds: float, most_calls: Mapping[str, int] | None = None) -> None:
        limits = MOST_CALLS if most_calls is None else most_calls
        self._watch = _Watch(seconds)
        self._slots = {prefix: threading.BoundedSemaphore(count) for prefix, count in limits.items()}

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler; it runs only if its request arrives in time."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        slots = [slot for prefix, slot in self._slots.items() if handler_call_details.method.startswith(prefix)]
        if slots:
            return rewrapped(handler, lambda behaviour: _one_of_few(behaviour, slots[0]))
        return handler if handler.request_streaming else self._timed(handler)

    def _timed(self, handler: Any) -> Any:
        """A handler for streams of requests, which takes one: it then runs before the request has arrived."""

        def answer(requests: Iterator[Any], context: Any) -> Any:
            return handler.unary_unary(self._watch.first(requests, context), context)

        def stream(requests: Iterator[Any], context: Any) -> Iterator[Any]:
            yield from handler.unary_stream(self._watch.first(requests, context), context)

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)


def _one_of_few(behaviour: Callable[[Any, Any], Any], slots: threading.BoundedSemaphore) -> Callable[[Any, Any], Any]:
    def run(request: Any, context: Any) -> Any:
        if not slots.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "too many concurrent calls of this method; try again later"
            )
        if not context.add_callback(slots.release):
            slots.release()  # the call was over before it began
        return behaviour(request, context)

    return run


class _Watch:
    """Ends calls that wait too long. Its thread lives only while some wait."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed = threading.Condition()
        self._waiting: dict[int, tuple[float, Callable[[], object]]] = {}  # number → when to end it, and how
        self._last = 0
        self._is_running = False

    def first(self, requests: Iterator[Any], context: Any) -> Any:
        """The first of ``requests``; ends the call where it does not come in time."""
        late = threading.Event()

        def end() -> None:
            late.set()
            context.cancel()

        number = self._enter(end)
        try:
            request = next(requests, None)
        finally:
            self._leave(number)
        if late.is_set():
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"no request came within {self._seconds:g} s")
        if request is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call ended before its request")
        return request

    def _enter(self, end: Callable[[], object]) -> int:
        with self._changed:
            self._last += 1
            self._waiting[self._last] = (time.monotonic() + self._seconds, end)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="acfd-prompt", daemon=True).start()
            return self._last

    def _leave(self, number: int) -> None:
        with self._changed:
            self._waiting.pop(number, None)
            if not self._waiting:
                self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._is_running = False
                    return
                number, (until, end) = next(iter(self._waiting.items()))  # the oldest
                left = until - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                del self._waiting[number]
            end()
