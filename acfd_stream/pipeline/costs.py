"""Times of pictures on the engine: measured at the start, and corrected while it runs."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import letterboxes
from acfd_stream.pipeline.engine import Engine
from acfd_stream.types import Picture, PixelFormat

Size = tuple[int, int]
Views = tuple[Size, ...]
"""Network input sizes of a picture's views."""

_REPEATS = 5
_FIRST_RUNS = 20
"""Single pictures at the start, from which the slowness of the slowest is estimated."""
_TAIL_PICTURES = 64
_TAIL = 0.95
_GOOD_ENOUGH = 1.05
"""A batch within this factor of the lowest cost per picture counts as cheapest."""
_PACE_STEP = 0.05
_PACE_RANGE = (0.25, 4.0)  # slower batches have another cause: a compilation, a sleeping machine


class Costs:
    """Seconds that pictures occupy the engine.

    A picture costs the time of its views, plus a time per megapixel. A batch of n pictures costs a share of n single
    pictures. An engine with several slots runs several batches in parallel, and each slows down the others. ``pace`` is
    the current time divided by the measured time. ``tail`` is the time of the slowest picture in twenty divided by the
    usual time; other load on the machine raises both.

    Args:
        detect: how a picture becomes views.
        views: network sizes of a picture's views → seconds for all of them; at least one.
        megapixel_seconds: added per megapixel of the picture, >= 0.
        batches: seconds of a batch of n pictures, divided by those of n single pictures, for n = 1, 2, 3 …
        slots: number of parallel batches that use the whole engine, >= 1.
        contention: seconds of a batch when all slots are busy, divided by those of one alone, >= 1.
    """

    def __init__(
        self,
        detect: DetectConfig,
        views: Mapping[Views, float],
        megapixel_seconds: float = 0.0,
        batches: Sequence[float] = (1.0,),
        slots: int = 1,
        contention: float = 1.0,
    ) -> None:
        self._detect = detect
        self._views = dict(views)
        self._megapixel_seconds = megapixel_seconds
        self._batches = tuple(batches)
        self.slots = slots
        self._contention = max(1.0, contention)
        self.pace = self.tail = 1.0
        self._recent: deque[float] = deque(maxlen=_TAIL_PICTURES)
        shares = dict(enumerate(self._batches, 1))
        self.file_batch = _cheapest(shares)
        """The smallest batch with about the lowest cost per picture: a larger one only adds waiting time."""
        self.best_batch = _cheapest({count: share for count, share in shares.items() if share * 2 * count <= count + 1})
        """The same among batches whose pictures are done earlier, on average, than one by one: for live pictures."""

    def views_of(self, display_size: Size, view_side: int = 0) -> Views:
        """Network input sizes for a picture of ``display_size``; ``view_side`` as in ``Picture``."""
        return tuple(box.network_size for box in letterboxes(display_size, self._detect, view_side))

    def picture_seconds(self, display_size: Size, view_side: int = 0) -> float:
        """Seconds of a single picture, as measured on the idle engine."""
        views = self.views_of(display_size, view_side)
        seconds = self._views.get(views)
        if seconds is None:
            near = min(self._views, key=lambda known: abs(_area(known) - _area(views)))
            seconds = self._views[near] * _area(views) / _area(near)
        return seconds + self._megapixel_seconds * megapixels(display_size)

    def batch_seconds(self, alone_seconds: float, pictures: int, running: float = 1.0) -> float:
        """Seconds from the start of a batch to its end.

        Args:
            alone_seconds: sum of its pictures' ``picture_seconds``.
            pictures: number of pictures, >= 1.
            running: number of parallel batches, including this one, 1 … ``slots``.
        """
        share = self._batches[min(pictures, len(self._batches)) - 1]
        others = 0.0 if self.slots == 1 else min(running - 1, self.slots - 1) / (self.slots - 1)
        return alone_seconds * share * (1 + (self._contention - 1) * others) * self.pace

    def busy_seconds(self, alone_seconds: float) -> float:
        """Seconds of the whole engine per picture, at full load."""
        batch = self.best_batch
        return self.batch_seconds(alone_seconds * batch, batch, self.slots) / (batch * self.slots)

    def observe(
        self, alone_seconds: float, pictures: int, seconds: float, running: float = 1.0, weight: float = _PACE_STEP
    ) -> None:
        """Update ``pace`` and ``tail`` from a batch that took ``seconds`` while ``running`` batches ran.

        ``weight`` in (0, 1] is the share of this batch in the running mean.
        """
        expected = self.batch_seconds(alone_seconds, pictures, running) / self.pace
        if expected > 0:
            low, high = _PACE_RANGE
            ratio = min(max(seconds / expected, low), high)
            self.pace += weight * (ratio - self.pace)
            self._recent.append(ratio)
            slow = sorted(self._recent)[math.ceil(_TAIL * len(self._recent)) - 1]
            self.tail = max(1.0, slow / self.pace)

    def measure_view(
        self,
        engine: Engine,
        display_sizes: Sequence[Size],
        view_side: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Measure pictures at another input size; see ``measure_costs``."""
        for size in display_sizes:
            seconds = _seconds(engine, [blank_picture(size, view_side)], clock) / self.pace
            self._views[self.views_of(size, view_side)] = _view_seconds(seconds, size, self._megapixel_seconds)


def measure_costs(
    engine: Engine,
    display_sizes: Sequence[Size],
    batch: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Measure every batch size on every picture size, or every slot.

    This is the warm-up: it also compiles the network for these sizes. An engine with several slots gets single
    pictures, so that no picture waits for another.

    Args:
        engine: an idle engine.
        display_sizes: (height, width) of pictures, at least one.
        batch: batch sizes 1 … ``batch`` are measured.
        clock: seconds; tests pass their own.
    """
    config = engine.config
    pictures = [blank_picture(size) for size in display_sizes]
    alone = [_seconds(engine, [picture], clock) for picture in pictures]
    views = [tuple(box.network_size for box in letterboxes(size, config)) for size in display_sizes]
    megapixel_seconds = _megapixel_seconds(engine, pictures[0], alone[0], clock)
    slots, batches, contention = engine.concurrency, [1.0], 1.0
    if slots > 1:
        contention = sum(_seconds(engine, [picture] * slots, clock) for picture in pictures) / sum(alone)
    else:
        for count in range(2, batch + 1):
            taken = [_seconds(engine, [picture] * count, clock) for picture in pictures]
            batches.append(sum(taken) / sum(alone) / count)
    by_views = {
        key: _view_seconds(seconds, size, megapixel_seconds)
        for key, seconds, size in zip(views, alone, display_sizes, strict=True)
    }
    costs = Costs(config, by_views, megapixel_seconds, batches, slots, contention)
    for _ in range(_FIRST_RUNS):
        costs.observe(costs.picture_seconds(display_sizes[0]), 1, _once(engine, pictures[:1], clock))
    return costs


def _cheapest(shares: Mapping[int, float]) -> int:
    """The smallest batch with about the lowest cost per picture."""
    return next(count for count, share in shares.items() if share <= _GOOD_ENOUGH * min(shares.values()))


def blank_picture(display_size: Size, view_side: int = 0) -> Picture:
    """A grey picture in a decoder's format."""
    return painted(display_size, lambda shape: np.full(shape, 128, np.uint8), view_side)


def painted(display_size: Size, plane: Callable[[Size], NDArray[np.uint8]], view_side: int = 0) -> Picture:
    """A picture in a decoder's format; ``plane`` makes each plane from its size."""
    height, width = display_size
    chroma = (-(-height // 2), -(-width // 2))
    planes = tuple(plane(shape) for shape in (display_size, chroma, chroma))
    return Picture(planes, PixelFormat.YUV420P, display_size, view_side=view_side)


def megapixels(display_size: Size) -> float:
    """Millions of pixels."""
    return display_size[0] * display_size[1] / 1e6


def _view_seconds(seconds: float, display_size: Size, megapixel_seconds: float) -> float:
    """The part of a picture's ``seconds`` that its views take."""
    return max(seconds - megapixel_seconds * megapixels(display_size), seconds / 2)


def _megapixel_seconds(engine: Engine, picture: Picture, seconds: float, clock: Callable[[], float]) -> float:
    """Seconds per megapixel that a larger picture adds at the same input size."""
    height, width = picture.display_size
    larger = blank_picture((2 * height, 2 * width))
    added = _seconds(engine, [larger], clock) - seconds
    return max(0.0, added) / (megapixels(larger.display_size) - megapixels(picture.display_size))


def _seconds(engine: Engine, pictures: list[Picture], clock: Callable[[], float]) -> float:
    """The fastest of some runs, after one that is not counted, because it may compile."""
    engine.detect_timed(pictures)
    return min(_once(engine, pictures, clock) for _ in range(_REPEATS))


def _once(engine: Engine, pictures: list[Picture], clock: Callable[[], float]) -> float:
    begin = clock()
    engine.detect_timed(pictures)
    return clock() - begin


def _area(views: Iterable[Size]) -> int:
    return sum(height * width for height, width in views)
