"""Furniture and objects on walls."""

from __future__ import annotations

import numpy as np

from . import palette
from .canvas import Color, ellipse, mix, rectangle, scaled
from .clutter import Point, ball, clock
from .palette import Brush

_PAPER: Color = (255, 255, 255)


def on_wall(brush: Brush, at: Point, size: float) -> None:
    """A clock, picture, window, plate or shelf."""
    kind = brush.rng.integers(5)
    color = palette.any_color(brush.rng, (0.05, 0.8))
    if kind == 0:
        clock(brush, at, size * 0.5)
    elif kind in (1, 2):
        _framed(brush, at, size, color, is_picture=bool(kind == 1))
    elif kind == 3:
        brush.disc(*at, size * 0.5, size * 0.5, color)
        brush.disc(*at, size * 0.33, size * 0.33, mix(color, _PAPER, 0.5), 0.6)
    else:
        _shelf(brush, at, size, color)


def _framed(brush: Brush, at: Point, size: float, color: Color, is_picture: bool) -> None:
    x, y = at
    brush.disc(x, y, size * 0.7, size * brush.rng.uniform(0.5, 0.9), scaled(color, 0.6), power=14.0)
    brush.disc(x, y, size * 0.58, size * 0.42, mix(color, _PAPER, 0.5), 0.6, power=14.0)
    if is_picture:
        hill = [(x - size * 0.5, y + size * 0.35), (x, y - size * 0.2), (x + size * 0.5, y + size * 0.35)]
        brush.fill(hill, scaled(color, 0.8))
        brush.fill(ellipse(x + size * 0.3, y - size * 0.2, size * 0.1, size * 0.1), (250, 220, 120))


def _shelf(brush: Brush, at: Point, size: float, color: Color) -> None:
    (x, y), rng = at, brush.rng
    brush.shape(rectangle(x - size, y, x + size, y + size * 0.12), color)
    for step in np.linspace(-0.8, 0.7, int(rng.integers(3, 8))):
        left, tall = x + step * size, rng.uniform(0.3, 0.7) * size
        brush.shape(rectangle(left, y - tall, left + 0.17 * size, y), palette.any_color(rng), 0.6)


def furniture(brush: Brush, at: Point, size: float) -> None:
    """A table, cupboard, sofa or plant on the floor."""
    (x, y), rng = at, brush.rng
    color = palette.any_color(rng, (0.1, 0.7))
    kind = rng.integers(4)
    if kind == 0:
        for leg in (-0.8, 0.8):
            brush.disc(x + leg * size, y - size * 0.25, size * 0.06, size * 0.3, scaled(color, 0.8), power=8.0)
        brush.disc(x, y - size * 0.55, size, size * 0.07, color, power=8.0)
        ball(brush, (x + rng.uniform(-0.6, 0.6) * size, y - size * 0.75), size * 0.16)
    elif kind == 1:
        _cupboard(brush, at, size, color)
    elif kind == 2:
        brush.disc(x, y - size * 0.4, size, size * 0.4, color, power=5.0)
        brush.disc(x, y - size * 0.15, size * 0.95, size * 0.22, scaled(color, 1.15), power=5.0)
    else:
        _plant(brush, at, size)


def _cupboard(brush: Brush, at: Point, size: float, color: Color) -> None:
    x, middle = at[0], at[1] - size * 0.5
    brush.disc(x, middle, size * 0.45, size * 0.55, color, power=14.0)
    for side in (-1, 1):
        brush.disc(x + side * size * 0.21, middle, size * 0.18, size * 0.45, scaled(color, 0.9), 0.7, power=14.0)
        brush.fill(ellipse(x + side * size * 0.06, middle + size * 0.05, size * 0.03, size * 0.03), (40, 35, 30))


def _plant(brush: Brush, at: Point, size: float) -> None:
    x, y = at
    for lean in np.linspace(-0.8, 0.8, 6):
        leaf = ellipse(0, -size * 0.4, size * 0.09, size * 0.4)
        cos, sin = np.cos(lean), np.sin(lean)
        turned = leaf @ np.array([[cos, sin], [-sin, cos]]) + (x, y - size * 0.3)
        brush.shape(turned, palette.hsv(0.33, 0.6, brush.rng.uniform(0.4, 0.8)), 0.7)
    top, foot = size * 0.2, size * 0.14
    pot = [(x - top, y - size * 0.35), (x + top, y - size * 0.35), (x + foot, y), (x - foot, y)]
    brush.shape(pot, (180, 95, 60))
