"""One call between the event loop, which talks to gRPC, and the thread that runs its blocking handler."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc

_AHEAD_BYTES = 64 * 2**10  # of requests that wait for the thread; one message always may
_AHEAD_MESSAGES = 16
_log = logging.getLogger(__name__)


class Call:
    """The context of a call, as blocking code knows it from ``grpc.ServicerContext``. Safe for several threads.

    Args:
        context: of ``grpc.aio``.
        loop: runs the call.
    """

    def __init__(self, context: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._context, self._loop = context, loop
        self._changed = threading.Condition()
        self._callbacks: list[Callable[[], object]] | None = []
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: Any = ()
        self._is_aborted = False
        self._ended_by: tuple[grpc.StatusCode, str, Any] | None = None  # see ``end_with``
        self._is_over = False
        self._response: bytes | None = None
        self._is_done = False  # the handler has returned
        self._wake = asyncio.Event()
        self._has_headers = self._is_writing = False
        self._ending: asyncio.Future[Any] | None = None  # the status of a call whose client does not read
        self._is_ready: Callable[[], bool] = _always
        # The context of a call that has ended must not be asked: ``peer`` then reads memory that is freed.
        self._peer, self._metadata = str(context.peer()), context.invocation_metadata()
        remaining = context.time_remaining()
        self._until = math.inf if remaining is None else time.monotonic() + remaining
        self.requests = Requests(context, loop, self._wake)

    # What ``grpc.ServicerContext`` has.

    def is_active(self) -> bool:
        """Whether the call has not ended."""
        return not self._is_over

    def time_remaining(self) -> float:
        """Time until the client's deadline, seconds, >= 0."""
        return max(0.0, self._until - time.monotonic())

    def peer(self) -> str:
        """Address of the client's end of the connection, such as "ipv4:127.0.0.1:40000"."""
        return self._peer

    def invocation_metadata(self) -> Any:
        """Metadata that the client sent."""
        return self._metadata

    def add_callback(self, callback: Callable[[], object]) -> bool:
        """Call ``callback``, which must not block, when the call ends; False: it has already ended."""
        with self._changed:
            if self._callbacks is None:
                return False
            self._callbacks.append(callback)
            return True

    def code(self) -> grpc.StatusCode | None:
        """The status that the handler has set."""
        return self._code

    def set_code(self, code: grpc.StatusCode) -> None:
        """End the call with ``code``, whether the handler returns or raises."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Send ``details`` with the status."""
        self._details = details

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Send ``metadata`` with the status."""
        self._trailing = metadata

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """Raise what ends the call with this status."""
        self._code, self._details, self._is_aborted = code, details, True
        raise Aborted

    def abort_with_status(self, status: Any) -> NoReturn:
        """Raise what ends the call with ``status``, which has the trailing metadata as well."""
        self._trailing = status.trailing_metadata
        self.abort(status.code, status.details)

    def cancel(self) -> None:
        """End the call at once, also while its client does not read."""
        self._on_loop(lambda: self.end_with(grpc.StatusCode.CANCELLED, "the server cancelled the call"))

    # For handlers that run inline.

    def step_when(self, is_ready: Callable[[], bool]) -> None:
        """Continue a handler that runs inline, after what it yields next, only when ``is_ready``; see ``wake``."""
        self._is_ready = is_ready

    def wake(self) -> None:
        """Something changed that ``is_ready`` depends on."""
        self._on_loop(self._wake.set)

    # For the thread of the handler.

    def send(self, response: bytes) -> bool:
        """Send ``response`` and wait until gRPC has taken it; False: the call has ended."""
        with self._changed:
            if self._is_over:
                return False
            self._response = response
            self._on_loop(self._wake.set)
            self._changed.wait_for(lambda: self._response is None or self._is_over)
            return not self._is_over

    def finish(self, response: bytes | None = None) -> None:
        """The handler has returned, for a call with one response ``response``."""
        with self._changed:
            self._response, self._is_done = response, True
        self._on_loop(self._wake.set)

    def fail(self, error: Exception) -> None:
        """The handler has raised ``error``: without ``abort`` or ``set_code`` the call ends with UNKNOWN."""
        if not self._is_aborted and not self._is_over:
            _log.error("a call failed: %s", error, exc_info=error)
            self._code = self._code or grpc.StatusCode.UNKNOWN
            self._details = self._details or f"Exception calling application: {error}"
            self._is_aborted = True

    # For the loop.

    async def respond(self) -> bytes | None:
        """Write what the thread sends until the handler has returned; returns the single response.

        Raises:
            Exception: of gRPC; ends the call with its status.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._ended_by or self._is_done:
                return await self.end()
            if self._response is not None:
                await self.write(self._response)
                with self._changed:
                    self._response = None
                    self._changed.notify_all()

    def end_with(self, code: grpc.StatusCode, details: str, trailing: Any = ()) -> None:
        """End the call with this status at once, whatever its handler does."""
        if self._is_over or self._ended_by is not None:
            return
        self._ended_by = code, details, trailing
        self.requests.first.set()
        if code is not grpc.StatusCode.CANCELLED:
            self._code = self._code or code  # for metrics and log
        self._wake.set()
        if self._is_writing:  # perhaps for long: the client does not read, and will find the status when it does
            self.over()
            self._ending = asyncio.ensure_future(self._context.abort(*self._ended_by))
            self._ending.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def is_ended(self) -> bool:
        """Whether ``end_with`` was called."""
        return self._ended_by is not None

    async def end(self) -> bytes | None:
        """The single response; raises what ends the call with another status than OK."""
        self.over()
        if self._ended_by is not None:
            await (self._ending or self._context.abort(*self._ended_by))
        if self._is_aborted or self._code not in (None, grpc.StatusCode.OK):
            await self._context.abort(self._code, self._details, tuple(self._trailing or ()))
        self._context.set_trailing_metadata(tuple(self._trailing or ()))
        return self._response

    async def write(self, response: bytes) -> None:
        """Write one response."""
        if not self._has_headers:  # else an abort beside a first response that nobody reads would send them again
            self._has_headers = True
            await self._context.send_initial_metadata(())
        self._is_writing = True
        await self._context.write(response)
        self._is_writing = False

    async def ready(self) -> bool:
        """Wait until a handler that runs inline may continue; False: the call was ended."""
        while not (self._is_ready() or self._ended_by):
            await self._wake.wait()
            self._wake.clear()
        return self._ended_by is None

    async def pause(self, seconds: float) -> None:
        """Wait ``seconds``; raises what ends the call if that was ended meanwhile."""
        until = self._loop.time() + seconds
        while not self.is_ended and (left := until - self._loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
                self._wake.clear()
        if self.is_ended:
            await self.end()

    def over(self) -> None:
        """The call has ended: tell everyone. Called again, it does nothing."""
        with self._changed:
            self._is_over = True
            callbacks, self._callbacks = self._callbacks or [], None
            self._changed.notify_all()
        self.requests.close(is_cancelled=not self._is_done)
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                _log.error("a callback of a call failed: %s", error, exc_info=error)

    def _on_loop(self, do: Callable[[], object]) -> None:
        if not soon(self._loop, do):
            self.over()


class Requests:
    """The requests of a call, an iterator for its thread; ``pump`` reads them on the loop, some ahead."""

    def __init__(self, context: Any, loop: asyncio.AbstractEventLoop, wake: asyncio.Event) -> None:
        """Read from ``context`` on ``loop``, and set ``wake`` whenever something has come."""
        self._context, self._loop, self._wake = context, loop, wake
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._is_ended = False
        self._is_cancelled = False
        self._room = asyncio.Event()
        self._is_full = False
        self.received_bytes = 0
        self.first = asyncio.Event()
        """Set when the first request is there, or none will come."""

    def is_ready(self) -> bool:
        """Whether the next request is there, or the end."""
        return bool(self._waiting) or self._is_ended

    @property
    def is_empty(self) -> bool:
        """Whether no request waits."""
        return not self._waiting

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_ended)
            if self._is_cancelled:
                raise grpc.RpcError
            if not self._waiting:
                raise StopIteration
            message = self._waiting.popleft()
            self._bytes -= len(message)
            is_full, self._is_full = self._is_full, False
        if is_full:
            soon(self._loop, self._room.set)
        return message

    async def pump(self) -> None:
        """Read requests until the last one, or the end of the call."""
        try:
            while not self._is_ended:
                message = await self._context.read()
                if message is grpc.aio.EOF:
                    break
                await self._put(message)
        except Exception:  # gRPC's, when the call has ended
            pass
        finally:
            self.close()

    async def _put(self, message: bytes) -> None:
        with self._changed:
            self._waiting.append(message)
            self.received_bytes += len(message)
            self._bytes += len(message)
            self._is_full = self._bytes >= _AHEAD_BYTES or len(self._waiting) >= _AHEAD_MESSAGES
            self._room.clear()
            self._changed.notify_all()
            is_full = self._is_full
        self.first.set()
        self._wake.set()
        if is_full:
            await self._room.wait()

    def close(self, *, is_cancelled: bool = False) -> None:
        """No more requests come; called on the loop."""
        with self._changed:
            self._is_cancelled = self._is_cancelled or (is_cancelled and not self._is_ended)
            self._is_ended = True
            self._changed.notify_all()
        self.first.set()
        self._room.set()
        self._wake.set()


class Aborted(Exception):
    """Raised by ``abort``."""


def soon(loop: asyncio.AbstractEventLoop, do: Callable[[], object]) -> bool:
    """Let ``loop`` run ``do``; False: it is closed, because the server has stopped."""
    try:
        loop.call_soon_threadsafe(do)
    except RuntimeError:
        return False
    return True


def _always() -> bool:
    return True
