"""Memory that streams have freed goes back to the system when nobody is served; the C library would keep it."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable

REST_SECONDS = 1.0
"""Nobody is served for so long before memory is given back: that takes milliseconds, and the next stream needs it."""
_log = logging.getLogger(__name__)


def trim() -> None:
    """Give freed memory back to the system, where the C library can (glibc)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
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
