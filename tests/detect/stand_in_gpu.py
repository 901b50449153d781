"""A GPU's stand-in on the CPU: memory is NumPy's, the ops are the compiled ones, a captured stream is a list.

It keeps the manners of the real one: rows that nobody filled hold rubbish, the same memory is used again and again, and
what stands in a graph is run when that is launched, not when it was recorded.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acfd_stream import ops
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import AnchorSpec, Letterbox
from acfd_stream.types import Detections, Picture

STREAMS: dict[int, StandInOps] = {}
"""By the handle that runtimes are given."""
_handles = itertools.count(1)


class StandInOps:
    """``CudaOps`` in NumPy."""

    name = "stand-in"
    compute_capability = "0.0"

    def __init__(self) -> None:
        self.stream = next(_handles)
        self.is_closed = False
        self._recorded: list[Callable[[], None]] | None = None
        STREAMS[self.stream] = self

    def queue(self, work: Callable[[], None]) -> None:
        """Do ``work`` now, or record it."""
        if self.is_closed:
            raise RunnerError("stand-in is closed")
        if self._recorded is None:
            work()
        else:
            self._recorded.append(work)

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        array = np.empty(tuple(shape), dtype)
        array.view(np.uint8).fill(0xFF)  # floats: NaN
        return array

    def to_device(self, values: np.ndarray, target: np.ndarray) -> None:
        assert (values.dtype, values.shape) == (target.dtype, target.shape)
        self.queue(lambda: np.copyto(target, values))

    def to_host(self, values: np.ndarray) -> np.ndarray:
        assert self._recorded is None, "nothing may wait while a graph is recorded"
        return values.copy()

    def letterboxes(
        self, batch: int, network_size: tuple[int, int], dtype: Any, pad: Any, mean: Any, std: Any
    ) -> StandInLetterboxes:
        images = self.empty((batch, 3, *network_size), dtype)
        return StandInLetterboxes(self, images, pad, np.array(mean, np.float32), np.array(std, np.float32))

    def faces(
        self, batch: int, network_sizes: Sequence[tuple[int, int]], spec: AnchorSpec, **settings: Any
    ) -> StandInFaces:
        return StandInFaces(self, batch, tuple(network_sizes), spec, settings)

    def mark(self) -> float:
        return time.perf_counter()

    def seconds(self, begin: float, end: float) -> float:
        return end - begin

    def begin_capture(self) -> None:
        assert self._recorded is None
        self._recorded = []

    def end_capture(self) -> StandInGraph:
        assert self._recorded is not None
        recorded, self._recorded = self._recorded, None
        return StandInGraph(self, recorded)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class StandInGraph:
    """What was recorded."""

    ops: StandInOps
    recorded: list[Callable[[], None]]

    def launch(self) -> None:
        for work in self.recorded:
            self.ops.queue(work)


@dataclass
class StandInLetterboxes:
    """``CudaLetterboxes``."""

    ops: StandInOps
    images: np.ndarray
    pad: tuple[int, int, int]
    mean: np.ndarray
    std: np.ndarray

    def put(self, pictures: Sequence[Picture], views: Sequence[Letterbox]) -> None:
        for row, (picture, view) in enumerate(zip(pictures, views, strict=True)):
            levels = ops.letterbox(picture, view, self.pad)
            values = (levels.astype(np.float32) - self.mean) / self.std
            self.images[row] = values.transpose(2, 0, 1)


@dataclass
class StandInFaces:
    """``CudaFaces``."""

    ops: StandInOps
    batch: int
    sizes: tuple[tuple[int, int], ...]
    spec: AnchorSpec
    settings: dict[str, Any]

    def begin(self, views: Sequence[Sequence[Letterbox]]) -> None:
        assert len(views) <= self.batch
        assert all(tuple(box.network_size for box in boxes) == self.sizes for boxes in views)
        self.views = views
        self.found: list[list[Any]] = [[] for _ in views]

    def decode(self, scale: int, scores: np.ndarray, deltas: np.ndarray) -> None:
        for row, boxes in enumerate(self.views):
            view = boxes[scale]
            limits = (self.settings["score_threshold"], self.settings["candidates"])
            chosen = ops.decode_anchors(scores[row], deltas[row], view, self.spec, *limits)
            height, width = view.display_size
            limit = np.array([width, height, width, height], np.float32)
            found = (np.clip(view.to_display(chosen.boxes_xyxy), 0, limit), chosen.scores, chosen.is_truncated)
            self.found[row].append(found)

    def suppress(self) -> None:
        """All is done in ``read``."""

    def read(self) -> list[Detections]:
        return [self._merged(scales) for scales in self.found]

    def _merged(self, scales: list[Any]) -> Detections:
        pairs = [(boxes, scores) for boxes, scores, _ in scales]
        merged = ops.merge_scales(pairs, self.settings["nms_iou"], self.settings["faces"])
        cuts = [float(scores[-1]) for _, scores, is_truncated in scales if is_truncated]
        return replace(merged, is_truncated=True, cut_score=max(merged.cut_score, *cuts)) if cuts else merged
