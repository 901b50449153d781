"""What hangs on walls and stands on floors."""

from __future__ import annotations

import numpy as np

from . import palette
from .canvas import Canvas, Color, ellipse, mix, rectangle, scaled
from .clutter import ball, clock
from .palette import Style

Place = tuple[float, float]  # x, y in pixels

_PAPER: Color = (255, 255, 255)


def on_wall(canvas: Canvas, rng: np.random.Generator, style: Style, at: Place, size: float, line: float) -> None:
    """A clock, picture, window, plate or shelf."""
    kind = rng.integers(5)
    color = palette.any_color(rng, (0.05, 0.8))
    if kind == 0:
        clock(canvas, rng, style, at, size * 0.5, line)
    elif kind in (1, 2):
        _framed(canvas, rng, style, at, size, line, color, is_picture=bool(kind == 1))
    elif kind == 3:
        style.shape(canvas, ellipse(*at, size * 0.5, size * 0.5), color, line)
        style.shape(canvas, ellipse(*at, size * 0.33, size * 0.33), mix(color, _PAPER, 0.5), line * 0.6)
    else:
        _shelf(canvas, rng, style, at, size, line, color)


def _framed(
    canvas: Canvas,
    rng: np.random.Generator,
    style: Style,
    at: Place,
    size: float,
    line: float,
    color: Color,
    is_picture: bool,
) -> None:
    x, y = at
    outer = ellipse(x, y, size * 0.7, size * rng.uniform(0.5, 0.9), power=14.0)
    style.shape(canvas, outer, scaled(color, 0.6), line)
    style.shape(canvas, ellipse(x, y, size * 0.58, size * 0.42, power=14.0), mix(color, _PAPER, 0.5), line * 0.6)
    if is_picture:
        hill = [(x - size * 0.5, y + size * 0.35), (x, y - size * 0.2), (x + size * 0.5, y + size * 0.35)]
        canvas.fill(np.array(hill), style.tone(scaled(color, 0.8)))
        canvas.fill(ellipse(x + size * 0.3, y - size * 0.2, size * 0.1, size * 0.1), style.tone((250, 220, 120)))


def _shelf(
    canvas: Canvas, rng: np.random.Generator, style: Style, at: Place, size: float, line: float, color: Color
) -> None:
    x, y = at
    style.shape(canvas, rectangle(x - size, y, x + size, y + size * 0.12), color, line)
    for step in np.linspace(-0.8, 0.7, int(rng.integers(3, 8))):
        left, tall = x + step * size, rng.uniform(0.3, 0.7) * size
        style.shape(canvas, rectangle(left, y - tall, left + 0.17 * size, y), palette.any_color(rng), line * 0.6)


def furniture(canvas: Canvas, rng: np.random.Generator, style: Style, at: Place, size: float, line: float) -> None:
    """A table, cupboard, sofa or plant on the floor."""
    x, y = at
    color = palette.any_color(rng, (0.1, 0.7))
    kind = rng.integers(4)
    if kind == 0:
        for leg in (-0.8, 0.8):
            post = ellipse(x + leg * size, y - size * 0.25, size * 0.06, size * 0.3, power=8.0)
            style.shape(canvas, post, scaled(color, 0.8), line)
        style.shape(canvas, ellipse(x, y - size * 0.55, size, size * 0.07, power=8.0), color, line)
        ball(canvas, rng, style, (x + rng.uniform(-0.6, 0.6) * size, y - size * 0.75), size * 0.16, line)
    elif kind == 1:
        _cupboard(canvas, style, at, size, line, color)
    elif kind == 2:
        style.shape(canvas, ellipse(x, y - size * 0.4, size, size * 0.4, power=5.0), color, line)
        style.shape(canvas, ellipse(x, y - size * 0.15, size * 0.95, size * 0.22, power=5.0), scaled(color, 1.15), line)
    else:
        _plant(canvas, rng, style, at, size, line)


def _cupboard(canvas: Canvas, style: Style, at: Place, size: float, line: float, color: Color) -> None:
    x, middle = at[0], at[1] - size * 0.5
    style.shape(canvas, ellipse(x, middle, size * 0.45, size * 0.55, power=14.0), color, line)
    for side in (-1, 1):
        door = ellipse(x + side * size * 0.21, middle, size * 0.18, size * 0.45, power=14.0)
        style.shape(canvas, door, scaled(color, 0.9), line * 0.7)
        knob = ellipse(x + side * size * 0.06, middle + size * 0.05, size * 0.03, size * 0.03)
        canvas.fill(knob, style.tone((40, 35, 30)))


def _plant(canvas: Canvas, rng: np.random.Generator, style: Style, at: Place, size: float, line: float) -> None:
    x, y = at
    for lean in np.linspace(-0.8, 0.8, 6):
        leaf = ellipse(0, -size * 0.4, size * 0.09, size * 0.4)
        cos, sin = np.cos(lean), np.sin(lean)
        turned = leaf @ np.array([[cos, sin], [-sin, cos]]) + (x, y - size * 0.3)
        style.shape(canvas, turned, palette.hsv(0.33, 0.6, rng.uniform(0.4, 0.8)), line * 0.7)
    top, foot = size * 0.2, size * 0.14
    pot = [(x - top, y - size * 0.35), (x + top, y - size * 0.35), (x + foot, y), (x - foot, y)]
    style.shape(canvas, np.array(pot), (180, 95, 60), line)
