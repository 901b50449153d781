"""A clock for tests in which time is not to pass by itself."""

from __future__ import annotations


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
