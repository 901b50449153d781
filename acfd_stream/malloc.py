"""What the C library does with freed memory: a service returns it to the system when idle, a training keeps it.

Every stream has its own threads, and glibc gives new threads their own heaps, which lose a little memory per stream.
With one heap per core, a service uses as much memory after 840 broken streams as after 40. With glibc's own limit, it
used a quarter more.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import time
from collections.abc import Callable

REST_SECONDS = 1.0
"""Idle time before a trim: a trim takes milliseconds, and the next stream needs the memory."""
_ARENA_MAX, _MMAP_MAX, _TOP_PAD, _TRIM_THRESHOLD = -8, -4, -2, -1  # options of mallopt
_HEAP_STEP = 256 << 20
_MOST = (1 << 31) - 1
_log = logging.getLogger(__name__)


def limit_heaps() -> None:
    """Limit the number of heaps to the number of cores, with glibc. Call it before threads start."""
    _set({_ARENA_MAX: max(2, os.cpu_count() or 1)})


def keep_freed() -> None:
    """Keep freed memory in the process, with glibc: a training frees and takes the same gigabytes in each iteration.

    By default blocks of more than 32 MB go back to the system at once, and each new page then costs a fault.
    """
    _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: _MOST, _TOP_PAD: _HEAP_STEP})


def _set(options: dict[int, int]) -> None:
    try:
        library = ctypes.CDLL(None)
        for option, value in options.items():
            library.mallopt(option, value)
    except (AttributeError, OSError) as error:
        _log.debug("cannot set options of malloc: %s", error)


def freeze() -> None:
    """Exclude the current objects from garbage collection, so that ``trim`` takes milliseconds."""
    gc.collect()
    gc.freeze()


def trim() -> None:
    """Collect reference cycles, which broken calls leave, and return freed memory to the system."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc has it
    except (AttributeError, OSError) as error:
        _log.debug("cannot trim memory: %s", error)


class IdleTrim:
    """Trims once after every busy period; one thread calls ``update`` at intervals.

    Args:
        trim_memory: returns memory to the system.
        clock: seconds.
    """

    def __init__(self, trim_memory: Callable[[], None] = trim, clock: Callable[[], float] = time.monotonic) -> None:
        self._trim_memory, self._clock = trim_memory, clock
        self._busy_at: float | None = None

    def update(self, *, is_busy: bool) -> None:
        """Trim if the service has been idle for ``REST_SECONDS`` after a busy period."""
        if is_busy:
            self._busy_at = self._clock()
        elif self._busy_at is not None and self._clock() - self._busy_at >= REST_SECONDS:
            self._busy_at = None
            self._trim_memory()
