"""A drawn clip of a face that is there, gone, and back elsewhere, and the results of ``track``."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from acfd_stream.cli import main
from tests.clips import drawing, encode

SIZE = (96, 128)
SHOWN = ((0, 24), (48, 72))
"""First frame of each appearance, and the one behind it."""
CORNERS = ((20, 28), (36, 36))
SIDE = 32
HELD = 6
"""Frames of one drawing."""


def drawn() -> Iterator[np.ndarray]:
    """uint8 [H, W, 3]: the face, no face for a second, the face in another place."""
    for number, corner in enumerate(CORNERS):
        for index in range(24):
            yield drawing(SIZE, (corner[0] + index // HELD * 8, corner[1]), is_behind_cut=bool(number))
        if number == 0:
            for _ in range(24):
                yield np.minimum(drawing(SIZE, (0, 0), is_behind_cut=True), 40)


def write_clip(path: Path, rate: int | Fraction = 24) -> Path:
    """The clip at ``path``."""
    return encode(path, drawn(), SIZE, rate)


def track(clip: Path, model: Path, *options: str) -> Path:
    """The results of the clip, beside it."""
    out = clip.with_suffix(".jsonl")
    quick = ["--model", str(model), "--size", "128", "--threads", "1", "--quiet"]
    assert main(["track", str(clip), "-o", str(out), *quick, *options]) == 0
    return out
