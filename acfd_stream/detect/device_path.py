"""Pictures to faces on a GPU: pixels go up once, faces come down once, nothing is copied in between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

from cachetools import LRUCache

from acfd_stream.detect.device import Faces, GpuNetwork, Mark
from acfd_stream.detect.device_sizes import NetworkSizes
from acfd_stream.detect.runner import COMPILED_SHAPES, EngineFacts, ModelSpec
from acfd_stream.detect.views import StageSeconds, letterboxes
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import Detections, Picture

_Sizes = tuple[tuple[int, int], ...]
STAGES = ("preprocess", "infer", "decode_boxes")
"""What a scale of a batch goes through, in this order."""


class DevicePath:
    """All steps of a batch, queued one after the other on one stream. May be used from several threads at once.

    Pictures that are seen at the same sizes share a batch. A picture's stages last as long as its batch's, by the
    device's own clock; ``queue`` is what it waited before its batch was queued.
    """

    concurrency = 1  # a batch keeps the device busy

    def __init__(self, gpu: GpuNetwork) -> None:
        self._gpu = gpu
        self._sizes = NetworkSizes(gpu)
        self._faces: LRUCache[_Sizes, Faces] = LRUCache(COMPILED_SHAPES)

    @property
    def spec(self) -> ModelSpec:
        """What the model file says of itself."""
        return self._gpu.network.spec

    @property
    def facts(self) -> EngineFacts:
        """What runs the network."""
        return self._gpu.network.facts

    def see(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """See ``Detector.detect_timed``."""
        called = time.perf_counter()
        views = [letterboxes(picture.display_size, self._gpu.config, picture.view_side) for picture in pictures]
        places: dict[_Sizes, list[int]] = {}
        for place, boxes in enumerate(views):
            places.setdefault(tuple(box.network_size for box in boxes), []).append(place)
        for size in {size for sizes in places for size in sizes}:
            self._sizes.prepare(size)
        seen: dict[int, tuple[Detections, StageSeconds]] = {}
        with self._sizes.stream():
            for sizes, group in places.items():
                most = min(self._sizes.at(size).usable[-1] for size in sizes)
                for part in _parts(group, most):
                    waited = time.perf_counter() - called
                    found, seconds = self._see([pictures[at] for at in part], [views[at] for at in part], sizes)
                    seen |= {at: (faces, {"queue": waited} | seconds) for at, faces in zip(part, found, strict=True)}
        return [seen[place] for place in range(len(pictures))]

    def close(self) -> None:
        """Free the network; a second call does nothing."""
        with suppress(RunnerError), self._sizes.stream():  # an error: it is closed already
            self._faces.clear()
        self._sizes.close()

    def _see(
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

    def _seconds(self, marks: Sequence[Mark]) -> StageSeconds:
        """Seconds of the stages, summed over the scales."""
        spans = [self._gpu.ops.seconds(begin, end) for begin, end in pairwise(marks)]
        seconds = {stage: sum(spans[at : -1 : len(STAGES)]) for at, stage in enumerate(STAGES)}
        return seconds | {"nms": spans[-1]}

    def _faces_of(self, sizes: _Sizes) -> Faces:
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


def _parts(places: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """``places`` in turns of at most ``most``."""
    yield from (places[begin : begin + most] for begin in range(0, len(places), most))
