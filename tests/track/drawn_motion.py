"""Faces that move as drawings do, seen by a detector that flickers; and IDF1 to judge the tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from acfd_stream.config import TrackConfig
from acfd_stream.track import FaceTracker
from acfd_stream.track.assignment import is_same_box
from acfd_stream.types import Detections, Face

Scene = list[dict[int, list[float]]]  # a frame: id → box_xyxy
Tracks = list[tuple[Face, ...]]


def seen(*boxes: Sequence[float], score: float = 0.9) -> Detections:
    """Detections of equal score."""
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), score, np.float32))


def walk(start: float, speed: float, y: float, side: float, frames: int, hold: int) -> list[list[float] | None]:
    """Boxes of a face that walks to the right, a drawing every ``hold`` frames; None outside 0 … 1280 px."""
    boxes: list[list[float] | None] = []
    for frame in range(frames):
        drawn = frame // hold * hold
        x, bob = start + speed * drawn, y + 0.2 * side * float(np.sin(drawn / 6 + y))
        is_visible = 0.2 * side < x < 1280 - 0.2 * side
        boxes.append([x - side / 2, bob - side / 2, x + side / 2, bob + side / 2] if is_visible else None)
    return boxes


def scene_of(walks: Sequence[list[list[float] | None]]) -> Scene:
    """The walks together, by frame."""
    return [
        {i: box for i, walk in enumerate(walks) if (box := walk[frame]) is not None} for frame in range(len(walks[0]))
    ]


def flickering(scene: Scene, rng: np.random.Generator, false_alarms: float = 0.08) -> list[Detections]:
    """What a poor detector sees: 8 % missed, 20 % unsure, 4 % jitter, bursts of misses, false alarms that stay."""
    blind: Counter[int] = Counter()
    ghost, ghost_left = np.zeros(4), 0
    frames = []
    for faces in scene:
        found: list[tuple[float, NDArray[np.float64]]] = []
        for face, box in faces.items():
            if blind[face] == 0 and rng.random() < 0.01:
                blind[face] = int(rng.integers(2, 9))
            is_blind = blind[face] > 0 or rng.random() < 0.08
            blind[face] = max(0, blind[face] - 1)
            if not is_blind:
                score = rng.uniform(0.16, 0.5) if rng.random() < 0.2 else rng.uniform(0.5, 0.99)
                found.append((score, np.array(box) + rng.normal(0, 0.04 * (box[2] - box[0]), 4)))
        if ghost_left == 0 and rng.random() < false_alarms:
            x, y, side = rng.uniform((0, 0, 30), (1280, 720, 200))
            ghost, ghost_left = np.array([x, y, x + side, y + side]), int(rng.integers(1, 4))
        if ghost_left:
            found.append((rng.uniform(0.1, 0.7), ghost))
            ghost_left -= 1
        found.sort(key=lambda pair: -pair[0])
        boxes = np.array([box for _, box in found], np.float32).reshape(-1, 4)
        frames.append(Detections(boxes, np.array([score for score, _ in found], np.float32)))
    return frames


def track(frames: Sequence[Detections], cuts: Sequence[int] = (), config: TrackConfig | None = None) -> Tracks:
    """Faces of every frame."""
    tracker = FaceTracker(config)
    faces: Tracks = []
    for index, detections in enumerate(frames):
        faces += tracker.push(detections, is_new_shot=index in cuts)
    return faces + tracker.flush()


def lengths(tracks: Tracks) -> Counter[int]:
    """Frames of every track id."""
    return Counter(face.track_id for faces in tracks for face in faces)


def idf1(scene: Scene, tracks: Tracks) -> float:
    """Ristani et al., 2016: F1 of the best one-to-one match of true and given ids at IoU 0.5."""
    true_ids = sorted({i for faces in scene for i in faces})
    given_ids = sorted(lengths(tracks))
    hits = np.zeros((len(true_ids), max(1, len(given_ids))))
    for truth, faces in zip(scene, tracks, strict=True):
        if truth and faces:
            boxes = np.array([face.box_xyxy for face in faces])
            for true_id, box in truth.items():
                for column in np.flatnonzero(is_same_box(np.tile(box, (len(faces), 1)), boxes, 0.5)):
                    hits[true_ids.index(true_id), given_ids.index(faces[column].track_id)] += 1
    rows, columns = linear_sum_assignment(-hits)
    total = sum(len(faces) for faces in scene) + sum(len(faces) for faces in tracks)
    return 2 * float(hits[rows, columns].sum()) / total
