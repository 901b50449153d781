"""What a stream demands of the machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from acfd_stream.config import require
from acfd_stream.pipeline.costs import Size


@dataclass(frozen=True)
class Demand:
    """Requirements of a stream."""

    display_size: Size  # (height, width)
    frame_rate: float = 0.0  # frames per second; of files unused
    objective_seconds: float | None = None  # None: a file, without a deadline
    view_side: int = 0  # of its pictures; see Picture
    caller: str = ""  # who shares the machine with others

    def __post_init__(self) -> None:
        require(min(self.display_size) >= 1, "size", self.display_size, "at least 1×1")
        require(0 <= self.frame_rate <= 1000, "frame_rate", self.frame_rate, "in 0 … 1000")
        if self.objective_seconds is not None:
            require(self.frame_rate > 0, "frame_rate", self.frame_rate, "above 0 for a live stream")
            require(0 < self.objective_seconds < math.inf, "objective_seconds", self.objective_seconds, "> 0")

    @property
    def is_live(self) -> bool:
        """Whether the frames have an objective."""
        return self.objective_seconds is not None
