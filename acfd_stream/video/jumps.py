"""Where a stream jumps: its size or its clock changes in the middle, as in recordings put one behind the other."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Jumps:
    """Jumps of one kind: how the first one reads, and how many there were."""

    first: str = ""
    count: int = 0

    def and_one(self, text: str) -> Jumps:
        """These and one more."""
        return replace(self, first=self.first or text, count=self.count + 1)

    def __str__(self) -> str:
        more = self.count - 1
        return self.first + (f" and {more} more time{'s' * (more > 1)}" if more else "")


class JumpWatch:
    """Compares each frame with the one before it."""

    def __init__(self) -> None:
        self.resizings = Jumps()
        self.reversals = Jumps()
        self.is_rising = True  # every frame is later than the one before it
        self._size: tuple[int, int] | None = None
        self._seconds = 0.0

    def note(self, seconds: float, display_size: tuple[int, int]) -> None:
        """A frame is given out."""
        if self._size is not None:
            if display_size != self._size:
                old, new = ("×".join(map(str, size[::-1])) for size in (self._size, display_size))
                self.resizings = self.resizings.and_one(f"from {old} to {new} pixels at {seconds:.3f} s")
            if seconds <= self._seconds:
                self.is_rising = False
            if seconds < self._seconds:
                self.reversals = self.reversals.and_one(f"from {self._seconds:.3f} s to {seconds:.3f} s")
        self._size, self._seconds = display_size, seconds

    def go_on(self, seconds: float, display_size: tuple[int, int], *, resizings: Jumps, reversals: Jumps) -> None:
        """As if the frames up to one of this time and size had been given out, with these jumps among them."""
        self.resizings, self.reversals = resizings, reversals
        self._size, self._seconds = display_size, seconds

    def warnings(self) -> list[str]:
        """Sentences for the user, after the last frame."""
        found = []
        if self.resizings.count:
            found.append(f"the picture changes {self.resizings}; boxes are in the pixels of their own frame")
        if self.reversals.count:
            found.append(f"times go back {self.reversals}; they are kept as the file gives them")
        return found
