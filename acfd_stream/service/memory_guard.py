"""Refuses new work while memory is short."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import grpc

from acfd_stream.memory import used_memory
from acfd_stream.metrics import Metrics, Refusal
from acfd_stream.service.status import StatusError

RETRY_SECONDS = 5.0
"""Retry delay of a call that is refused."""
_READ_SECONDS = 0.5  # how long a reading counts
_BACK = 0.95  # new work is accepted again below this part of the share: small changes do not end and begin it
_log = logging.getLogger(__name__)


class MemoryGuard:
    """Whether memory is short; thread-safe.

    Args:
        share: of the memory; above it, memory is short. 1: never.
        metrics: gets the used part and the refusals.
        used: returns the used part of the memory, 0 … 1.
    """

    def __init__(self, share: float, metrics: Metrics, used: Callable[[], float] | None = None) -> None:
        self._share, self._metrics, self._used = share, metrics, used or used_memory
        self._lock = threading.Lock()
        self._is_short = False
        self._read_at = -_READ_SECONDS

    @property
    def is_short(self) -> bool:
        """Whether new work must wait, by the last reading: calls ask on the event loop, and a reading takes long."""
        return self._is_short

    def update(self) -> bool:
        """Read the memory, at most twice a second, and tell log and metrics; whether it is short. Never raises."""
        with self._lock:
            now = time.monotonic()
            if now - self._read_at >= _READ_SECONDS:
                self._read_at = now
                self._note(self._used())
            return self._is_short

    def refusal(self) -> StatusError:
        """The error of a call that is refused."""
        self._metrics.refusals.of(Refusal.MEMORY).inc()
        message = f"the server uses more than {self._share:.0%} of its memory; try again later"
        return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "MEMORY", message, retry_seconds=RETRY_SECONDS)

    def _note(self, used: float) -> None:
        self._metrics.memory_used.set(used)
        was_short = self._is_short
        self._is_short = self._share < 1 and used > self._share * (_BACK if was_short else 1.0)
        if self._is_short and not was_short:
            _log.warning("memory is short: %.0f %% of it is used; new work is refused", 100 * used)
        elif was_short and not self._is_short:
            _log.info("memory is not short any more: %.0f %% of it is used", 100 * used)
