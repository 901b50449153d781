"""All streams of a server: admits them, ends idle ones, and drains them on shutdown."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import grpc

from acfd_stream.errors import OverloadedError
from acfd_stream.malloc import IdleTrim
from acfd_stream.metrics import Refusal
from acfd_stream.service.access.callers import Held
from acfd_stream.service.progress import is_slow
from acfd_stream.service.status import RETRY_SECONDS, StatusError, draining
from acfd_stream.service.streams.context import StreamContext
from acfd_stream.service.streams.stream import StreamCall

_WATCH_SECONDS = 0.2
STREAM_GRACE_SECONDS = 30.0
"""After ``stream_seconds``, until the call is ended even without a resume point."""
_HAND_OVER_SECONDS = 1.0  # after hand_over, until a stream that has no result is stopped
_WAITING_SECONDS = 10.0  # a stream or job that was refused so long ago still waits for a place
_DRAIN_GRACE_SECONDS = 3.0  # after the drain time, until all streams must have ended


class StreamHost:
    """Admits streams, checks them several times a second, and drains them.

    Args:
        context: what the streams share.
        on_check: called several times a second, on a thread of the host.
    """

    def __init__(self, context: StreamContext, on_check: Callable[[], None]) -> None:
        self.context = context
        self._on_check = on_check
        self._changed = threading.Condition()
        self._streams: dict[str, StreamCall] = {}
        self._drain_until: float | None = None
        self._refused_at = -math.inf  # when there was no place for a stream
        self._is_closed = False
        self._watcher = threading.Thread(target=self._watch, name="acfd-watch", daemon=True)
        self._watcher.start()

    def admit(self, owner: str, caller: str) -> StreamCall:
        """A new stream; it must be closed with ``close`` when its call ends.

        Args:
            owner: who may see its statistics.
            caller: whose limits it counts against.

        Raises:
            StatusError: UNAVAILABLE, the server drains; RESOURCE_EXHAUSTED, the caller has its maximum of streams.
            OverloadedError: the maximum number of streams is open.
        """
        self.require_open()
        with ExitStack() as held:
            try:
                held.callback(self.context.callers.hold(caller, Held.STREAMS))
            except OverloadedError:
                self._refused_at = time.monotonic()
                self.context.metrics.refusals.of(Refusal.STREAMS).inc()
                raise
            with self._changed:
                self.require_open()
                stream_id = secrets.token_hex(8)
                release = held.pop_all().close
                stream = StreamCall(self.context, stream_id, owner, caller, lambda: self._forget(stream_id, release))
                self._streams[stream_id] = stream
                return stream

    def require_open(self) -> None:
        """Refuse new work while the server drains.

        Raises:
            StatusError: UNAVAILABLE.
        """
        if self._drain_until is not None:
            self.context.metrics.refusals.of(Refusal.DRAINING).inc()
            raise draining()

    def streams_of(self, owner: str) -> list[StreamCall]:
        """The streams of one caller, oldest first."""
        with self._changed:
            mine = [stream for stream in self._streams.values() if stream.owner == owner]
        return sorted(mine, key=lambda stream: stream.began_at)

    @property
    def stream_count(self) -> int:
        """Streams that still hold resources."""
        with self._changed:
            return len(self._streams)

    def refuse(self, seconds: float) -> None:
        """Admit no more streams. Live streams hand over at once, file streams have ``seconds`` to finish."""
        until = time.monotonic() + seconds
        with self._changed:
            self._drain_until = until if self._drain_until is None else min(self._drain_until, until)
            self._changed.notify_all()

    def wait_empty(self) -> bool:
        """Wait, after ``refuse``, until all streams have ended or the time is over; whether all have ended."""
        with self._changed:
            while self._streams:
                until = (self._drain_until or 0.0) + _DRAIN_GRACE_SECONDS
                left = until - time.monotonic()
                if left <= 0 or self._is_closed:
                    break
                self._changed.wait(min(left, _WATCH_SECONDS))
            return not self._streams

    def close(self) -> None:
        """Stop the remaining streams and the checks."""
        with self._changed:
            self._drain_until = self._drain_until or time.monotonic()
            self._is_closed = True
            left = list(self._streams.values())
            self._changed.notify_all()
        for stream in left:
            stream.stop(draining())
        self._watcher.join()
        with self._changed:
            self._changed.wait_for(lambda: not self._streams, _HAND_OVER_SECONDS)
        self.context.packing.shutdown(wait=False, cancel_futures=True)

    def _forget(self, stream_id: str, release: Callable[[], object]) -> None:
        release()
        with self._changed:
            self._streams.pop(stream_id, None)
            self._changed.notify_all()

    def _watch(self) -> None:
        idle = IdleTrim()
        while True:
            with self._changed:
                self._changed.wait(_WATCH_SECONDS)
                if self._is_closed:
                    return
            self._on_check()
            idle.update(is_busy=self._check_all())

    def _check_all(self) -> bool:
        """Check every stream; whether there are any. No reference is kept between two checks."""
        with self._changed:
            streams, until = list(self._streams.values()), self._drain_until
        for stream in streams:
            stream.note()
            self._check(stream)
            if until is not None:
                self._drain(stream, until)
            else:
                self._end_old(stream)
        return bool(streams)

    def _check(self, stream: StreamCall) -> None:
        seconds, now = self.context.settings.limits.idle_seconds, time.monotonic()
        reader, sending_since = stream.reader, stream.sending_since
        if reader is not None and stream.is_silent and reader.silence_seconds > seconds:
            stream.stop(_timed_out(f"nothing was sent for {seconds:g} s"))
        if sending_since is not None and now - sending_since > seconds:
            stream.stop(_timed_out(f"no result was read for {seconds:g} s"))
            stream.cancel_call()  # its thread is blocked in a send and notices nothing else
        self._check_progress(stream)

    def _check_progress(self, stream: StreamCall) -> None:
        """End a stream whose client never sends a frame, or is too slow while others wait for a place."""
        limits = self.context.settings.limits
        if stream.progress.frameless_seconds > limits.frameless_seconds:
            stream.stop(_timed_out(f"no frame came for {limits.frameless_seconds:g} s"))
        is_live = stream.request is not None and stream.request.is_live
        seconds = limits.idle_seconds * (2 if is_live else 1)  # a live stream may pause for ``idle_seconds``
        refused_at = max(self._refused_at, self.context.capacity.refused_at)
        if time.monotonic() - refused_at < _WAITING_SECONDS and is_slow(stream.progress, seconds, limits):
            stream.stop(_timed_out(f"its client was too slow for {seconds:g} s while others waited"))
            if stream.sending_since is not None:
                stream.cancel_call()

    def _end_old(self, stream: StreamCall) -> None:
        """Let a stream that has lasted its time hand over."""
        seconds = self.context.settings.limits.stream_seconds
        if time.monotonic() - stream.began_at <= seconds:
            return
        stream.hand_over(partial(_too_old, seconds))
        if stream.handing_over_seconds > _HAND_OVER_SECONDS:
            stream.stop(_too_old(seconds))

    def _drain(self, stream: StreamCall, until: float) -> None:
        is_over = time.monotonic() >= until
        if stream.request is None or stream.request.is_live or is_over:
            stream.hand_over()
        if stream.handing_over_seconds > _HAND_OVER_SECONDS:
            stream.stop(draining())


def _too_old(seconds: float) -> StatusError:
    message = f"the stream has lasted {seconds:g} s, the limit of this server; continue at its resume point"
    return StatusError(grpc.StatusCode.UNAVAILABLE, "TIME_LIMIT", message, retry_seconds=RETRY_SECONDS)


def _timed_out(what: str) -> StatusError:
    return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE", f"{what}; the stream was ended")
