"""Scenes without faces: rooms, streets, hills, forests, gradients, patterns, speed lines."""

from __future__ import annotations

import numpy as np

from ..opencv import cv2
from . import clutter, interiors, palette, shading
from .canvas import Canvas, Color, ellipse, mix, rectangle, scaled, smooth
from .palette import Brush, Style

_Range = tuple[float, float]
_PATTERNS = ["bars", "stripes", "dots", "check"]


def _gradient(brush: Brush, top: Color, low: Color, y0: int, y1: int) -> None:
    """Fill rows ``y0`` … ``y1`` from the style's tone of ``top`` to that of ``low``."""
    canvas, tone = brush.canvas, brush.style.tone
    y0, y1 = max(0, y0), min(canvas.size[0], y1)
    if y1 <= y0:
        return
    part = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, None]
    column = np.asarray(tone(top), np.float32) * (1 - part) + np.asarray(tone(low), np.float32) * part
    canvas.pixels[y0:y1] = np.repeat(column.astype(np.uint8)[:, None, :], canvas.size[1], axis=1)


def _patterned(brush: Brush, height: float, color: Color, periods: _Range, dark: _Range) -> None:
    """Lay a pattern over the canvas down to ``height``; ``periods`` as shares of the width."""
    rng, width = brush.rng, brush.canvas.size[1]
    kind, period = str(rng.choice(_PATTERNS)), rng.uniform(*periods) * width
    shade = shading.pattern(kind, period, rng.uniform(*dark))
    brush.canvas.paint(rectangle(0, 0, width, height), brush.style.tone(color), shade)


def _sky(brush: Brush, horizon: int) -> None:
    rng = brush.rng
    hue = rng.choice([0.58, 0.55, 0.62, 0.07, 0.9, rng.random()])
    night = rng.random() < 0.2
    top = palette.hsv(hue, rng.uniform(0.3, 0.9), 0.25 if night else rng.uniform(0.6, 1.0))
    low = palette.hsv(hue + rng.normal(0, 0.05), rng.uniform(0.1, 0.5), 0.45 if night else rng.uniform(0.8, 1.0))
    _gradient(brush, top, low, 0, horizon + 2)
    width = brush.canvas.size[1]
    if rng.random() < 0.3:
        size = rng.uniform(0.04, 0.12) * width
        brush.fill(ellipse(rng.uniform(0, width), rng.uniform(0, horizon * 0.7), size, size), (255, 240, 170))
    for _ in range(rng.integers(0, 5)):
        x, y, size = rng.uniform(0, width), rng.uniform(0, horizon * 0.7), rng.uniform(0.05, 0.16) * width
        for shift in (-0.8, 0.0, 0.7):
            puff = ellipse(x + shift * size, y + abs(shift) * size * 0.15, size * 0.6, size * 0.3, 20)
            brush.fill(puff, mix(low, (255, 255, 255), 0.7))


def _hill(brush: Brush, base: float, color: Color) -> None:
    height, width = brush.canvas.size
    x = np.linspace(-0.05 * width, 1.05 * width, 9)
    y = base + brush.rng.normal(0, 0.06 * height, 9)
    edge = smooth(np.stack([x, y], 1), closed=False, steps=6)
    brush.shape(np.concatenate([edge, [(width * 1.1, height + 5), (-0.1 * width, height + 5)]]), color)


def hills(brush: Brush) -> None:
    """Rolling land with trees."""
    (height, width), rng = brush.canvas.size, brush.rng
    horizon = int(height * rng.uniform(0.35, 0.65))
    _sky(brush, height)
    hue = rng.choice([0.3, 0.25, 0.12, 0.08, 0.4, rng.random()])
    for index in range(3):
        color = palette.hsv(hue + 0.02 * index, 0.35 + 0.15 * index, 0.9 - 0.15 * index)
        _hill(brush, horizon + index * (height - horizon) * 0.28, color)
        for _ in range(rng.integers(0, 5)):
            x, foot = rng.uniform(0, width), horizon + (0.1 + 0.3 * index) * (height - horizon)
            clutter.tree(brush, x, foot, rng.uniform(0.08, 0.3) * height)


def street(brush: Brush) -> None:
    """Houses with windows along a road."""
    (height, width), rng = brush.canvas.size, brush.rng
    ground = height * rng.uniform(0.6, 0.8)
    _sky(brush, int(ground))
    x = -rng.uniform(0, 0.2) * width
    while x < width:
        wide, tall = rng.uniform(0.15, 0.4) * width, rng.uniform(0.35, 0.85) * ground
        wall, top = palette.any_color(rng, (0.05, 0.6)), ground - tall
        brush.shape(rectangle(x, top, x + wide, ground + 3), wall)
        if rng.random() < 0.5:
            brush.shape([(x - 4, top), (x + wide / 2, top - wide * 0.35), (x + wide + 4, top)], scaled(wall, 0.6))
        clutter.windows(brush, (x, top, x + wide, ground))
        x += wide + rng.uniform(-0.02, 0.1) * width
    road = palette.hsv(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.35, 0.8))
    _gradient(brush, road, scaled(road, 0.8), int(ground), height)
    for mark in np.arange(0, width, width / 6):
        y = ground + (height - ground) * 0.55
        dash = [(mark, y), (mark + width * 0.08, y), (mark + width * 0.06, y + 6), (mark - width * 0.02, y + 6)]
        brush.fill(dash, (230, 225, 190))


