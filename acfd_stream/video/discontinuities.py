"""Changes of size and steps back in time in the middle of a stream, as in concatenated recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from acfd_stream.types import Seam


@dataclass(frozen=True, slots=True)
class Discontinuities:
    """Discontinuities of one kind: the text of the first one, and their number."""

    first: str = ""
    count: int = 0

    def and_one(self, text: str) -> Discontinuities:
        """These and one more, described by ``text``."""
        return replace(self, first=self.first or text, count=self.count + 1)

    def __str__(self) -> str:
        more = self.count - 1
        return self.first + (f" and {more} more time{'s' * (more > 1)}" if more else "")


class DiscontinuityWatch:
    """Compares each frame with the one before it."""

    def __init__(self) -> None:
        self.resizings = Discontinuities()
        self.reversals = Discontinuities()
        self.replaced = Discontinuities()  # times that went back, and were replaced
        self.is_rising = True  # every frame is later than the one before it
        self._size: tuple[int, int] | None = None
        self._seconds = 0.0

    def note(self, seconds: float, display_size: tuple[int, int]) -> tuple[Seam, ...]:
        """Compare a frame with the one before it; what begins anew with it."""
        seams: tuple[Seam, ...] = ()
        if self._size is not None:
            if display_size != self._size:
                seams = (Seam.SIZE,)
                old, new = ("×".join(map(str, size[::-1])) for size in (self._size, display_size))
                self.resizings = self.resizings.and_one(f"from {old} to {new} pixels at {seconds:.3f} s")
            if seconds <= self._seconds:
                self.is_rising = False
            if seconds < self._seconds:
                self.reversals = self.reversals.and_one(f"from {self._seconds:.3f} s to {seconds:.3f} s")
        self._size, self._seconds = display_size, seconds
        return seams

    def note_replaced(self, seconds: float, given_seconds: float) -> None:
        """Count a frame that is shown at ``seconds``, since the time in the file is not after the frame before."""
        self.is_rising = False
        self.replaced = self.replaced.and_one(f"to {given_seconds:.3f} s, where {seconds:.3f} s is meant")

    def resume(
        self, seconds: float, display_size: tuple[int, int], resizings: Discontinuities, reversals: Discontinuities
    ) -> None:
        """Continue after a frame of this time and size, with the discontinuities of the frames up to it."""
        self.resizings, self.reversals = resizings, reversals
        self._size, self._seconds = display_size, seconds

    def warnings(self) -> list[str]:
        """Warnings for the user, after the last frame."""
        found = []
        if self.resizings.count:
            found.append(f"the picture changes {self.resizings}; boxes are in the pixels of their own frame")
        if self.reversals.count:
            found.append(f"times go back {self.reversals}; they are kept as the file gives them")
        if self.replaced.count:
            found.append(f"times go back {self.replaced}; they were put in the order of the pictures")
        return found
