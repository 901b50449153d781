"""Sets of drawn pictures, each for one difficulty: anime crowds, line art, small faces, old films.

A picture depends on its number only. Evaluation uses numbers from ``FIRST_SEED`` on, training uses lower ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ConfigError

from ..styles import old_film
from . import effects
from .palette import random_style
from .picture import Position, draw_scene

FIRST_SEED = 1_000_000
LEAST_SIDE = 8.0
"""Shortest side of a face that has a box, pixels."""
Drawing = tuple[NDArray[np.uint8], NDArray[np.float32]]


def _rows(rng: np.random.Generator, size: tuple[int, int], unit: tuple[float, float], count: int) -> list[Position]:
    """Positions of ``count`` characters apart from each other, the farthest first; ``unit`` in pixels."""
    height, width = size
    places: list[Position] = []
    for _ in range(count * 8):
        half = float(np.exp(rng.uniform(*np.log(unit))))
        x, y = rng.uniform(half, width - half), rng.uniform(1.2 * half, height - half)
        if all(abs(x - other[0]) > half + other[2] or abs(y - other[1]) > 1.6 * (half + other[2]) for other in places):
            places.append((float(x), float(y), half))
        if len(places) == count:
            break
    return sorted(places, key=lambda place: place[1])


def _crowd(rng: np.random.Generator, size: tuple[int, int]) -> Drawing:
    low, high = 0.035 * size[0], 0.12 * size[0]
    return draw_scene(rng, size, random_style(rng, "anime"), _rows(rng, size, (low, high), int(rng.integers(6, 15))))


def _line_art(rng: np.random.Generator, size: tuple[int, int]) -> Drawing:
    low, high = 0.08 * size[0], 0.3 * size[0]
    return draw_scene(rng, size, random_style(rng, "line"), _rows(rng, size, (low, high), int(rng.integers(1, 5))))


def _small(rng: np.random.Generator, size: tuple[int, int]) -> Drawing:
    return draw_scene(rng, size, None, _rows(rng, size, (7.0, 12.0), int(rng.integers(3, 10))))


def _old_film(rng: np.random.Generator, size: tuple[int, int]) -> Drawing:
    low, high = 0.07 * size[0], 0.35 * size[0]
    image, boxes = draw_scene(
        rng, size, random_style(rng, "rubber"), _rows(rng, size, (low, high), int(rng.integers(1, 6)))
    )
    return old_film(image, rng), boxes


SETS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Drawing]] = {
    "crowds": _crowd,
    "lineart": _line_art,
    "small": _small,
    "oldfilms": _old_film,
}
"""Name → drawer: crowds of anime faces of about 20 to 80 pixels, ink on paper, faces of about 10 to 20 pixels, and
rubber-hose figures on a worn print of the 1930s."""


def draw_one(name: str, seed: int) -> Drawing:
    """The picture of a set with number ``seed``: uint8 [H, W, 3] RGB and boxes_xyxy float32 [N, 4].

    Raises:
        ConfigError: there is no such set.
    """
    if name not in SETS:
        raise ConfigError(f"a drawn set must be {', '.join(SETS)}, got {name!r}")
    rng = np.random.default_rng([seed, list(SETS).index(name)])
    height = int(rng.integers(320, 449))
    image, boxes = SETS[name](rng, (height, round(height * rng.uniform(1.2, 1.78))))
    keep = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= LEAST_SIDE
    return effects.age(image, rng), boxes[keep]


def draw_set(name: str, count: int, first: int = FIRST_SEED) -> Iterator[Drawing]:
    """``count`` pictures of a set, those of numbers ``first`` on.

    Raises:
        ConfigError: there is no such set.
    """
    return (draw_one(name, first + number) for number in range(count))
