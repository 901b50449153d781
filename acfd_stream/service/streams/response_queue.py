"""The bounded queue between the thread that produces results and the thread that sends them.

A slow client blocks only its own stream. Results that wait at the same time are sent in one message.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from acfd_stream.metrics import Metrics, Pool, QueueStage
from acfd_stream.types import FrameResult

_RESULT_BYTES, _FACE_BYTES = 600, 200  # approximate size of a result in memory


@dataclass(frozen=True, slots=True)
class QueuedResult:
    """A result, and the time at which it was queued (``time.perf_counter``)."""

    result: FrameResult
    at: float

    @property
    def size_bytes(self) -> int:
        """Approximate size in memory."""
        return _RESULT_BYTES + _FACE_BYTES * len(self.result.faces)


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """A message without results: the field of the response's oneof, and its content."""

    field: str
    content: Any


Batch = list[QueuedResult] | ControlMessage


class ResponseQueue:
    """Results and control messages in order; ``put`` on one thread, ``take`` on another, the rest on any.

    Args:
        capacity: maximum entries.
        results: maximum results per message.
        wait_seconds: maximum time that a result waits for more results.
        metrics: counts queued results and their bytes.
    """

    def __init__(self, capacity: int, results: int, wait_seconds: float, metrics: Metrics) -> None:
        self._capacity, self._results, self._wait_seconds = capacity, results, wait_seconds
        self._metrics = metrics
        self._changed = threading.Condition()
        self._entries: deque[QueuedResult | ControlMessage] = deque()
        self._is_finished = False
        self._error: BaseException | None = None

    def put(self, entry: QueuedResult | ControlMessage) -> bool:
        """Wait for room and append; False: the queue is finished."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_finished or len(self._entries) < self._capacity)
            if self._is_finished:
                return False
            self._entries.append(entry)
            self._count(entry, 1)
            if len(self._entries) == 1 or self._is_complete():  # otherwise ``take`` would only continue to wait
                self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """End the queue: ``take`` returns the remaining entries, then raises ``error``. Only the first call counts."""
        with self._changed:
            if not self._is_finished:
                self._is_finished, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """End the queue and discard its entries: the client is gone."""
        with self._changed:
            self._is_finished = True
            while self._entries:
                self._count(self._entries.popleft(), -1)
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether the queue is empty."""
        with self._changed:
            return not self._entries

    def take(self) -> Batch | None:
        """The next control message, or the next results together; None at the end.

        Raises:
            BaseException: the error that ``finish`` was given; once.
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
                    del error  # its traceback refers to this frame: a reference cycle would keep the whole stream
            first = self._entries[0]
            if isinstance(first, ControlMessage):
                self._pop()
                return first
            self._changed.wait_for(self._is_complete, max(0.0, first.at + self._wait_seconds - time.perf_counter()))
            batch: list[QueuedResult] = []
            while self._entries and len(batch) < self._results and isinstance(entry := self._entries[0], QueuedResult):
                self._pop()
                batch.append(entry)
            return batch

    def _is_complete(self) -> bool:
        """Whether the next message cannot grow by waiting."""
        is_full = len(self._entries) >= min(self._results, self._capacity)
        return is_full or self._is_finished or isinstance(self._entries[-1], ControlMessage)

    def _pop(self) -> None:
        self._count(self._entries.popleft(), -1)
        self._changed.notify_all()

    def _count(self, entry: QueuedResult | ControlMessage, change: int) -> None:
        if isinstance(entry, QueuedResult):
            self._metrics.queue_depth.of(QueueStage.SEND).inc(change)
            self._metrics.held_bytes.of(Pool.RESULTS).inc(change * entry.size_bytes)
