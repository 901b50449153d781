"""Crops of faces to train and check the embedding on: by set and character, or one face that nobody has named.

Every crop is a square of CONTEXT times the longer side of the face's box, SIDE pixels, black outside the picture.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.types import FloatArray

from ..opencv import cv2
from ..readers import FACE, read_coco, read_picture

SIDE = 144
"""Pixels of a crop's side."""
CONTEXT = 1.8
"""Side of the square relative to the longer side of the face's box."""
LEAST_FACE = 24.0
"""Longer side of a face from which on it is cropped, pixels."""
ONE_SHOW = {"springfield": "simpsons"}
"""Sets that belong to another set's show."""
Pixels = NDArray[np.uint8]
COLUMNS = ("file", "show", "character", "quality")


@dataclass(frozen=True)
class CropSet:
    """Crops in memory, with whom they show."""

    pixels: Pixels  # [N, SIDE, SIDE, 3] RGB
    shows: tuple[str, ...]  # [N], the set of each
    characters: tuple[str, ...]  # [N], unique within a set
    is_noisy: NDArray[np.bool_]  # [N], the name may be wrong

    def __len__(self) -> int:
        return len(self.shows)

    def where(self, chosen: NDArray[np.bool_]) -> CropSet:
        """The crops for which ``chosen`` [N] is True."""
        numbers = np.flatnonzero(chosen)
        return CropSet(
            self.pixels[chosen],
            tuple(self.shows[number] for number in numbers),
            tuple(self.characters[number] for number in numbers),
            self.is_noisy[chosen],
        )

    def of_shows(self, shows: Sequence[str]) -> CropSet:
        """The crops of ``shows``.

        Raises:
            ConfigError: a show has no crops.
        """
        unknown = sorted(set(shows) - set(self.shows))
        if unknown:
            raise ConfigError(f"no crops of {', '.join(unknown)}; there are {', '.join(sorted(set(self.shows)))}")
        return self.of_known(shows)

    def of_known(self, shows: Sequence[str]) -> CropSet:
        """The crops of those of ``shows`` that have any."""
        return self.where(np.isin(np.array(self.shows), list(shows)))

    def without(self, shows: Sequence[str]) -> CropSet:
        """The crops of all other shows."""
        return self.where(~np.isin(np.array(self.shows), list(shows)))

    def by_show(self) -> list[CropSet]:
        """The crops of each show; those of ONE_SHOW together."""
        names = np.array([ONE_SHOW.get(show, show) for show in self.shows])
        return [self.where(names == name) for name in dict.fromkeys(names.tolist())]


def read_characters(table: Path) -> CropSet:
    """The crops that a CSV file lists, with columns COLUMNS; file names are relative to its folder.

    Raises:
        ConfigError: the file is missing, lacks a column or lists nothing.
        MediaError: a crop is missing or cannot be read.
    """
    try:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{table}: cannot be read as CSV ({error})") from error
    missing = [name for name in COLUMNS if not rows or not isinstance(rows[0].get(name), str)]
    if missing:
        raise ConfigError(f"{table}: lists no crops, or lacks the columns {', '.join(missing)}")
    with ThreadPoolExecutor() as pool:
        pixels = list(pool.map(lambda row: _read_crop(table.parent / row["file"]), rows))
    return CropSet(
        np.stack(pixels),
        tuple(row["show"] for row in rows),
        tuple(row["character"] for row in rows),
        np.array([row["quality"] == "noisy" for row in rows]),
    )


def _read_crop(file: Path) -> Pixels:
    crop = read_picture(file)[0]
    if crop.shape != (SIDE, SIDE, 3):
        raise MediaError(f"{file}: a crop must be {SIDE}×{SIDE} pixels, got {crop.shape[1]}×{crop.shape[0]}")
    return crop


def read_single_faces(annotation: Path, images: Path, show: str) -> CropSet:
    """Every face of a COCO file as a character of its own: its only views are its augmentations.

    Raises:
        ConfigError: the file is missing or not COCO.
        MediaError: a picture is missing or cannot be read.
    """
    crops = []
    for sample in read_coco(annotation, images):
        boxes = sample.boxes_xyxy[sample.kinds == FACE]
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) >= LEAST_FACE]
        if len(boxes):
            picture = read_picture(sample.file)[0]
            crops += [cut(picture, box) for box in boxes]
    names = tuple(f"{number:05}" for number in range(len(crops)))
    pixels = np.stack(crops) if crops else np.zeros((0, SIDE, SIDE, 3), np.uint8)
    return CropSet(pixels, (show,) * len(crops), names, np.zeros(len(crops), bool))


def cut(picture: Pixels, box_xyxy: FloatArray) -> Pixels:
    """The crop of one face.

    Args:
        picture: uint8 [H, W, 3].
        box_xyxy: float32 [4], pixels of ``picture``.
    """
    centre = (box_xyxy[:2] + box_xyxy[2:]) / 2
    side = CONTEXT * float((box_xyxy[2:] - box_xyxy[:2]).max())
    ratio = SIDE / side
    if ratio < 1:  # an affine warp alone would skip pixels
        picture = cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        centre, ratio = centre * ratio, 1.0
    shift = (SIDE - 1) / 2 - (centre - 0.5) * ratio  # a pixel's centre is half a pixel from its edge
    matrix = np.array([[ratio, 0, shift[0]], [0, ratio, shift[1]]], np.float32)
    return np.asarray(cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)