def room(brush: Brush) -> None:
    """Wall, floor, and what stands in a room."""
    (height, width), rng, canvas = brush.canvas.size, brush.rng, brush.canvas
    floor = height * rng.uniform(0.6, 0.85)
    wall = palette.any_color(rng, (0.05, 0.6))
    if rng.random() < 0.25:
        wall = scaled(wall, 0.4)
    _gradient(brush, wall, scaled(wall, 0.88), 0, height)
    if rng.random() < 0.35:
        _patterned(brush, floor, wall, (0.03, 0.12), (0.82, 0.95))
    ground = mix(palette.any_color(rng, (0.1, 0.6)), (120, 80, 50), 0.4)
    _gradient(brush, ground, scaled(ground, 0.85), int(floor), height)
    canvas.stroke(np.array([(0.0, floor), (width, floor)]), brush.style.line(ground), brush.line)
    for _ in range(rng.integers(1, 5)):
        at = (rng.uniform(0, width), rng.uniform(0.05, 0.6) * floor)
        interiors.on_wall(brush, at, rng.uniform(0.08, 0.25) * height)
    for _ in range(rng.integers(0, 3)):
        at = (rng.uniform(0, width), floor + rng.uniform(0, 0.1) * height)
        interiors.furniture(brush, at, rng.uniform(0.2, 0.5) * height)


def forest(brush: Brush) -> None:
    """Trunks and leaves, near ones darker."""
    (height, width), rng = brush.canvas.size, brush.rng
    back = palette.hsv(rng.uniform(0.2, 0.55), rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.9))
    _gradient(brush, mix(back, (255, 255, 230), 0.4), scaled(back, 0.6), 0, height)
    foot = height * 0.95
    for layer in range(2):
        for _ in range(rng.integers(3, 7)):
            x, wide = rng.uniform(0, width), rng.uniform(0.01, 0.05) * width * (1 + layer)
            color = mix(scaled(back, 0.5 + 0.2 * (1 - layer)), (90, 60, 40), 0.4)
            brush.shape([(x - wide, -5), (x + wide, -5), (x + wide * 1.5, foot), (x - wide * 1.5, foot)], color)
    for _ in range(rng.integers(4, 12)):
        x, y, size = rng.uniform(0, width), height * rng.uniform(0.75, 1.05), rng.uniform(0.06, 0.2) * height
        clutter.bush(brush, x, y, size, scaled(back, rng.uniform(0.5, 1.0)))


def rays(brush: Brush) -> None:
    """Speed lines, sun rays, concentric bursts."""
    (height, width), rng, canvas = brush.canvas.size, brush.rng, brush.canvas
    one = palette.any_color(rng)
    canvas.pixels[:] = brush.style.tone(one)
    centre = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height])
    is_paler = rng.random() < 0.6
    other = mix(one, (255, 255, 255), rng.uniform(0.2, 0.8)) if is_paler else palette.any_color(rng)
    far, count = 1.5 * max(height, width), int(rng.integers(8, 60))
    for start in np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.random():
        span = rng.uniform(0.2, 0.6) * 2 * np.pi / count
        ends = centre + far * np.array([[np.cos(start), np.sin(start)], [np.cos(start + span), np.sin(start + span)]])
        inner = centre + rng.uniform(0, 0.3) * (ends[0] - centre) * 0.4
        brush.fill(np.concatenate([[inner], ends]), other)


def plain(brush: Brush) -> None:
    """One colour, a gradient or a pattern."""
    (height, width), rng = brush.canvas.size, brush.rng
    one = (255, 255, 255) if rng.random() < 0.3 else palette.any_color(rng, (0.0, 0.9))
    if rng.random() < 0.2:
        one = scaled(one, 0.15)
    kind = rng.random()
    _gradient(brush, one, one if kind < 0.4 else palette.any_color(rng), 0, height)
    if kind > 0.75:
        _patterned(brush, height, one, (0.04, 0.2), (0.7, 0.93))
    elif kind > 0.55:
        paper = shading.texture(int(rng.choice([4, 16, 64])), rng.uniform(0.05, 0.25))
        brush.canvas.paint(rectangle(0, 0, width, height), brush.style.tone(one), paper)


_SCENES = (hills, street, room, forest, rays, plain)
_ODDS = (0.2, 0.15, 0.27, 0.12, 0.08, 0.18)


def draw_background(
    canvas: Canvas, rng: np.random.Generator, style: Style, line: float, place: str | None = None
) -> None:
    """Cover the canvas with the scene called ``place``, or with any; ``line`` is the outline width in pixels."""
    names = [function.__name__ for function in _SCENES]
    index = names.index(place) if place else int(rng.choice(len(_SCENES), p=_ODDS))
    canvas.tag = 0
    _SCENES[index](Brush(canvas, rng, style, line))
    if style.kind == "book" or rng.random() < 0.1:
        grain = shading.noise(canvas.size, int(rng.choice([2, 4, 16, 64])), (0, int(rng.integers(512))))
        canvas.pixels[:] = np.clip(canvas.pixels * (1 + 0.06 * grain[..., None]), 0, 255).astype(np.uint8)
    if rng.random() < 0.25 and not style.is_unfilled:
        canvas.pixels[:] = cv2.GaussianBlur(canvas.pixels, (0, 0), rng.uniform(0.8, 4))
