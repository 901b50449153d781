"""Memory for decoded pictures: one budget for all calls and streams of a process.

A picture of any size is let in while nothing else is held: a budget that is too small slows work down and stops none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from acfd_stream.checked import require
from acfd_stream.errors import OverloadedError

WAIT_SECONDS = 2.0
"""How long a picture waits for memory that others hold."""


class PictureBudget:
    """How many bytes pictures take; thread-safe.

    Args:
        most_bytes: most bytes that may be held, >= 1.
        on_reserved: called with each change of the bytes that ``reserve`` gave out.
        on_refusal: called when ``reserve`` refuses.
        wait_seconds: how long ``reserve`` waits.
    """

    def __init__(
        self,
        most_bytes: int,
        on_reserved: Callable[[int], object] = lambda change: None,
        on_refusal: Callable[[], object] = lambda: None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        require(most_bytes >= 1, "most_bytes", most_bytes, ">= 1")
        self.most_bytes = most_bytes
        self.on_reserved, self._on_refusal, self._wait_seconds = on_reserved, on_refusal, wait_seconds
        self._changed = threading.Condition()
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """Bytes that are reserved now."""
        return self._held

    def reserve(self, count: int) -> ReservedBytes:
        """``count`` bytes, which leaving the context gives back.

        Raises:
            OverloadedError: others hold too much, and held it for as long as this waits.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.has_room(count), self._wait_seconds):
                self._on_refusal()
                raise OverloadedError(
                    f"a picture takes {count >> 20} MiB to decode, and other pictures hold {self._held >> 20} of the "
                    f"{self.most_bytes >> 20} MiB for all, picture_bytes; try again later"
                )
            self.add(count)
        self.on_reserved(count)
        return ReservedBytes(self, count)

    def has_room(self, count: int) -> bool:
        """Whether ``count`` more bytes are within the budget."""
        return self._held == 0 or self._held + count <= self.most_bytes

    def add(self, change: int) -> None:
        """Hold more bytes, or fewer; does not wait."""
        with self._changed:
            self._held += change
            if change < 0:
                self._changed.notify_all()


class ReservedBytes:
    """A part of a budget; a context manager."""

    def __init__(self, budget: PictureBudget, count: int) -> None:
        self._budget, self._count = budget, count

    def shrink(self, count: int) -> None:
        """Keep only ``count`` bytes of it."""
        change, self._count = count - self._count, count
        self._budget.add(change)
        self._budget.on_reserved(change)

    def __enter__(self) -> ReservedBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shrink(0)
