"""What a stream has to say, between the thread that finds it and the one that sends it.

Bounded: a reader that is slow stops its own stream and nobody else's. Results that wait together leave together.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from acfd_stream.metrics import Metrics, Pool, QueueStage
from acfd_stream.types import FrameResult

_RESULT_BYTES, _FACE_BYTES = 600, 200  # of a result in memory, about


@dataclass(frozen=True, slots=True)
class QueuedResult:
    """A result, and when it was there (``time.perf_counter``)."""

    result: FrameResult
    at: float

    @property
    def size_bytes(self) -> int:
        """What it holds, about."""
        return _RESULT_BYTES + _FACE_BYTES * len(self.result.faces)


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """A message that is no result: a field of the answer's oneof, and its content."""

    field: str
    content: Any


Piece = list[QueuedResult] | ControlMessage


class ResponseQueue:
    """Results and notes in order; ``put`` on one thread, ``take`` on another, ``finish`` and ``leave`` on any.

    Args:
        capacity: most entries that wait.
        results: most results that leave together.
        wait_seconds: longest time that a result waits for others.
        metrics: where what waits is counted.
    """

    def __init__(self, capacity: int, results: int, wait_seconds: float, metrics: Metrics) -> None:
        self._capacity, self._results, self._wait_seconds = capacity, results, wait_seconds
        self._metrics = metrics
        self._changed = threading.Condition()
        self._entries: deque[QueuedResult | ControlMessage] = deque()
        self._is_finished = False
        self._error: BaseException | None = None

    def put(self, entry: QueuedResult | ControlMessage) -> bool:
        """Wait for room and append; False when nothing more is taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_finished or len(self._entries) < self._capacity)
            if self._is_finished:
                return False
            self._entries.append(entry)
            self._count(entry, 1)
            if len(self._entries) == 1 or self._is_whole():  # else whoever takes would only wait on
                self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more will be put: ``take`` gives what waits, then raises ``error``. The first call wins."""
        with self._changed:
            if not self._is_finished:
                self._is_finished, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """Nobody will take what waits."""
        with self._changed:
            self._is_finished = True
            while self._entries:
                self._count(self._entries.popleft(), -1)
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        with self._changed:
            return not self._entries

    def take(self) -> Piece | None:
        """The next note, or the next results together; None at the end.

        Raises:
            BaseException: what ``finish`` was given; once.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._is_finished)
            if not self._entries:
                error, self._error = self._error, None
                if error is None:
                    return None
                try:
                    raise error
                finally:
                    del error  # its traceback holds this frame: they would hold each other, and the whole stream
            first = self._entries[0]
            if isinstance(first, ControlMessage):
                self._pop()
                return first
            self._changed.wait_for(self._is_whole, max(0.0, first.at + self._wait_seconds - time.perf_counter()))
            piece: list[QueuedResult] = []
            while self._entries and len(piece) < self._results and isinstance(entry := self._entries[0], QueuedResult):
                self._pop()
                piece.append(entry)
            return piece

    def _is_whole(self) -> bool:
        """Whether waiting longer would bring nothing more into the message."""
        is_full = len(self._entries) >= min(self._results, self._capacity)
        return is_full or self._is_finished or isinstance(self._entries[-1], ControlMessage)

    def _pop(self) -> None:
        self._count(self._entries.popleft(), -1)
        self._changed.notify_all()

    def _count(self, entry: QueuedResult | ControlMessage, change: int) -> None:
        if isinstance(entry, QueuedResult):
            self._metrics.queued(QueueStage.SEND, change)
            self._metrics.held(Pool.RESULTS, change * entry.size_bytes)
