"""Finds the handler of a call, waits for its first message, and runs it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from acfd_stream.errors import AcfdError, ConfigError, OverloadedError
from acfd_stream.service.calls.call import Call
from acfd_stream.service.calls.pool import CallPool
from acfd_stream.service.handlers import HEALTH_METHODS, REFLECTION_METHODS
from acfd_stream.service.status import StatusError, status_of

MOST_SILENT = 4096
"""Maximum calls that wait for their first message, about 20 KiB each; the one that waits longest makes room."""
_INLINE = (HEALTH_METHODS, REFLECTION_METHODS)


@dataclass(frozen=True)
class CallLimits:
    """How long a call may take, in seconds."""

    first_message_seconds: float = 10.0
    """Until its first message has arrived."""
    call_seconds: float = 60.0
    """To the end of a call with one response."""
    stream_seconds: float = 86400.0
    """To the end of another call."""


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Blocking handlers behind interceptors of ``grpc.server``, as handlers of ``grpc.aio``.

    Args:
        interceptors: outermost first.
        limits: of the time of a call.
        streams: runs handlers with many responses.
        calls: runs the others.
        enter: called on the loop with a call and whether it has many responses, once its first message is there;
            returns the seconds that the call waits on the loop, and raises what refuses it. Not for health and
            reflection.
    """

    def __init__(
        self,
        interceptors: Sequence[Any],
        limits: CallLimits,
        streams: CallPool,
        calls: CallPool,
        enter: Callable[[Call, bool], float] = lambda call, is_stream: 0.0,
    ) -> None:
        self._limits, self._streams, self._calls, self._enter = limits, streams, calls, enter
        self._generic: list[Any] = []
        self._find: Callable[[Any], Any] = self._registered
        for interceptor in reversed(interceptors):
            self._find = partial(interceptor.intercept_service, self._find)
        self._pumps: set[asyncio.Task[None]] = set()
        self._silent: dict[Call, None] = {}  # in the order in which they came

    def add(self, handlers: Sequence[Any]) -> None:
        """Serve the methods of generic ``handlers``, too."""
        self._generic.extend(handlers)

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call for ``grpc.aio``; None: there is no such method."""
        handler = self._find(handler_call_details)
        if handler is None:
            return None
        answer = partial(self._answer, handler, handler_call_details.method.startswith(_INLINE))
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(answer)
        return grpc.stream_unary_rpc_method_handler(answer)

    def _registered(self, details: Any) -> Any:
        found = (one.service(details) for one in self._generic)
        return next((handler for handler in found if handler is not None), None)

    async def _answer(self, handler: Any, is_inline: bool, requests: Any, context: Any) -> bytes | None:
        loop = asyncio.get_running_loop()
        call = Call(context, loop)
        seconds = self._limits.stream_seconds if handler.response_streaming else self._limits.call_seconds
        timer = loop.call_later(seconds, _end_late, call, seconds)
        try:
            if _reads(handler):
                await self._first(call, handler, context)
            return await (_run_inline(call, handler) if is_inline else self._run_on_thread(call, handler, context))
        finally:
            timer.cancel()
            call.over()

    async def _first(self, call: Call, handler: Any, context: Any) -> None:
        """Wait for the first message. A read is never cancelled: gRPC would write into memory that is freed."""
        pump = asyncio.ensure_future(call.requests.pump())
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        self._silent[call] = None
        if len(self._silent) > MOST_SILENT:
            message = "too many calls wait for their first message on this server; try again later"
            next(iter(self._silent)).end_with(*_status(OverloadedError(message)))
        try:
            async with asyncio.timeout(self._limits.first_message_seconds):
                await call.requests.first.wait()
        except TimeoutError:
            message = f"no request came within {self._limits.first_message_seconds:g} s; the call was ended"
            await _refuse(context, StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE", message))
        finally:
            del self._silent[call]
        if call.is_ended:
            await call.end()
        if not handler.request_streaming and call.requests.is_empty:
            await _refuse(context, ConfigError("request must be sent before the call ends"))

    async def _run_on_thread(self, call: Call, handler: Any, context: Any) -> bytes | None:
        pool = self._streams if handler.response_streaming else self._calls
        try:
            await call.pause(self._enter(call, bool(handler.response_streaming)))
        except AcfdError as error:
            await _refuse(context, error)
        work = pool.submit(partial(contextvars.copy_context().run, _work, call, handler))
        if work is None:
            await _refuse(context, OverloadedError("too many calls wait on this server; try again later"))
        try:
            return await call.respond()
        finally:
            work.cancel()  # if no thread has begun it


async def _refuse(context: Any, error: BaseException) -> NoReturn:
    """End a call whose handler does not run with the status of ``error``."""
    await context.abort(*_status(error))
    raise error  # never: gRPC's abort raises


def _end_late(call: Call, seconds: float) -> None:
    message = f"the call took longer than {seconds:g} s, the limit of this server"
    call.end_with(*_status(StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "TIME_LIMIT", message)))


def _status(error: BaseException) -> tuple[grpc.StatusCode, str, Any]:
    status = rpc_status.to_status(status_of(error))
    return status.code, status.details, tuple(status.trailing_metadata)


def _reads(handler: Any) -> bool:
    """Whether ``handler`` reads its requests; one that refuses the call does not."""
    return handler.request_deserializer is not None or not handler.request_streaming


def _work(call: Call, handler: Any) -> None:
    """Run ``handler`` to its end, on a thread."""
    response = None
    try:
        if handler.response_streaming:
            responses = _responses(call, handler)
            while (one := next(responses, None)) is not None and call.send(one):
                pass
            responses.close()
        else:
            response = _response(call, handler)
    except Exception as error:
        call.fail(error)
    finally:
        call.finish(response)


async def _run_inline(call: Call, handler: Any) -> bytes | None:
    """Run ``handler``, which must not block, on the loop."""
    if not handler.response_streaming:
        _work(call, handler)
        return await call.end()
    if handler.request_streaming and _reads(handler):
        call.step_when(call.requests.is_ready)
    with contextlib.closing(_responses(call, handler)) as responses:
        while await call.ready():
            try:
                one = next(responses, None)
            except Exception as error:
                call.fail(error)
                one = None
            if one is None:
                call.finish()
                break
            await call.write(one)
    return await call.end()


def _response(call: Call, handler: Any) -> bytes:
    behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
    return _serialized(handler, behaviour(_request(call, handler), call))


def _responses(call: Call, handler: Any) -> Generator[bytes]:
    behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
    for response in behaviour(_request(call, handler), call):
        yield _serialized(handler, response)


def _request(call: Call, handler: Any) -> Any:
    """The parsed request, or the iterator of parsed requests."""
    read = handler.request_deserializer or _as_it_is
    return map(read, call.requests) if handler.request_streaming else read(next(call.requests))


def _serialized(handler: Any, response: Any) -> bytes:
    return bytes((handler.response_serializer or _as_it_is)(response))


def _as_it_is(message: Any) -> Any:
    return message
