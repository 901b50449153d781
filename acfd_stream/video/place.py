"""A frame that was read, so that a later reader of the same video finds it and goes on behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from acfd_stream.types import Picture
from acfd_stream.video.jumps import Jumps, JumpWatch
from acfd_stream.video.losses import LossWatch

Tally: TypeAlias = "tuple[int, int, Jumps, Jumps, bool]"
"""What reading has met so far: refused packets, damaged frames, resizings, reversals, whether times only rose."""


def tally_of(losses: LossWatch, jumps: JumpWatch) -> Tally:
    """What stands in the books after the last frame."""
    return losses.refused, losses.damaged, jumps.resizings, jumps.reversals, jumps.is_rising


@dataclass(frozen=True)
class Place:
    """The last frame that was seen, and what reading had met up to it."""

    index: int
    pts: int
    is_pts_filled: bool = False
    tally: Tally = (0, 0, Jumps(), Jumps(), True)
    is_picture: Callable[[Picture], bool] = field(default=lambda picture: True, compare=False)
    """Whether a picture is that of the frame."""

    @property
    def is_unique(self) -> bool:
        """Whether the time of the frame tells it from all before it."""
        return self.tally[4] and not self.is_pts_filled

    def values(self) -> dict[str, Any]:
        """For JSON; without ``is_picture``."""
        refused, damaged, resizings, reversals, is_rising = self.tally
        return {
            "index": self.index,
            "pts": self.pts,
            "pts_filled": self.is_pts_filled,
            "refused": refused,
            "damaged": damaged,
            "resizings": [resizings.first, resizings.count],
            "reversals": [reversals.first, reversals.count],
            "rising": is_rising,
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any], is_picture: Callable[[Picture], bool]) -> Place:
        """The place that ``values`` was taken from."""
        tally = (
            int(values["refused"]),
            int(values["damaged"]),
            Jumps(*values["resizings"]),
            Jumps(*values["reversals"]),
            bool(values["rising"]),
        )
        return cls(int(values["index"]), int(values["pts"]), bool(values["pts_filled"]), tally, is_picture)
