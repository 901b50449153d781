"""A frame that was read, so that a later reader of the same video finds it and goes on behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from acfd_stream.types import Picture
from acfd_stream.video.jumps import Jumps, JumpWatch
from acfd_stream.video.losses import LossWatch


class Tally(NamedTuple):
    """What reading has met up to a frame."""

    refused: int = 0  # packets at the beginning that the decoder refused
    damaged: int = 0  # frames that it patched up
    unshown: int = 0  # other packets that gave no frame
    resizings: Jumps = Jumps()
    reversals: Jumps = Jumps()
    is_rising: bool = True  # every frame is later than the one before it


def tally_of(losses: LossWatch, jumps: JumpWatch) -> Tally:
    """What stands in the books after the last frame."""
    return Tally(losses.refused, losses.damaged, losses.unshown, jumps.resizings, jumps.reversals, jumps.is_rising)


@dataclass(frozen=True)
class Place:
    """The last frame that was seen, and what reading had met up to it."""

    index: int
    pts: int
    is_pts_filled: bool = False
    tally: Tally = field(default=Tally())
    is_picture: Callable[[Picture], bool] = field(default=lambda picture: True, compare=False)
    """Whether a picture is that of the frame."""

    @property
    def is_unique(self) -> bool:
        """Whether the time of the frame tells it from all before it."""
        return self.tally.is_rising and not self.is_pts_filled

    def values(self) -> dict[str, Any]:
        """For JSON; without ``is_picture``."""
        tally = self.tally
        return {
            "index": self.index,
            "pts": self.pts,
            "pts_filled": self.is_pts_filled,
            "lost": [tally.refused, tally.damaged, tally.unshown],
            "resizings": [tally.resizings.first, tally.resizings.count],
            "reversals": [tally.reversals.first, tally.reversals.count],
            "rising": tally.is_rising,
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any], is_picture: Callable[[Picture], bool]) -> Place:
        """The place that ``values`` was taken from."""
        refused, damaged, unshown = (int(count) for count in values["lost"])
        resizings, reversals = Jumps(*values["resizings"]), Jumps(*values["reversals"])
        tally = Tally(refused, damaged, unshown, resizings, reversals, bool(values["rising"]))
        return cls(int(values["index"]), int(values["pts"]), bool(values["pts_filled"]), tally, is_picture)
