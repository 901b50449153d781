"""A frame that was read, so that a later reader of the same video finds it and goes on behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from acfd_stream.types import Picture
from acfd_stream.video.discontinuities import Discontinuities, DiscontinuityWatch
from acfd_stream.video.losses import LossWatch


class LossCounts(NamedTuple):
    """What reading has met up to a frame."""

    refused: int = 0  # packets at the beginning that the decoder refused
    damaged: int = 0  # frames that it patched up
    unshown: int = 0  # other packets that gave no frame
    resizings: Discontinuities = Discontinuities()
    reversals: Discontinuities = Discontinuities()
    is_rising: bool = True  # every frame is later than the one before it


def loss_counts_of(losses: LossWatch, jumps: DiscontinuityWatch) -> LossCounts:
    """What stands in the books after the last frame."""
    return LossCounts(losses.refused, losses.damaged, losses.unshown, jumps.resizings, jumps.reversals, jumps.is_rising)


@dataclass(frozen=True)
class DecodePosition:
    """The last frame that was seen, and what reading had met up to it."""

    index: int
    pts: int
    is_pts_filled: bool = False
    loss_counts: LossCounts = field(default=LossCounts())
    is_picture: Callable[[Picture], bool] = field(default=lambda picture: True, compare=False)
    """Whether a picture is that of the frame."""

    @property
    def is_unique(self) -> bool:
        """Whether the time of the frame tells it from all before it."""
        return self.loss_counts.is_rising and not self.is_pts_filled

    def values(self) -> dict[str, Any]:
        """For JSON; without ``is_picture``."""
        loss_counts = self.loss_counts
        return {
            "index": self.index,
            "pts": self.pts,
            "pts_filled": self.is_pts_filled,
            "lost": [loss_counts.refused, loss_counts.damaged, loss_counts.unshown],
            "resizings": [loss_counts.resizings.first, loss_counts.resizings.count],
            "reversals": [loss_counts.reversals.first, loss_counts.reversals.count],
            "rising": loss_counts.is_rising,
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any], is_picture: Callable[[Picture], bool]) -> DecodePosition:
        """The place that ``values`` was taken from."""
        refused, damaged, unshown = (int(count) for count in values["lost"])
        resizings, reversals = Discontinuities(*values["resizings"]), Discontinuities(*values["reversals"])
        loss_counts = LossCounts(refused, damaged, unshown, resizings, reversals, bool(values["rising"]))
        return cls(int(values["index"]), int(values["pts"]), bool(values["pts_filled"]), loss_counts, is_picture)
