"""Drawn situations in which trackers fail, with the detections of two detectors: the input of ``tracking.py``.

A seed determines everything. Detections of the shipped network take minutes and can be cached in a folder.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import Detector, StageSeconds
from acfd_stream.detect.runner import ModelSpec
from acfd_stream.model.toon import ClipTruth, render, write_clip
from acfd_stream.model.toon.truth import FaceTruth
from acfd_stream.types import Detections, Picture
from acfd_stream.video import open_video

SITUATIONS = {  # name in the table → the plan that draws it
    "crowd": "crowd",
    "crossing": "passing",
    "cuts": "cuts",
    "fades": "fades",
    "flashes": "flashes",
    "on twos": "running",
    "on threes": "running_threes",
    "exits and re-entries": "returns",
}
SIZE = (360, 640)  # (height, width); the network input is slightly smaller
RATE = 24


@dataclass(frozen=True)
class Recorded:
    """A clip, its ground truth, and the faces detected in every frame."""

    situation: str
    seed: int
    video: Path
    truth: ClipTruth
    checksums: tuple[int, ...]  # of the decoded planes, one per frame
    found: tuple[Detections, ...]  # one per frame

    @property
    def cuts(self) -> list[int]:
        """First frames of all shots but the first."""
        return [change.at for change in self.truth.changes if change.at is not None]


def recorded(situation: str, seed: int, folder: Path, detector: Detector) -> Recorded:
    """A situation with the detector's faces; reuses what is cached in ``folder``."""
    stem = folder / f"{SITUATIONS[situation]}-{seed}"
    video, truth, found = (stem.with_suffix(suffix) for suffix in (".mp4", ".truth.json", ".found.json"))
    if not found.exists():
        write_clip(video, render(SITUATIONS[situation], seed, SIZE, RATE), crf=21).save(truth)
        found.write_text(json.dumps(list(_seen(video, detector))))
    frames = json.loads(found.read_text())
    detections = tuple(_detections(frame["faces"]) for frame in frames)
    checksums = tuple(frame["checksum"] for frame in frames)
    return Recorded(situation, seed, video, ClipTruth.load(truth), checksums, detections)


def simulated(scene: Recorded) -> Recorded:
    """The same clip with the faces of a simulated poor detector; see ``flickering``."""
    rng = np.random.default_rng((scene.seed, zlib.crc32(scene.situation.encode())))
    first: dict[int, Detections] = {}  # equal pictures always give equal detections
    seen = zip(scene.checksums, flickering(scene.truth, rng), strict=True)
    return replace(scene, found=tuple(first.setdefault(key, detections) for key, detections in seen))


def _seen(video: Path, detector: Detector) -> Iterator[dict[str, Any]]:
    source = open_video(video)
    try:
        for frame in source:
            (detections,) = detector.detect_batch([frame.picture])
            faces = zip(detections.boxes_xyxy.tolist(), detections.scores.tolist(), strict=True)
            yield {"checksum": checksum(frame.picture), "faces": [[*box, score] for box, score in faces]}
    finally:
        source.close()


def _detections(faces: Sequence[Sequence[float]]) -> Detections:
    values = np.array(faces, np.float32).reshape(-1, 5)
    return Detections(np.ascontiguousarray(values[:, :4]), np.ascontiguousarray(values[:, 4]))


def checksum(picture: Picture) -> int:
    """A checksum that identifies a picture."""
    total = 0
    for plane in picture.planes:
        total = zlib.crc32(np.ascontiguousarray(plane).tobytes(), total)
    return total


class Replay:
    """An engine that returns recorded detections, so that all of ``track`` runs on them."""

    def __init__(self, scene: Recorded, detector: Detector) -> None:
        self._detector = detector
        self._found = dict(zip(scene.checksums, scene.found, strict=True))
        self.config: DetectConfig = detector.config
        self.spec: ModelSpec = detector.spec
        self.precision, self.description, self.device = detector.precision, "replay", "cpu"

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """Recorded detections of each picture, with zero duration."""
        stages = ("queue", "preprocess", "infer", "decode_boxes", "nms")
        return [(self._found[checksum(picture)], dict.fromkeys(stages, 0.0)) for picture in pictures]

    def close(self) -> None:
        """There is nothing to free."""


def flickering(truth: ClipTruth, rng: np.random.Generator) -> Iterator[Detections]:
    """Faces of a poor detector: 8 % missed, runs of misses, 20 % uncertain, 4 % jitter, persistent false alarms.

    A face that is partly hidden is missed more often. A held drawing always gives the same faces.
    """
    blind: Counter[int] = Counter()
    ghost, drawing = _Ghost(rng), -1
    seen = Detections.empty()
    for frame in truth.frames:
        if frame.drawing != drawing:
            drawing = frame.drawing
            found = [face for each in frame.faces if (face := _glimpse(each, blind, rng)) is not None]
            found += ghost.appear(truth.size)
            found.sort(key=lambda face: -face[4])
            seen = _detections(found)
        yield seen


def _glimpse(face: FaceTruth, blind: Counter[int], rng: np.random.Generator) -> list[float] | None:
    """Box and score of a face, or None if it is missed."""
    if blind[face.id] == 0 and rng.random() < 0.02:
        blind[face.id] = int(rng.integers(1, 5))  # drawings
    is_blind = blind[face.id] > 0 or rng.random() > 0.92 * min(1.0, face.visible / 0.6)
    blind[face.id] = max(0, blind[face.id] - 1)
    if is_blind or face.visible < 0.2:
        return None
    score = rng.uniform(0.16, 0.5) if rng.random() < 0.2 else rng.uniform(0.5, 0.99)
    side = face.box_xyxy[2] - face.box_xyxy[0]
    x1, y1, x2, y2 = np.array(face.box_xyxy) + rng.normal(0, 0.04 * side, 4)
    return [x1, y1, max(x2, x1 + 1), max(y2, y1 + 1), score]


class _Ghost:
    """A false alarm that lasts a few drawings."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._box: list[float] = []
        self._left = 0

    def appear(self, size: tuple[int, int]) -> list[list[float]]:
        """Boxes with scores of this drawing's false alarms: one or none."""
        rng = self._rng
        if self._left == 0 and rng.random() < 0.08:
            x, y, side = rng.uniform((0, 0, 0.05 * size[0]), (size[1], size[0], 0.3 * size[0]))
            self._box, self._left = [x, y, x + side, y + side], int(rng.integers(1, 4))
        if self._left == 0:
            return []
        self._left -= 1
        return [[*self._box, rng.uniform(0.1, 0.7)]]
