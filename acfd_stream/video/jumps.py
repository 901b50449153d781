"""Where a stream jumps: its size or its clock changes in the middle, as in recordings put one behind the other."""

from __future__ import annotations


class JumpWatch:
    """Compares each frame with the one before it."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._seconds = 0.0
        self._resizings: list[str] = []
        self._reversals: list[str] = []

    def note(self, seconds: float, display_size: tuple[int, int]) -> None:
        """A frame is given out."""
        if self._size is not None:
            if display_size != self._size:
                old, new = ("×".join(map(str, size[::-1])) for size in (self._size, display_size))
                self._resizings.append(f"from {old} to {new} pixels at {seconds:.3f} s")
            if seconds < self._seconds:
                self._reversals.append(f"from {self._seconds:.3f} s to {seconds:.3f} s")
        self._size, self._seconds = display_size, seconds

    def warnings(self) -> list[str]:
        """Sentences for the user, after the last frame."""
        found = []
        if self._resizings:
            found.append(f"the picture changes {_first(self._resizings)}; boxes are in the pixels of their own frame")
        if self._reversals:
            found.append(f"times go back {_first(self._reversals)}; they are kept as the file gives them")
        return found


def _first(jumps: list[str]) -> str:
    more = len(jumps) - 1
    return jumps[0] + (f" and {more} more time{'s' * (more > 1)}" if more else "")
