"""Bytes from a network stream or another thread, as a file that the decoder reads."""

from __future__ import annotations

import threading
import time
from collections import deque

from acfd_stream.config import require
from acfd_stream.errors import MediaError

_MARK_SECONDS = 0.0005  # bytes that come closer together count as one arrival
_KEPT_MARKS = 8192


class ByteStream:
    """A pipe in memory between a producer of bytes and one decoder.

    Holds at most ``capacity_bytes``; ``feed`` waits while it is full. Every method may be called from any thread.
    It cannot be rewound, so a container whose index stands at its end (MP4 without "fast start") cannot be read.
    """

    def __init__(self, capacity_bytes: int = 8 * 2**20) -> None:
        require(capacity_bytes >= 1, "capacity_bytes", capacity_bytes, ">= 1")
        self.capacity_bytes = capacity_bytes
        self._changed = threading.Condition()
        self._chunks: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._fed_bytes = 0
        self._marks: deque[tuple[int, float]] = deque(maxlen=_KEPT_MARKS)  # bytes fed so far, and when
        self._is_closed = False
        self._abort_reason: str | None = None
        self._is_reader_gone = False

    @property
    def waiting_bytes(self) -> int:
        """Bytes fed and not yet read."""
        with self._changed:
            return self._waiting_bytes

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` or ``abort`` was called."""
        with self._changed:
            return self._is_closed or self._abort_reason is not None

    def feed(self, data: bytes, fed_at: float | None = None) -> bool:
        """Append ``data``; waits while there is no room.

        Args:
            data: any number of bytes.
            fed_at: when they arrived, on ``time.perf_counter``; None: as they are appended.

        Returns:
            True when all of it was taken; False when nobody will read it: the video was closed, or ``abort`` called.

        Raises:
            MediaError: ``close`` was called before.
        """
        rest = memoryview(bytes(data))
        while rest:
            with self._changed:
                self._changed.wait_for(self._may_feed)
                if self._is_reader_gone or self._abort_reason is not None:
                    return False
                if self._is_closed:
                    raise MediaError("bytes were fed to a stream after its end; open a new ByteStream")
                room = self.capacity_bytes - self._waiting_bytes
                chunk, rest = rest[:room], rest[room:]
                self._chunks.append(chunk)
                self._waiting_bytes += len(chunk)
                self._mark(len(chunk), fed_at)
                self._changed.notify_all()
        return True

    def _mark(self, size: int, fed_at: float | None) -> None:
        self._fed_bytes += size
        now = time.perf_counter() if fed_at is None else fed_at
        if self._marks and now - self._marks[-1][1] < _MARK_SECONDS:
            now = self._marks.pop()[1]
        self._marks.append((self._fed_bytes, now))

    def fed_at(self, offset: int) -> float | None:
        """When the first ``offset`` bytes had been fed, on the clock of ``time.perf_counter``; None: not yet.

        Offsets are asked for in about rising order: what is known of smaller ones is given up.
        """
        with self._changed:
            while len(self._marks) > 1 and self._marks[0][0] < offset:
                self._marks.popleft()
            return self._marks[0][1] if self._marks and self._marks[0][0] >= offset else None

    def _may_feed(self) -> bool:
        is_over = self._is_closed or self._is_reader_gone or self._abort_reason is not None
        return is_over or self._waiting_bytes < self.capacity_bytes

    def close(self) -> None:
        """End the stream: the reader gets the remaining bytes, then the end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self, reason: str = "the stream of bytes was broken off") -> None:
        """Wake and stop both sides at once; the reader gets ``reason`` as a MediaError, bytes not read are dropped."""
        with self._changed:
            self._abort_reason = self._abort_reason or reason
            self._chunks.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()

    def leave(self) -> None:
        """Tell that the reader has left: ``feed`` returns False, also where it waits."""
        with self._changed:
            self._is_reader_gone = True
            self._chunks.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()

    def read(self, size: int = -1) -> bytes:
        """Between 1 and ``size`` bytes, waiting for the first of them; ``b""`` at the end.

        Raises:
            MediaError: ``abort`` was called.
        """
        with self._changed:
            self._changed.wait_for(self._may_read)
            if self._abort_reason is not None:
                raise MediaError(self._abort_reason)
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            if 0 <= size < len(chunk):
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            self._waiting_bytes -= len(chunk)
            self._changed.notify_all()
            return bytes(chunk)

    def _may_read(self) -> bool:
        return bool(self._chunks) or self._is_closed or self._is_reader_gone or self._abort_reason is not None
