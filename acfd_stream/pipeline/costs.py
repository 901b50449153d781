"""What pictures cost the engine: measured once before it is ready, and followed while it runs."""

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
"""Network sizes of a picture's views."""

_REPEATS = 5
_FIRST_LOOKS = 20
"""Single pictures at the start that tell how much slower than usual one may be."""
_TAIL_PICTURES = 64
_TAIL = 0.95
_GOOD_ENOUGH = 1.05
"""A batch this close to the cheapest a picture is as good as it."""
_PACE_STEP = 0.05
_PACE_RANGE = (0.25, 4.0)  # one batch that took longer than that had another reason: a compilation, a sleeping machine


class Costs:
    """Seconds that pictures keep the engine busy.

    A picture costs what its views cost, and something a megapixel of its own; n pictures of a batch cost a share of
    what they cost one by one. An engine with several slots looks at as many batches at once, each of them slower for
    the others. ``pace`` is how much slower than when it was measured the engine is now, and ``tail`` how much slower
    than that one picture in twenty is: other programs on the machine, and other machines beside it, see to that.

    Args:
        detect: how a picture becomes views.
        views: network sizes of a picture's views → seconds for all of them; at least one.
        megapixel_seconds: what the picture's own size adds, >= 0.
        batches: seconds of a batch of n pictures in units of n pictures one by one, for n = 1, 2, 3 …
        slots: batches at once that keep the engine busy, >= 1.
        beside: seconds of a batch when all slots are busy in units of one by itself, >= 1.
    """

    def __init__(
        self,
        detect: DetectConfig,
        views: Mapping[Views, float],
        megapixel_seconds: float = 0.0,
        batches: Sequence[float] = (1.0,),
        slots: int = 1,
        beside: float = 1.0,
    ) -> None:
        self._detect = detect
        self._views = dict(views)
        self._megapixel_seconds = megapixel_seconds
        self._batches = tuple(batches)
        self.slots = slots
        self._beside = max(1.0, beside)
        self.pace = self.tail = 1.0
        self._recent: deque[float] = deque(maxlen=_TAIL_PICTURES)
        shares = dict(enumerate(self._batches, 1))
        self.file_batch = _cheapest(shares)
        """The smallest batch that is about as cheap a picture as any: a larger one only makes pictures wait."""
        self.best_batch = _cheapest({count: share for count, share in shares.items() if share * 2 * count <= count + 1})
        """The same of those whose pictures are sooner done, on average, than one by one: for pictures in a hurry."""

    def views_of(self, display_size: Size, view_side: int = 0) -> Views:
        """Network sizes that a picture of ``display_size`` is seen at; ``view_side`` as in ``Picture``."""
        return tuple(box.network_size for box in letterboxes(display_size, self._detect, view_side))

    def picture_seconds(self, display_size: Size, view_side: int = 0) -> float:
        """Seconds of one picture by itself, as measured before the engine was busy."""
        views = self.views_of(display_size, view_side)
        seconds = self._views.get(views)
        if seconds is None:
            near = min(self._views, key=lambda known: abs(_area(known) - _area(views)))
            seconds = self._views[near] * _area(views) / _area(near)
        return seconds + self._megapixel_seconds * megapixels(display_size)

    def batch_seconds(self, alone_seconds: float, pictures: int, running: float = 1.0) -> float:
        """Seconds from when a batch begins to when it is done.

        Args:
            alone_seconds: sum of its pictures' ``picture_seconds``.
            pictures: how many there are, >= 1.
            running: batches that run meanwhile, itself among them, 1 … ``slots``.
        """
        share = self._batches[min(pictures, len(self._batches)) - 1]
        others = 0.0 if self.slots == 1 else min(running - 1, self.slots - 1) / (self.slots - 1)
        return alone_seconds * share * (1 + (self._beside - 1) * others) * self.pace

    def busy_seconds(self, alone_seconds: float) -> float:
        """Seconds that a picture takes of the whole engine when that is as busy as it can be."""
        batch = self.best_batch
        return self.batch_seconds(alone_seconds * batch, batch, self.slots) / (batch * self.slots)

    def observe(
        self, alone_seconds: float, pictures: int, seconds: float, running: float = 1.0, weight: float = _PACE_STEP
    ) -> None:
        """Learn from a batch that took ``seconds`` while ``running`` of them ran.

        ``weight`` is how much it counts against those before.
        """
        expected = self.batch_seconds(alone_seconds, pictures, running) / self.pace
        if expected > 0:
            low, high = _PACE_RANGE
            seen = min(max(seconds / expected, low), high)
            self.pace += weight * (seen - self.pace)
            self._recent.append(seen)
            slow = sorted(self._recent)[math.ceil(_TAIL * len(self._recent)) - 1]
            self.tail = max(1.0, slow / self.pace)

    def measure_view(
        self,
        engine: Engine,
        display_sizes: Sequence[Size],
        view_side: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Have the engine look at pictures at another size, and remember what they cost; see ``measure_costs``."""
        for size in display_sizes:
            seconds = _seconds(engine, [blank_picture(size, view_side)], clock) / self.pace
            self._views[self.views_of(size, view_side)] = _view_seconds(seconds, size, self._megapixel_seconds)


def measure_costs(
    engine: Engine,
    display_sizes: Sequence[Size],
    batch: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Run every batch size on every picture size, or every slot, and say what they cost.

    Afterwards nothing has to be compiled for these sizes: this is the warm-up. An engine with several slots gets single
    pictures, so that none waits for its neighbour.

    Args:
        engine: of which nobody else wants anything yet.
        display_sizes: (height, width) of pictures, at least one.
        batch: run 1 … ``batch`` pictures at once.
        clock: seconds; a test's own, where time is not to pass.
    """
    config = engine.config
    pictures = [blank_picture(size) for size in display_sizes]
    alone = [_seconds(engine, [picture], clock) for picture in pictures]
    views = [tuple(box.network_size for box in letterboxes(size, config)) for size in display_sizes]
    megapixel_seconds = _megapixel_seconds(engine, pictures[0], alone[0], clock)
    slots, batches, beside = engine.concurrency, [1.0], 1.0
    if slots > 1:
        beside = sum(_seconds(engine, [picture] * slots, clock) for picture in pictures) / sum(alone)
    else:
        for count in range(2, batch + 1):
            taken = [_seconds(engine, [picture] * count, clock) for picture in pictures]
            batches.append(sum(taken) / sum(alone) / count)
    by_views = {
        key: _view_seconds(seconds, size, megapixel_seconds)
        for key, seconds, size in zip(views, alone, display_sizes, strict=True)
    }
    costs = Costs(config, by_views, megapixel_seconds, batches, slots, beside)
    for _ in range(_FIRST_LOOKS):
        costs.observe(costs.picture_seconds(display_sizes[0]), 1, _once(engine, pictures[:1], clock))
    return costs


def _cheapest(shares: Mapping[int, float]) -> int:
    """The smallest batch with about the least share of what its pictures cost one by one."""
    return next(count for count, share in shares.items() if share <= _GOOD_ENOUGH * min(shares.values()))


def blank_picture(display_size: Size, view_side: int = 0) -> Picture:
    """A grey picture as a decoder would give it."""
    return painted(display_size, lambda shape: np.full(shape, 128, np.uint8), view_side)


def painted(display_size: Size, plane: Callable[[Size], NDArray[np.uint8]], view_side: int = 0) -> Picture:
    """A picture as a decoder would give it, each of its planes made for its size."""
    height, width = display_size
    chroma = (-(-height // 2), -(-width // 2))
    planes = tuple(plane(shape) for shape in (display_size, chroma, chroma))
    return Picture(planes, PixelFormat.YUV420P, display_size, view_side=view_side)


def megapixels(display_size: Size) -> float:
    """Millions of pixels."""
    return display_size[0] * display_size[1] / 1e6


def _view_seconds(seconds: float, display_size: Size, megapixel_seconds: float) -> float:
    """What of a picture's ``seconds`` its views take, and not its own pixels."""
    return max(seconds - megapixel_seconds * megapixels(display_size), seconds / 2)


def _megapixel_seconds(engine: Engine, picture: Picture, seconds: float, clock: Callable[[], float]) -> float:
    """What more pixels of the same shape, seen at the same size, add."""
    height, width = picture.display_size
    larger = blank_picture((2 * height, 2 * width))
    added = _seconds(engine, [larger], clock) - seconds
    return max(0.0, added) / (megapixels(larger.display_size) - megapixels(picture.display_size))


def _seconds(engine: Engine, pictures: list[Picture], clock: Callable[[], float]) -> float:
    """The fastest of some runs, after one that is not counted: it may have something to compile."""
    engine.detect_timed(pictures)
    return min(_once(engine, pictures, clock) for _ in range(_REPEATS))


def _once(engine: Engine, pictures: list[Picture], clock: Callable[[], float]) -> float:
    begin = clock()
    engine.detect_timed(pictures)
    return clock() - begin


def _area(views: Iterable[Size]) -> int:
    return sum(height * width for height, width in views)
