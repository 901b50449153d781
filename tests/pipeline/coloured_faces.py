"""A drawn clip of coloured faces in three shots, a detector that finds them, and what is true of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acfd_stream import ops
from acfd_stream.pipeline.engine import StageSeconds
from acfd_stream.types import Detections, Picture
from tests.pipeline.square_finder import SquareFinder

SIZE = (96, 160)
FRAMES = 72
CUTS = (24, 48)
COLOURS = {"red": (255, 130, 130), "green": (130, 255, 130), "blue": (130, 130, 255)}
SHOTS: tuple[dict[str, tuple[int, int]], ...] = (
    {"red": (20, 30), "green": (90, 34)},
    {"green": (30, 40)},
    {"blue": (24, 28), "red": (100, 30)},
)
"""The faces of every shot, with their left and top; the second shot overlaps the place of red in the first."""
CHARACTERS = [(1, (1, 4)), (2, (2, 3)), (3, (5,))]
"""Number and tracks: within a frame the finder gives red first, then green, then blue."""


def shot_of(index: int) -> int:
    return sum(index >= cut for cut in CUTS)


def draw(index: int) -> np.ndarray:
    """uint8 [96, 160, 3]: dim bars that lie otherwise in every shot, and faces that move a pixel every second frame."""
    shot = shot_of(index)
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    bars = ((rows, columns, rows + columns)[shot] // 12 % 2) * 60
    image = np.repeat(bars[..., None], 3, axis=2).astype(np.uint8)
    for colour, (left, top) in SHOTS[shot].items():
        left += index % 24 // 2
        image[top : top + 32, left : left + 32] = COLOURS[colour]
    return image


class ColourFinder(SquareFinder):
    """Finds the faces by their colours."""

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        timed = super().detect_timed(pictures)
        return [(found(picture), seconds) for picture, (_, seconds) in zip(pictures, timed, strict=True)]


def found(picture: Picture) -> Detections:
    image = ops.thumbnail(picture, picture.display_size).astype(int)
    is_face = image.min(axis=2) > 95
    boxes = []
    for channel in range(3):
        rows, columns = np.nonzero(is_face & (image.argmax(axis=2) == channel))
        if rows.size > 200:
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32))
