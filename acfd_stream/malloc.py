"""What the C library does with freed memory: less of it is kept, and none when nobody is served.

Every stream has threads of its own, and glibc lets new threads have heaps of their own, of which a little is lost with
each stream. With as many heaps as cores the memory of a service that has seen 840 broken streams is what it was after
the first 40; with glibc's own limit it was a quarter more.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import time
from collections.abc import Callable

REST_SECONDS = 1.0
"""Nobody is served for so long before memory is given back: that takes milliseconds, and the next stream needs it."""
_ARENA_MAX = -8  # of mallopt: M_ARENA_MAX
_log = logging.getLogger(__name__)


def limit_heaps() -> None:
    """Let threads share as many heaps as there are cores, where the C library can (glibc); before threads begin."""
    try:
        ctypes.CDLL(None).mallopt(_ARENA_MAX, max(2, os.cpu_count() or 1))
    except (AttributeError, OSError) as error:
        _log.debug("the number of heaps stays: %s", error)


def settle() -> None:
    """Call what is loaded now there for good: ``trim`` looks no more at it, and so takes milliseconds."""
    gc.collect()
    gc.freeze()


def trim() -> None:
    """Free what is left in circles of references, as calls that broke off are, and give freed memory to the system."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc has it
    except (AttributeError, OSError) as error:
        _log.debug("memory stays with the process: %s", error)


class IdleTrim:
    """Trims once after every busy time; ``look`` is called now and then, on one thread.

    Args:
        give_back: what gives memory back.
        clock: seconds.
    """

    def __init__(self, give_back: Callable[[], None] = trim, clock: Callable[[], float] = time.monotonic) -> None:
        self._give_back, self._clock = give_back, clock
        self._busy_at: float | None = None

    def look(self, *, is_busy: bool) -> None:
        """Note whether anybody is served."""
        if is_busy:
            self._busy_at = self._clock()
        elif self._busy_at is not None and self._clock() - self._busy_at >= REST_SECONDS:
            self._busy_at = None
            self._give_back()
