"""A crop moves a picture's boxes exactly as it moves its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acfd_stream.model.augment import AugmentConfig, _crop
from acfd_stream.model.datasets import Example
from acfd_stream.model.normalisation import MEAN
from acfd_stream.model.readers import FACE

SIZE = 128
EDGE = 0.6  # pixels; a picture shrunk without averaging shows an edge up to half a pixel beside its place


def square(rng: np.random.Generator) -> Example:
    """A white square on the colour that windows are padded with, and its box from edge to edge."""
    image = np.full((*rng.integers(90, 400, 2), 3), MEAN, np.uint8)
    side = int(rng.integers(20, 60))
    x, y = (int(rng.integers(0, length - side)) for length in (image.shape[1], image.shape[0]))
    image[y : y + side, x : x + side] = 255
    return image, np.array([[x, y, x + side, y + side]], np.float32), np.array([FACE], np.int8)


def edges(image: np.ndarray) -> list[float]:
    """x1, y1, x2, y2 of the white square, to a part of a pixel, by how much of each column and row it covers."""
    white = (image[..., 0].astype(float) - MEAN[0]) / (255 - MEAN[0])
    ends = []
    for line in (white.max(0), white.max(1)):
        middle = int(np.flatnonzero(line > 0.5).mean())
        ends.append((middle - line[:middle].sum(), middle + line[middle:].sum()))
    return [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]


@pytest.mark.parametrize("tile", [0.0, 1.0])
def test_a_squares_edges_lie_where_its_box_says(tile: float) -> None:
    config, rng = replace(AugmentConfig(), tile=tile, expand=2.0), np.random.default_rng(5)
    found: list[np.ndarray] = []
    while len(found) < 300:
        image, boxes, kinds = _crop(square(rng), (SIZE, SIZE), rng, config)
        if len(boxes) == 1 and kinds[0] == FACE and boxes.min() > 2 and boxes.max() < SIZE - 2:  # all of it shows
            found.append(boxes[0] - edges(image))
    assert np.abs(found).max() < EDGE
    assert np.abs(np.mean(found, axis=0)).max() < 0.03  # pixels; no side is off on the whole
