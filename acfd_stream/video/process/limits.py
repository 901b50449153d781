"""What a decoder process may take."""

from __future__ import annotations

from dataclasses import dataclass

from acfd_stream.config import require

LEAST_MEMORY_BYTES = 128 * 2**20
SHARED_PARTS = 4
"""Pictures may take one part in so many of the limit besides, in memory that the caller sees."""


@dataclass(frozen=True)
class DecoderLimits:
    """Limits of one decoder process."""

    memory_bytes: int = 2 * 2**30
    """Most memory, bytes, >= 128 MiB; a quarter more for pictures. Those that were given out do not count."""
    held_bytes: int = 16 * 2**20
    """Most bytes that are read and held without a picture, >= 1 MiB; more for large pictures, see ``watch``."""
    silent_bytes: int = 2**30
    """Most bytes that are read without a picture, >= 1 MiB; not of a URL."""
    silent_seconds: float = 20.0
    """Longest time of computing without a picture, seconds of CPU time, > 0."""
    niceness: int = 0
    """Added to the niceness of the process, 0 … 19: processes that are less nice get CPU time first."""

    def __post_init__(self) -> None:
        least = {"memory_bytes": LEAST_MEMORY_BYTES, "held_bytes": 2**20, "silent_bytes": 2**20}
        for name, bound in least.items():
            require(getattr(self, name) >= bound, name, getattr(self, name), f">= {bound}")
        require(self.silent_seconds > 0, "silent_seconds", self.silent_seconds, "> 0")
        require(0 <= self.niceness <= 19, "niceness", self.niceness, "in 0 … 19")
