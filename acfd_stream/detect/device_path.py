"""Pictures to faces on a GPU: pixels are uploaded once, faces are downloaded once, nothing else is copied."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.device_sizes import NetworkSizes
from acfd_stream.detect.runner import COMPILED_SHAPES
from acfd_stream.detect.views import StageSeconds, letterboxes
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import Detections, Picture

if TYPE_CHECKING:
    from acfd_stream.ops.cuda.faces import CudaFaces

_Sizes = tuple[tuple[int, int], ...]
STAGES = ("preprocess", "infer", "decode_boxes")
"""The stages of one scale of a batch, in this order."""


class DevicePath:
    """All steps of a batch, queued in order on one stream. May be used from several threads at once.

    Pictures with the same network sizes share a batch. A picture's stage times are those of its batch, by the
    device's clock; ``queue`` is the time before its batch was queued.
    """

    concurrency = 1  # a batch keeps the device busy

    def __init__(self, gpu: GpuNetwork) -> None:
        self._gpu = gpu
        self.spec, self.facts = gpu.network.spec, gpu.network.facts
        self._sizes = NetworkSizes(gpu)
        self._faces: LRUCache[_Sizes, CudaFaces] = LRUCache(COMPILED_SHAPES)

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """See ``Detector.detect_timed``."""
        called = time.perf_counter()
        views = [letterboxes(picture.display_size, self._gpu.config, picture.view_side) for picture in pictures]
        groups: dict[_Sizes, list[int]] = {}
        for index, boxes in enumerate(views):
            groups.setdefault(tuple(box.network_size for box in boxes), []).append(index)
        for size in {size for sizes in groups for size in sizes}:
            self._sizes.prepare(size)
        seen: dict[int, tuple[Detections, StageSeconds]] = {}
        with self._sizes.stream():
            for sizes, group in groups.items():
                most = min(self._sizes.at(size).usable[-1] for size in sizes)
                for part in _parts(group, most):
                    waited = time.perf_counter() - called
                    batch = [pictures[at] for at in part], [views[at] for at in part]
                    found, seconds = self._detect_batch(*batch, sizes)
                    seen |= {at: (faces, {"queue": waited} | seconds) for at, faces in zip(part, found, strict=True)}
        return [seen[index] for index in range(len(pictures))]

    def close(self) -> None:
        """Free the network; a second call does nothing."""
        with suppress(RunnerError), self._sizes.stream():  # raised if it is closed already
            self._faces.clear()
        self._sizes.close()

    def _detect_batch(
        self, pictures: Sequence[Picture], views: Sequence[Sequence[Letterbox]], sizes: _Sizes
    ) -> tuple[list[Detections], StageSeconds]:
        """Faces of one batch, and the time of its stages."""
        networks = [self._sizes.at(size) for size in sizes]
        faces, mark = self._faces_of(sizes), self._gpu.ops.mark
        faces.begin(views)
        marks = [mark()]
        for scale, network in enumerate(networks):
            network.letterboxes.put(pictures, [boxes[scale] for boxes in views])
            marks.append(mark())
            network.launch(len(pictures))
            marks.append(mark())
            faces.decode(scale, network.scores, network.deltas)
            marks.append(mark())
        faces.suppress()
        marks.append(mark())
        return faces.read(), self._seconds(marks)

    def _seconds(self, marks: Sequence[Any]) -> StageSeconds:
        """Seconds of the stages, summed over the scales."""
        spans = [self._gpu.ops.seconds(begin, end) for begin, end in pairwise(marks)]
        seconds = {stage: sum(spans[at : -1 : len(STAGES)]) for at, stage in enumerate(STAGES)}
        return seconds | {"nms": spans[-1]}

    def _faces_of(self, sizes: _Sizes) -> CudaFaces:
        if sizes not in self._faces:
            config = self._gpu.config
            self._faces[sizes] = self._gpu.ops.faces(
                config.batch,
                sizes,
                self.spec.anchors,
                score_threshold=config.score_threshold,
                candidates=config.candidates,
                nms_iou=config.nms_iou,
                faces=config.faces,
            )
        return self._faces[sizes]


def _parts(indices: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """``indices`` in parts of at most ``most``."""
    yield from (indices[begin : begin + most] for begin in range(0, len(indices), most))
