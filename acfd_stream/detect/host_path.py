"""Pictures to faces on the CPU: one thread takes a view of a picture through all steps.

Several views run at once, as many as the runner can use: one is prepared while the network runs on another. If there
are few views, several threads can share the network of each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from acfd_stream import ops
from acfd_stream.config import DetectConfig
from acfd_stream.detect.runner import Runner
from acfd_stream.detect.views import StageSeconds, letterboxes
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import Detections, FloatArray, Picture


@dataclass(frozen=True)
class _View:
    """The result of one scale of a picture, in display pixels."""

    boxes_xyxy: FloatArray  # [N, 4]
    scores: FloatArray  # [N]
    cut_score: float | None  # upper bound of the candidates that were cut off; None: none were
    seconds: StageSeconds


class HostPath:
    """A runner of host arrays and the ops of the CPU around it. May be used from several threads at once.

    Args:
        runner: the network, one thread per view.
        config: sizes, thresholds and caps.
        latency_runner: the same network with several threads per view. It runs calls of no more views than it runs
            at once. None: ``runner`` runs every call.
    """

    def __init__(self, runner: Runner, config: DetectConfig, latency_runner: Runner | None = None) -> None:
        self._config = config
        self._runner, self._latency_runner = runner, latency_runner or runner
        self.spec, self.facts, self.concurrency = runner.spec, runner.facts, self._latency_runner.concurrency
        self._pool = ThreadPoolExecutor(runner.concurrency, thread_name_prefix="acfd-detect")

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """See ``Detector.detect_timed``."""
        called = time.perf_counter()
        views = [letterboxes(picture.display_size, self._config, picture.view_side) for picture in pictures]
        jobs = [(picture, box) for picture, boxes in zip(pictures, views, strict=True) for box in boxes]
        try:
            runner = self._latency_runner if len(jobs) <= self._latency_runner.concurrency else self._runner
            pending = [self._pool.submit(self._detect_view, *job, runner, called) for job in jobs]
        except RuntimeError as error:  # raised by a closed pool
            raise RunnerError(f"model {self.spec.name} is closed") from error
        seen = iter([future.result() for future in pending])
        return [self._merged([next(seen) for _ in boxes]) for boxes in views]

    def close(self) -> None:
        """Free the network and its threads; a second call does nothing."""
        self._pool.shutdown(cancel_futures=True)
        self._runner.close()
        self._latency_runner.close()

    def _detect_view(self, picture: Picture, view: Letterbox, runner: Runner, called: float) -> _View:
        """One scale of one picture, from pixels to boxes."""
        begin = time.perf_counter()
        image = ops.letterbox(picture, view, self.spec.pad)
        prepared = time.perf_counter()
        scores, deltas = runner.run(image[None])
        inferred = time.perf_counter()
        limits = (self._config.score_threshold, self._config.candidates)
        found = ops.decode_anchors(scores[0], deltas[0], view, self.spec.anchors, *limits)
        boxes = _clipped(view.to_display(found.boxes_xyxy), view.display_size)
        decoded = time.perf_counter()
        seconds = {
            "queue": begin - called,
            "preprocess": prepared - begin,
            "infer": inferred - prepared,
            "decode_boxes": decoded - inferred,
        }
        return _View(boxes, found.scores, float(found.scores[-1]) if found.is_truncated else None, seconds)

    def _merged(self, views: list[_View]) -> tuple[Detections, StageSeconds]:
        begin = time.perf_counter()
        found = ops.merge_scales(
            [(view.boxes_xyxy, view.scores) for view in views], self._config.nms_iou, self._config.faces
        )
        cuts = [view.cut_score for view in views if view.cut_score is not None]
        if cuts:
            found = replace(found, is_truncated=True, cut_score=max(found.cut_score, *cuts))
        seconds = {stage: sum(view.seconds[stage] for view in views) for stage in views[0].seconds}
        seconds["queue"] = min(view.seconds["queue"] for view in views)
        return found, seconds | {"nms": time.perf_counter() - begin}


def _clipped(boxes_xyxy: FloatArray, display_size: tuple[int, int]) -> FloatArray:
    """Boxes inside the picture; float rounding can put a corner slightly outside."""
    height, width = display_size
    return np.clip(boxes_xyxy, 0, np.array([width, height, width, height], np.float32))
