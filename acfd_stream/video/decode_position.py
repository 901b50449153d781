"""The position of a frame that was read, from which a later reader of the same video continues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from acfd_stream import stored
from acfd_stream.types import Picture
from acfd_stream.video.discontinuities import Discontinuities, DiscontinuityWatch
from acfd_stream.video.holes import Pace
from acfd_stream.video.losses import LossWatch

_FIRST_CHARACTERS = 200  # of a discontinuity in words


class LossCounts(NamedTuple):
    """Losses and discontinuities up to a frame."""

    refused: int = 0  # packets at the beginning that the decoder rejected
    damaged: int = 0  # frames that it repaired
    unshown: int = 0  # other packets without a frame
    resizings: Discontinuities = Discontinuities()
    reversals: Discontinuities = Discontinuities()
    is_rising: bool = True  # every frame is later than the one before it
    is_plain: bool = True  # no gap, damaged frame, seam or made up time
    pace: Pace = Pace()


def loss_counts_of(losses: LossWatch, watch: DiscontinuityWatch, *, is_plain: bool = True) -> LossCounts:
    """The counts after the last frame; ``is_plain`` speaks of what the two do not know."""
    is_plain = is_plain and losses.is_plain and not watch.resizings.count
    counts = losses.refused, losses.damaged, losses.unshown
    return LossCounts(*counts, watch.resizings, watch.reversals, watch.is_rising, is_plain, losses.holes.pace)


@dataclass(frozen=True)
class DecodePosition:
    """The last frame that was read, with the losses and discontinuities up to it."""

    index: int
    pts: int
    is_pts_filled: bool = False
    loss_counts: LossCounts = field(default=LossCounts())
    is_picture: Callable[[Picture], bool] = field(default=lambda picture: True, compare=False)
    """Whether a picture is the one of the frame."""

    @property
    def is_unique(self) -> bool:
        """Whether a seek to its time finds it: no earlier frame has that time, and all before it is plain."""
        return self.loss_counts.is_rising and self.loss_counts.is_plain and not self.is_pts_filled

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
            "plain": loss_counts.is_plain,
            "pace": list(loss_counts.pace),
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any], is_picture: Callable[[Picture], bool]) -> DecodePosition:
        """The position that ``values`` was taken from.

        Raises:
            ResumeError: it is damaged.
        """
        stored.fields(values, "place", "index", "pts", "pts_filled", "lost", "resizings", "reversals", "rising")
        refused, damaged, unshown = (
            stored.whole(count, "place.lost", -stored.MOST_COUNT)
            for count in stored.items(values["lost"], "place.lost", 3, 3)
        )
        pace = [stored.whole(count, "place.pace") for count in stored.items(values.get("pace", ()), "place.pace", 3)]
        loss_counts = LossCounts(
            refused,
            damaged,
            unshown,
            _restored(values["resizings"], "place.resizings"),
            _restored(values["reversals"], "place.reversals"),
            stored.flag(values["rising"], "place.rising"),
            stored.flag(values.get("plain", True), "place.plain"),
            Pace(*pace),
        )
        index, pts = stored.whole(values["index"], "place.index"), stored.pts(values["pts"], "place.pts")
        return cls(index, pts, stored.flag(values["pts_filled"], "place.pts_filled"), loss_counts, is_picture)


def _restored(values: Any, name: str) -> Discontinuities:
    first, count = stored.items(values, name, 2, 2)
    return Discontinuities(stored.text(first, name, _FIRST_CHARACTERS), stored.whole(count, name))
