"""Input size of the network for live frames: the largest for which the machine is fast enough."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acfd_stream.pipeline.costs import Costs, Size
from acfd_stream.pipeline.engine import Engine

LIVE_SIZES = (448, 384, 320)
"""Longer sides in pixels, tried in this order if the engine's own size takes too long."""
_SHARE = 0.25
"""Share of the objective for the network: it may take twice as long at times, and other stages need time too."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveInputSize:
    """Input size for live frames."""

    side: int = 0  # longer side in pixels; 0: the engine's own
    enough_seconds: float = math.inf  # from this objective on, the engine's own size is used

    def of(self, objective_seconds: float) -> int:
        """Longer side for a stream with this objective, in pixels; 0: the engine's own."""
        return 0 if objective_seconds >= self.enough_seconds else self.side


def choose_live_view(
    engine: Engine,
    costs: Costs,
    display_sizes: Sequence[Size],
    objective_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> LiveInputSize:
    """The largest size at which slow pictures still take at most a quarter of the objective; else the smallest.

    Args:
        engine: an idle engine.
        costs: its costs; the chosen size is measured and added.
        display_sizes: (height, width) of the measured frames; the first one decides.
        objective_seconds: latency objective of a live frame.
        clock: seconds; tests pass their own.
    """
    limit, size, slowness = _SHARE * objective_seconds, engine.config.size, costs.pace * costs.tail
    own = costs.picture_seconds(display_sizes[0]) * slowness
    smaller = [side for side in LIVE_SIZES if side < size]
    if own <= limit or engine.config.scales or not smaller:
        return LiveInputSize()
    taken = {side: costs.picture_seconds(display_sizes[0], side) * slowness for side in smaller}
    side = next((side for side in smaller if taken[side] <= limit), smaller[-1])
    costs.measure_view(engine, display_sizes, side, clock)
    found = costs.picture_seconds(display_sizes[0], side) * slowness
    _log.info(
        "live frames are detected at %d pixels, where a slow one takes %.1f ms; at %d: %.1f ms; objective: %g ms",
        side, found * 1e3, size, own * 1e3, objective_seconds * 1e3,
    )  # fmt: skip
    return LiveInputSize(side, own / _SHARE)
