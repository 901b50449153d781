"""Sets of drawn pictures, each for one difficulty: anime crowds, line art, small faces, old films.

A picture depends on its number only. Evaluation uses numbers from ``FIRST_SEED`` on, training uses lower ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

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


class Recipe(NamedTuple):
    """How the pictures of a set are drawn."""

    style: str | None  # kind; None: any
    unit: tuple[float, float]  # half head heights as shares of the picture's height, or in pixels if above 1
    counts: tuple[int, int]  # characters: the least, and one more than the most
    is_old_film: bool = False  # on a worn print of the 1930s

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Drawing:
        """A picture of ``size`` (height, width), and the boxes of its faces."""
        style = random_style(rng, self.style) if self.style else None
        scale = 1.0 if self.unit[1] > 1 else size[0]
        unit = (self.unit[0] * scale, self.unit[1] * scale)
        image, boxes = draw_scene(rng, size, style, _rows(rng, size, unit, int(rng.integers(*self.counts))))
        return (old_film(image, rng) if self.is_old_film else image), boxes


SETS = {
    "crowds": Recipe("anime", (0.035, 0.12), (6, 15)),
    "lineart": Recipe("line", (0.08, 0.3), (1, 5)),
    "small": Recipe(None, (7.0, 12.0), (3, 10)),
    "oldfilms": Recipe("rubber", (0.07, 0.35), (1, 6), is_old_film=True),
}
"""Crowds of anime faces of about 20 to 80 pixels, ink on paper, faces of about 10 to 20 pixels, and rubber-hose figures
on a worn print. The index of a set is in the seeds of its pictures."""


def draw_one(name: str, seed: int) -> Drawing:
    """The picture of a set with number ``seed``: uint8 [H, W, 3] RGB and boxes_xyxy float32 [N, 4].

    Raises:
        ConfigError: there is no such set.
    """
    if name not in SETS:
        raise ConfigError(f"a drawn set must be {', '.join(SETS)}, got {name!r}")
    rng = np.random.default_rng([seed, list(SETS).index(name)])
    height = int(rng.integers(320, 449))
    image, boxes = SETS[name].draw(rng, (height, round(height * rng.uniform(1.2, 1.78))))
    keep = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= LEAST_SIDE
    return effects.age(image, rng), boxes[keep]


def draw_set(name: str, count: int, first: int = FIRST_SEED) -> Iterator[Drawing]:
    """``count`` pictures of a set, those of numbers ``first`` on.

    Raises:
        ConfigError: there is no such set.
    """
    return (draw_one(name, first + number) for number in range(count))
