"""An engine without a runtime: it finds the one bright square of a drawn frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from acfd_stream import ops
from acfd_stream.config import DetectConfig
from acfd_stream.detect.runner import ModelSpec
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import AnchorSpec
from acfd_stream.pipeline.engine import StageSeconds
from acfd_stream.types import Detections, Picture

SPEC = ModelSpec(
    name="square",
    version="1",
    anchors=AnchorSpec((8,), 4.0, (0.1, 0.2)),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    pad=(0, 0, 0),
    size=128,
    score_threshold=0.1,
    classes=("face",),
    training_data="none",
    date="2026-01-01",
)


class SquareFinder:
    """The square's box, to a pixel; its score depends on its brightness."""

    spec, precision, description, device = SPEC, "f32", "drawn by hand", "cpu"

    def __init__(self, batch: int = 4, before: Callable[[], object] = lambda: None) -> None:
        self.config = DetectConfig(size=128, batch=batch)
        self.pictures = 0
        self._before = before
        self._closed = threading.Event()

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        self._before()
        if self._closed.is_set():
            raise RunnerError("model square is closed")
        self.pictures += len(pictures)
        stages = ("queue", "preprocess", "infer", "decode_boxes", "nms")
        return [(found(picture), dict.fromkeys(stages, 1e-6)) for picture in pictures]

    def close(self) -> None:
        self._closed.set()


def found(picture: Picture) -> Detections:
    image = ops.thumbnail(picture, picture.display_size).min(axis=2)
    rows, columns = np.nonzero(image > 128)
    if rows.size < 16:
        return Detections.empty()
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    score = float(image[rows, columns].mean()) / 256
    return Detections(np.array([box], np.float32), np.array([score], np.float32))
