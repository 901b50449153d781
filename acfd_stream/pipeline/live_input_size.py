"""How large live frames are shown to the network: as large as the machine has time for."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acfd_stream.pipeline.costs import Costs, Size
from acfd_stream.pipeline.engine import Engine

LIVE_SIZES = (448, 384, 320)
"""Longer sides, pixels, that are tried in turn where the engine's own view takes too long."""
_SHARE = 0.25
"""Of the objective, for the network: it may take twice as long when the machine falters, and it is not all there is."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveInputSize:
    """The view of live frames."""

    side: int = 0  # longer side, pixels; 0: the engine's own
    enough_seconds: float = math.inf  # a stream with so long an objective has the engine's own

    def of(self, objective_seconds: float) -> int:
        """The longer side for a stream with this objective; 0: the engine's own."""
        return 0 if objective_seconds >= self.enough_seconds else self.side


def choose_live_view(
    engine: Engine,
    costs: Costs,
    display_sizes: Sequence[Size],
    objective_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> LiveInputSize:
    """The largest view whose pictures take a quarter of the objective, slow ones too; else the smallest there is.

    Args:
        engine: of which nobody else wants anything yet.
        costs: of it; learns what the view costs.
        display_sizes: (height, width) of frames, as they were measured; the first one decides.
        objective_seconds: longest time of a live frame.
        clock: seconds; a test's own, where time is not to pass.
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
        "live frames are looked at %d pixels wide, where a slow one takes %.1f ms; at %d it takes %.1f, of %g allowed",
        side, found * 1e3, size, own * 1e3, objective_seconds * 1e3,
    )  # fmt: skip
    return LiveInputSize(side, own / _SHARE)
