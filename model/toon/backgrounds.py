"""Places without faces: rooms, streets, hills, forests, gradients, patterns, speed lines."""

from __future__ import annotations

import cv2
import numpy as np

from . import clutter, interiors, palette, shading
from .canvas import Canvas, Color, ellipse, mix, scaled, smooth
from .palette import Style


def _gradient(canvas: Canvas, top: Color, low: Color, y0: int, y1: int) -> None:
    y0, y1 = max(0, y0), min(canvas.size[0], y1)
    if y1 <= y0:
        return
    part = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, None]
    column = np.asarray(top, np.float32) * (1 - part) + np.asarray(low, np.float32) * part
    canvas.pixels[y0:y1] = np.repeat(column.astype(np.uint8)[:, None, :], canvas.size[1], axis=1)


def _sky(canvas: Canvas, rng: np.random.Generator, style: Style, horizon: int) -> None:
    hue = rng.choice([0.58, 0.55, 0.62, 0.07, 0.9, rng.random()])
    night = rng.random() < 0.2
    top = palette.hsv(hue, rng.uniform(0.3, 0.9), 0.25 if night else rng.uniform(0.6, 1.0))
    low = palette.hsv(hue + rng.normal(0, 0.05), rng.uniform(0.1, 0.5), 0.45 if night else rng.uniform(0.8, 1.0))
    _gradient(canvas, style.tone(top), style.tone(low), 0, horizon + 2)
    width = canvas.size[1]
    if rng.random() < 0.3:
        size = rng.uniform(0.04, 0.12) * width
        canvas.fill(
            ellipse(rng.uniform(0, width), rng.uniform(0, horizon * 0.7), size, size), style.tone((255, 240, 170))
        )
    for _ in range(rng.integers(0, 5)):
        x, y, size = rng.uniform(0, width), rng.uniform(0, horizon * 0.7), rng.uniform(0.05, 0.16) * width
        for shift in (-0.8, 0.0, 0.7):
            canvas.fill(
                ellipse(x + shift * size, y + abs(shift) * size * 0.15, size * 0.6, size * 0.3, 20),
                style.tone(mix(low, (255, 255, 255), 0.7)),
            )


def _hill(canvas: Canvas, rng: np.random.Generator, style: Style, base: float, color: Color, line: float) -> None:
    height, width = canvas.size
    x = np.linspace(-0.05 * width, 1.05 * width, 9)
    y = base + rng.normal(0, 0.06 * height, 9)
    edge = smooth(np.stack([x, y], 1), closed=False, steps=6)
    body = np.concatenate([edge, [(width * 1.1, height + 5), (-0.1 * width, height + 5)]])
    style.shape(canvas, body, color, line)


def hills(canvas: Canvas, rng: np.random.Generator, style: Style, line: float) -> None:
    """Rolling land with trees."""
    height, width = canvas.size
    horizon = int(height * rng.uniform(0.35, 0.65))
    _sky(canvas, rng, style, height)
    hue = rng.choice([0.3, 0.25, 0.12, 0.08, 0.4, rng.random()])
    for index in range(3):
        color = palette.hsv(hue + 0.02 * index, 0.35 + 0.15 * index, 0.9 - 0.15 * index)
        _hill(canvas, rng, style, horizon + index * (height - horizon) * 0.28, color, line)
        for _ in range(rng.integers(0, 5)):
            clutter.tree(
                canvas,
                rng,
                style,
                rng.uniform(0, width),
                horizon + (0.1 + 0.3 * index) * (height - horizon),
                rng.uniform(0.08, 0.3) * height,
                line,
            )


def street(canvas: Canvas, rng: np.random.Generator, style: Style, line: float) -> None:
    """Houses with windows along a road."""
    height, width = canvas.size
    ground = height * rng.uniform(0.6, 0.8)
    _sky(canvas, rng, style, int(ground))
    x = -rng.uniform(0, 0.2) * width
    while x < width:
        wide, tall = rng.uniform(0.15, 0.4) * width, rng.uniform(0.35, 0.85) * ground
        wall = palette.any_color(rng, (0.05, 0.6))
        style.shape(
            canvas,
            np.array([(x, ground - tall), (x + wide, ground - tall), (x + wide, ground + 3), (x, ground + 3)]),
            wall,
            line,
        )
        if rng.random() < 0.5:
            style.shape(
                canvas,
                np.array(
                    [(x - 4, ground - tall), (x + wide / 2, ground - tall - wide * 0.35), (x + wide + 4, ground - tall)]
                ),
                scaled(wall, 0.6),
                line,
            )
        clutter.windows(canvas, rng, style, (x, ground - tall, x + wide, ground), line)
        x += wide + rng.uniform(-0.02, 0.1) * width
    road = palette.hsv(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.35, 0.8))
    _gradient(canvas, style.tone(road), style.tone(scaled(road, 0.8)), int(ground), height)
    for mark in np.arange(0, width, width / 6):
        y = ground + (height - ground) * 0.55
        canvas.fill(
            np.array([(mark, y), (mark + width * 0.08, y), (mark + width * 0.06, y + 6), (mark - width * 0.02, y + 6)]),
            style.tone((230, 225, 190)),
        )


