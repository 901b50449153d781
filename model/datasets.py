"""Pictures with boxes, held decoded in memory, drawn by weight.

A source gives one picture at a time: uint8 RGB [H, W, 3], boxes float32 [N, 4] and kinds int8 [N]
(``losses.FACE``, ``IGNORE``, ``PARTIAL``).
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.types import FloatArray

from .losses import FACE, IGNORE, PARTIAL

Example = tuple[NDArray[np.uint8], FloatArray, NDArray[np.int8]]


@dataclass(frozen=True)
class Sample:
    """One picture of a data set."""

    file: Path
    boxes_xyxy: FloatArray  # [N, 4]
    kinds: NDArray[np.int8]  # [N]


class Source(Protocol):
    """Something that pictures can be drawn from."""

    def draw(self, rng: np.random.Generator) -> Example:
        """One picture, its boxes and their kinds."""


def read_picture(file: Path, longest: int | None = None) -> tuple[NDArray[np.uint8], float]:
    """The picture as uint8 RGB, made smaller so that no side is above ``longest``, and the ratio used.

    Raises:
        MediaError: the file is missing or no picture.
    """
    try:
        encoded = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise MediaError(f"{file}: cannot be read ({error.strerror})") from error
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        raise MediaError(f"{file}: is not a picture")
    ratio = 1.0 if longest is None else min(1.0, longest / max(image.shape[:2]))
    if ratio < 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), ratio


def read_coco(annotation: Path, images: Path) -> list[Sample]:
    """Samples of a COCO file; every box is a face, a crowd is to be ignored.

    Raises:
        ConfigError: the file is missing or not COCO, or a box has no area or lies outside its picture.
    """
    try:
        table = json.loads(annotation.read_text())
        sizes = {image["id"]: (image["width"], image["height"]) for image in table["images"]}
        boxes: dict[int, list[tuple[list[float], int]]] = {number: [] for number in sizes}
        for row in table["annotations"]:
            x, y, width, height = row["bbox"]
            limit = sizes[row["image_id"]]
            if width <= 0 or height <= 0 or x >= limit[0] or y >= limit[1] or x + width <= 0 or y + height <= 0:
                raise ConfigError(f"{annotation}: annotation {row['id']} has box {row['bbox']} in a picture of {limit}")
            boxes[row["image_id"]].append(([x, y, x + width, y + height], IGNORE if row.get("iscrowd") else FACE))
    except OSError as error:
        raise ConfigError(f"{annotation}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{annotation}: is not a COCO file ({error!r})") from error
    return [
        Sample(
            images / image["file_name"],
            np.array([box for box, _ in boxes[image["id"]]], np.float32).reshape(-1, 4),
            np.array([kind for _, kind in boxes[image["id"]]], np.int8),
        )
        for image in table["images"]
    ]


class PictureSource:
    """A data set, decoded once."""

    def __init__(self, samples: list[Sample], *, longest: int = 640, is_partial: bool = False) -> None:
        with ThreadPoolExecutor() as pool:
            decoded = list(pool.map(lambda sample: read_picture(sample.file, longest), samples))
        self.examples: list[Example] = []
        for sample, (image, ratio) in zip(samples, decoded, strict=True):
            boxes, kinds = sample.boxes_xyxy * np.float32(ratio), sample.kinds
            if is_partial:
                whole = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
                boxes, kinds = np.concatenate([boxes, whole]), np.append(kinds, np.int8(PARTIAL))
            self.examples.append((image, boxes, kinds))

    def draw(self, rng: np.random.Generator) -> Example:
        """A picture, each as likely as the next."""
        return self.examples[rng.integers(len(self.examples))]


class SpriteSource:
    """Figures with an alpha channel laid over scenes without faces."""

    def __init__(self, sprites: Path, backgrounds: Path) -> None:
        table = json.loads((sprites / "sprites.json").read_text())
        self.sprites = []
        for row in table:
            image = cv2.imread(str(sprites / row["file_name"]), cv2.IMREAD_UNCHANGED)
            if image is None or image.ndim != 3 or image.shape[2] != 4:
                raise MediaError(f"{sprites / row['file_name']}: is not a picture with an alpha channel")
            self.sprites.append((cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA), np.array(row["box_xyxy"], np.float32)))
        self.backgrounds = [read_picture(file, 640)[0] for file in sorted(backgrounds.glob("*.webp"))]

    def draw(self, rng: np.random.Generator) -> Example:
        """A scene with up to three figures, later ones in front."""
        scene = self.backgrounds[rng.integers(len(self.backgrounds))].copy()
        boxes: list[FloatArray] = []
        for _ in range(rng.integers(0, 4)):
            sprite, box = self.sprites[rng.integers(len(self.sprites))]
            ratio = scene.shape[0] * rng.uniform(0.35, 1.3) / sprite.shape[0]
            figure = cv2.resize(sprite, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
            left = int(rng.integers(-figure.shape[1] // 3, scene.shape[1] - figure.shape[1] // 2 + 1 + figure.shape[1]))
            top = int(rng.integers(0, max(1, scene.shape[0] - figure.shape[0] // 2)))
            left = min(left, scene.shape[1] - figure.shape[1] // 2)
            _paste(scene, figure, left, top)
            boxes = [_uncovered(other, box * ratio + [left, top, left, top]) for other in boxes]
            boxes.append(np.asarray(box * ratio + [left, top, left, top], np.float32))
        limits = np.array([scene.shape[1], scene.shape[0]] * 2, np.float32)
        kept = [box.clip(0, limits) for box in boxes if _visible(box, limits) > 0.4]
        return scene, np.array(kept, np.float32).reshape(-1, 4), np.full(len(kept), FACE, np.int8)


def _paste(scene: NDArray[np.uint8], figure: NDArray[np.uint8], left: int, top: int) -> None:
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(scene.shape[1], left + figure.shape[1]), min(scene.shape[0], top + figure.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    part = figure[y1 - top : y2 - top, x1 - left : x2 - left]
    alpha = part[..., 3:].astype(np.float32) / 255
    scene[y1:y2, x1:x2] = part[..., :3] * alpha + scene[y1:y2, x1:x2] * (1 - alpha)


def _uncovered(box: FloatArray, cover: FloatArray) -> FloatArray:
    """``box``, or an empty box where a face in front covers more than half of it."""
    low, high = np.maximum(box[:2], cover[:2]), np.minimum(box[2:], cover[2:])
    inner = np.prod(np.maximum(high - low, 0))
    return np.zeros(4, np.float32) if inner > 0.5 * np.prod(box[2:] - box[:2]) else box


def _visible(box: FloatArray, limits: FloatArray) -> float:
    area = float(np.prod(box[2:] - box[:2]))
    return float(np.prod(np.maximum(box.clip(0, limits)[2:] - box.clip(0, limits)[:2], 0))) / area if area > 0 else 0.0


class DrawnSource:
    """Pictures of ``toon.picture``, drawn once, since drawing costs far more than reading."""

    def __init__(self, *, count: int, seed: int = 0) -> None:
        with ProcessPoolExecutor() as pool:
            self.examples = list(pool.map(_draw_picture, range(seed, seed + count), chunksize=16))

    def draw(self, rng: np.random.Generator) -> Example:
        """A picture, each as likely as the next."""
        return self.examples[rng.integers(len(self.examples))]


def _draw_picture(seed: int) -> Example:
    from .toon import picture

    rng = np.random.default_rng(seed)
    height = int(rng.integers(300, 480))
    image, boxes = picture(rng, (height, int(height * rng.uniform(1.0, 1.78))))
    return image, np.asarray(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), FACE, np.int8)
