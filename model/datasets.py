"""Sources of training pictures, decoded in memory and drawn by weight.

A source returns one picture at a time: uint8 RGB [H, W, 3], boxes float32 [N, 4] and kinds int8 [N]
(``readers.FACE``, ``IGNORE``, ``PARTIAL``, ``LOOSE``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acfd_stream.config import require
from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.types import FloatArray

from .opencv import cv2
from .readers import FACE, LOOSE, PARTIAL, READERS, Sample, check_inside, read_coco, read_picture
from .styles import lay_figure

Example = tuple[NDArray[np.uint8], FloatArray, NDArray[np.int8]]


class Source(Protocol):
    """A source of pictures."""

    def draw(self, rng: np.random.Generator) -> Example:
        """A picture, its boxes and their kinds."""


class PictureSource:
    """An annotated data set, decoded once.

    Args:
        samples: of a reader.
        longest: larger pictures are shrunk to this side, pixels.
        is_partial: some faces have no box, so confident detections elsewhere are not counted as errors.
        is_loose: boxes follow another convention; the loss's ``loose_regression`` is their weight.
        count: only this many pictures, chosen by ``choice``; a larger count includes those of a smaller one.
        choice: seed of the shuffle.

    Raises:
        ConfigError: a box lies outside its picture, or there are fewer pictures than ``count``.
        MediaError: a picture is missing or cannot be read.
    """

    def __init__(
        self,
        samples: list[Sample],
        *,
        longest: int = 640,
        is_partial: bool = False,
        is_loose: bool = False,
        count: int | None = None,
        choice: int = 0,
    ) -> None:
        require(isinstance(longest, int) and longest >= 1, "longest", longest, "a number of pixels >= 1")
        samples = chosen(samples, count, choice)
        with ThreadPoolExecutor() as pool:
            decoded = list(pool.map(lambda sample: read_picture(sample.file, longest), samples))
        self.examples: list[Example] = []
        for sample, (image, ratio) in zip(samples, decoded, strict=True):
            check_inside(sample, (round(image.shape[0] / ratio), round(image.shape[1] / ratio)))
            boxes, kinds = sample.boxes_xyxy * np.float32(ratio), sample.kinds
            whole = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
            for is_marked, kind in ((is_partial, PARTIAL), (is_loose, LOOSE)):
                if is_marked:
                    boxes, kinds = np.concatenate([boxes, whole]), np.append(kinds, np.int8(kind))
            self.examples.append((image, boxes, kinds))

    def draw(self, rng: np.random.Generator) -> Example:
        """One of the pictures, all equally likely."""
        return self.examples[rng.integers(len(self.examples))]


def chosen(samples: list[Sample], count: int | None, choice: int) -> list[Sample]:
    """The first ``count`` samples of a seeded shuffle; all, in order, for None."""
    if count is None:
        return samples
    if not 1 <= count <= len(samples):
        raise ConfigError(f"count must be in 1 … {len(samples)}, the pictures there are, got {count}")
    return [samples[number] for number in np.random.default_rng(choice).permutation(len(samples))[:count]]


class SpriteSource:
    """Figures with an alpha channel pasted over scenes without faces."""

    def __init__(self, sprites: Path, backgrounds: Path) -> None:
        try:
            table = json.loads((sprites / "sprites.json").read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{sprites / 'sprites.json'}: cannot be read ({error})") from error
        self.sprites = []
        for row in table:
            image = cv2.imread(str(sprites / row["file_name"]), cv2.IMREAD_UNCHANGED)
            if image is None or image.ndim != 3 or image.shape[2] != 4:
                raise MediaError(f"{sprites / row['file_name']}: is not a picture with an alpha channel")
            self.sprites.append((cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA), np.array(row["box_xyxy"], np.float32)))
        self.backgrounds = [read_picture(file, 640)[0] for file in sorted(backgrounds.glob("*.webp"))]
        if not self.sprites or not self.backgrounds:
            raise ConfigError(f"{sprites} and {backgrounds} must hold figures and scenes")

    def draw(self, rng: np.random.Generator) -> Example:
        """A scene with up to three figures, later ones in front."""
        scene = self.backgrounds[rng.integers(len(self.backgrounds))].copy()
        empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.int8))
        return self.lay((scene, *empty), int(rng.integers(0, 4)), (0.35, 1.3), rng)

    def lay(self, example: Example, count: int, heights: tuple[float, float], rng: np.random.Generator) -> Example:
        """A copy of ``example`` with ``count`` figures over it, their heights as shares of the picture's."""
        scene, boxes, kinds = example[0].copy(), example[1], example[2]
        for _ in range(count):
            sprite, box = self.sprites[rng.integers(len(self.sprites))]
            ratio = scene.shape[0] * rng.uniform(*heights) / sprite.shape[0]
            figure = cv2.resize(sprite, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
            last = scene.shape[1] - figure.shape[1] // 2
            first = -figure.shape[1] // 3
            left = min(int(rng.integers(first, max(first, last) + 1 + figure.shape[1])), last)
            top = int(rng.integers(0, max(1, scene.shape[0] - figure.shape[0] // 2)))
            boxes, kinds = lay_figure(scene, (boxes, kinds), figure, box * np.float32(ratio), (left, top))
        return scene, boxes, kinds


class DrawnSource:
    """Drawn pictures, drawn once and kept.

    Args:
        count: number of pictures.
        seed: number of the first; numbers from ``toon.sets.FIRST_SEED`` on are for evaluation.
        what: "any" for ``toon.picture``, or a name of ``toon.sets.SETS``.
    """

    def __init__(self, *, count: int, seed: int = 0, what: str = "any") -> None:
        from .toon.sets import FIRST_SEED, SETS

        require(what == "any" or what in SETS, "what", what, f"any, {', '.join(SETS)}")
        require(count >= 1 and 0 <= seed <= FIRST_SEED - count, "count", (count, seed), f"numbers below {FIRST_SEED}")
        with ProcessPoolExecutor() as pool:
            self.examples = list(pool.map(_draw_picture, repeat(what), range(seed, seed + count), chunksize=16))

    def draw(self, rng: np.random.Generator) -> Example:
        """One of the pictures, all equally likely."""
        return self.examples[rng.integers(len(self.examples))]


def _draw_picture(what: str, seed: int) -> Example:
    from .toon import picture
    from .toon.sets import draw_one

    if what != "any":
        image, boxes = draw_one(what, seed)
    else:
        rng = np.random.default_rng(seed)
        height = int(rng.integers(300, 480))
        image, boxes = picture(rng, (height, int(height * rng.uniform(1.0, 1.78))))
    return image, np.asarray(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), FACE, np.int8)


def open_sources(rows: list[dict[str, Any]], data: Path) -> tuple[list[Source], NDArray[np.float64]]:
    """The sources of a config's data rows, and the share of each.

    Args:
        rows: ``kind`` of each is coco, yolo, wider or icartoonface (with ``annotation`` and ``images``, and what
            ``PictureSource`` takes), selflabel (``folder`` of that script), sprites (``sprites``, ``backgrounds``) or
            drawn (``count``, ``seed``, ``what``).
        data: folder that their paths are relative to.

    Returns:
        the sources, and float64 [len(rows)] shares that sum to 1.

    Raises:
        ConfigError: a kind or key is unknown, a weight is not above 0, or an annotation cannot be used.
        MediaError: a picture is missing or cannot be read.
    """
    weights = [float(row.get("weight", 0)) for row in rows]
    if not rows or min(weights) <= 0:
        raise ConfigError(f"data rows must each have a weight above 0, got {weights}")
    return [_open_source(row, data) for row in rows], np.array(weights, np.float64) / sum(weights)


def read_set(row: str | Mapping[str, Any], data: Path) -> list[Sample]:
    """Samples of a config's ``validation``: the name of a COCO file of ``data``, or kind, annotation and images.

    Raises:
        ConfigError: the kind or a key is unknown or missing, or an annotation cannot be used or names no pictures.
        MediaError: a picture does not exist.
    """
    if isinstance(row, str):
        row = {"kind": "coco", "annotation": f"annotations/{row}.json", "images": "images"}
    is_complete = set(row) == {"kind", "annotation", "images"} and all(isinstance(value, str) for value in row.values())
    if not is_complete or row["kind"] not in READERS:
        allowed = f"a name, or kind ({', '.join(READERS)}), annotation and images"
        raise ConfigError(f"validation must be {allowed}, got {dict(row)}")
    samples = READERS[row["kind"]](data / row["annotation"], data / row["images"])
    if not samples:
        raise ConfigError(f"{data / row['annotation']}: names no pictures")
    for sample in samples:
        if not sample.file.is_file():
            raise MediaError(f"{sample.place}there is no picture {sample.file}")
    return samples


def check_pictures(samples: list[Sample]) -> None:
    """Refuse pictures that cannot be used, before hours of training end with them.

    Raises:
        ConfigError: no picture has a box, or a box lies outside its picture.
        MediaError: a picture cannot be read.
    """
    if not any(len(sample.boxes_xyxy) for sample in samples):
        raise ConfigError(f"{samples[0].file.parent}: no picture of the validation set has a box")
    with ThreadPoolExecutor() as pool:
        sizes = pool.map(lambda sample: read_picture(sample.file)[0].shape[:2], samples)
        for sample, size in zip(samples, sizes, strict=True):
            check_inside(sample, size)


def _open_source(row: Mapping[str, Any], data: Path) -> Source:
    keys = {key: value for key, value in row.items() if key not in ("kind", "weight")}
    kind = row.get("kind")
    try:
        if kind in READERS:
            own = {key: keys.pop(key) for key in ("annotation", "images")}
            return PictureSource(read_set({"kind": kind, **own}, data), **keys)
        if kind == "selflabel":
            folder = data / keys.pop("folder")
            return PictureSource(read_coco(folder / "annotations/selflabel.json", folder / "images"), **keys)
        if kind == "sprites":
            return SpriteSource(data / keys.pop("sprites"), data / keys.pop("backgrounds"), **keys)
        if kind == "drawn":
            return DrawnSource(**keys)
    except KeyError as error:
        raise ConfigError(f"data of kind {kind!r} needs the key {error}") from error
    except TypeError as error:
        raise ConfigError(f"data of kind {kind!r} has a key too many or too few ({error})") from error
    raise ConfigError(f"data kind must be {', '.join(READERS)}, selflabel, sprites or drawn, got {kind!r}")