def room(canvas: Canvas, rng: np.random.Generator, style: Style, line: float) -> None:
    """Wall, floor, and what stands in a room."""
    height, width = canvas.size
    floor = height * rng.uniform(0.6, 0.85)
    wall = palette.any_color(rng, (0.05, 0.6))
    if rng.random() < 0.25:
        wall = scaled(wall, 0.4)
    _gradient(canvas, style.tone(wall), style.tone(scaled(wall, 0.88)), 0, height)
    if rng.random() < 0.35:
        area = np.array([(0, 0), (width, 0), (width, floor), (0, floor)], np.float64)
        canvas.paint(
            area,
            style.tone(wall),
            shading.pattern(
                str(rng.choice(["bars", "stripes", "dots", "check"])),
                rng.uniform(0.03, 0.12) * width,
                rng.uniform(0.82, 0.95),
            ),
        )
    ground = mix(palette.any_color(rng, (0.1, 0.6)), (120, 80, 50), 0.4)
    _gradient(canvas, style.tone(ground), style.tone(scaled(ground, 0.85)), int(floor), height)
    canvas.stroke(np.array([(0.0, floor), (width, floor)]), style.line(ground), line)
    for _ in range(rng.integers(1, 5)):
        interiors.on_wall(
            canvas,
            rng,
            style,
            (rng.uniform(0, width), rng.uniform(0.05, 0.6) * floor),
            rng.uniform(0.08, 0.25) * height,
            line,
        )
    for _ in range(rng.integers(0, 3)):
        interiors.furniture(
            canvas,
            rng,
            style,
            (rng.uniform(0, width), floor + rng.uniform(0, 0.1) * height),
            rng.uniform(0.2, 0.5) * height,
            line,
        )


def forest(canvas: Canvas, rng: np.random.Generator, style: Style, line: float) -> None:
    """Trunks and leaves, near ones darker."""
    height, width = canvas.size
    back = palette.hsv(rng.uniform(0.2, 0.55), rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.9))
    _gradient(canvas, style.tone(mix(back, (255, 255, 230), 0.4)), style.tone(scaled(back, 0.6)), 0, height)
    for layer in range(2):
        for _ in range(rng.integers(3, 7)):
            x, wide = rng.uniform(0, width), rng.uniform(0.01, 0.05) * width * (1 + layer)
            color = mix(scaled(back, 0.5 + 0.2 * (1 - layer)), (90, 60, 40), 0.4)
            style.shape(
                canvas,
                np.array(
                    [(x - wide, -5), (x + wide, -5), (x + wide * 1.5, height * 0.95), (x - wide * 1.5, height * 0.95)]
                ),
                color,
                line,
            )
    for _ in range(rng.integers(4, 12)):
        clutter.bush(
            canvas,
            rng,
            style,
            rng.uniform(0, width),
            height * rng.uniform(0.75, 1.05),
            rng.uniform(0.06, 0.2) * height,
            scaled(back, rng.uniform(0.5, 1.0)),
            line,
        )


def rays(canvas: Canvas, rng: np.random.Generator, style: Style, line: float) -> None:
    """Speed lines, sun rays, concentric bursts."""
    height, width = canvas.size
    one = palette.any_color(rng)
    canvas.pixels[:] = style.tone(one)
    centre = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height])
    other = style.tone(
        mix(one, (255, 255, 255), rng.uniform(0.2, 0.8)) if rng.random() < 0.6 else palette.any_color(rng)
    )
    far, count = 1.5 * max(height, width), int(rng.integers(8, 60))
    for start in np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.random():
        span = rng.uniform(0.2, 0.6) * 2 * np.pi / count
        ends = centre + far * np.array([[np.cos(start), np.sin(start)], [np.cos(start + span), np.sin(start + span)]])
        inner = centre + rng.uniform(0, 0.3) * (ends[0] - centre) * 0.4
        canvas.fill(np.concatenate([[inner], ends]), other)


def plain(canvas: Canvas, rng: np.random.Generator, style: Style, line: float) -> None:
    """One colour, a gradient or a pattern."""
    height, width = canvas.size
    one = (255, 255, 255) if rng.random() < 0.3 else palette.any_color(rng, (0.0, 0.9))
    if rng.random() < 0.2:
        one = scaled(one, 0.15)
    kind = rng.random()
    _gradient(canvas, style.tone(one), style.tone(one if kind < 0.4 else palette.any_color(rng)), 0, height)
    area = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    if kind > 0.75:
        canvas.paint(
            area,
            style.tone(one),
            shading.pattern(
                str(rng.choice(["bars", "stripes", "dots", "check"])),
                rng.uniform(0.04, 0.2) * width,
                rng.uniform(0.7, 0.93),
            ),
        )
    elif kind > 0.55:
        canvas.paint(area, style.tone(one), shading.texture(int(rng.choice([4, 16, 64])), rng.uniform(0.05, 0.25)))


_PLACES = (hills, street, room, forest, rays, plain)
_ODDS = (0.2, 0.15, 0.27, 0.12, 0.08, 0.18)


def draw_background(
    canvas: Canvas, rng: np.random.Generator, style: Style, line: float, place: str | None = None
) -> None:
    """Cover the canvas with a place; ``line`` is the outline width in pixels."""
    names = [function.__name__ for function in _PLACES]
    index = names.index(place) if place else int(rng.choice(len(_PLACES), p=_ODDS))
    canvas.tag = 0
    _PLACES[index](canvas, rng, style, line)
    if style.kind == "book" or rng.random() < 0.1:
        grain = shading.noise(canvas.size, int(rng.choice([2, 4, 16, 64])), (0, int(rng.integers(512))))
        canvas.pixels[:] = np.clip(canvas.pixels * (1 + 0.06 * grain[..., None]), 0, 255).astype(np.uint8)
    if rng.random() < 0.25 and not style.is_unfilled:
        canvas.pixels[:] = cv2.GaussianBlur(canvas.pixels, (0, 0), rng.uniform(0.8, 4))
