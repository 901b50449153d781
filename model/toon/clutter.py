"""Objects in a scene that are not faces, most of them round."""

from __future__ import annotations

import numpy as np

from ..opencv import cv2
from . import palette
from .canvas import Canvas, Color, ellipse, mix, rectangle
from .palette import Brush

Point = tuple[float, float]  # x, y in pixels


def tree(brush: Brush, x: float, y: float, size: float) -> None:
    """A tree whose foot is at (x, y)."""
    rng, top = brush.rng, y - size * 0.5
    bark = mix((110, 75, 45), palette.any_color(rng), 0.15)
    trunk = [(x - size * 0.06, top), (x + size * 0.06, top), (x + size * 0.09, y), (x - size * 0.09, y)]
    brush.shape(trunk, bark)
    leaf = palette.hsv(rng.choice([0.28, 0.33, 0.08, 0.22]), rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.85))
    if rng.random() < 0.4:
        brush.shape([(x, y - size), (x + size * 0.3, y - size * 0.3), (x - size * 0.3, y - size * 0.3)], leaf)
    else:
        bush(brush, x, y - size * 0.65, size * 0.33, leaf)


def bush(brush: Brush, x: float, y: float, size: float, color: Color) -> None:
    """A lumpy round bush."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    bump = 1 + 0.14 * np.abs(np.sin(angle * brush.rng.integers(3, 6) + brush.rng.random()))
    across = size * brush.rng.uniform(1.0, 1.6) * bump
    brush.shape(np.stack([x + across * np.cos(angle), y + size * bump * np.sin(angle)], 1), color)


def windows(brush: Brush, wall: tuple[float, float, float, float]) -> None:
    """Rows of windows on a wall given as x1, y1, x2, y2."""
    (x1, y1, x2, y2), rng, canvas = wall, brush.rng, brush.canvas
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    glass = palette.hsv(rng.choice([0.55, 0.14]), rng.uniform(0.1, 0.6), rng.uniform(0.4, 1.0))
    power = 2.0 if rng.random() < 0.2 else 12.0
    for column in range(columns):
        for row in range(rows):
            cx = x1 + (column + 0.5) / columns * (x2 - x1)
            cy = y1 + (row + 0.6) / (rows + 0.6) * (y2 - y1)
            rx, ry = 0.28 * (x2 - x1) / columns, 0.3 * (y2 - y1) / (rows + 0.6)
            brush.disc(cx, cy, rx, ry, glass, 0.8, power=power)
            if rng.random() < 0.7:
                for bar in ([(cx, cy - ry), (cx, cy + ry)], [(cx - rx, cy), (cx + rx, cy)]):
                    canvas.stroke(np.array(bar), brush.style.line(glass), brush.line * 0.7)


def clock(brush: Brush, at: Point, size: float) -> None:
    """A clock: round like a face, with two hands and marks."""
    rng, canvas, ink = brush.rng, brush.canvas, (30, 28, 30)
    brush.disc(*at, size, size, palette.any_color(rng), count=36)
    brush.disc(*at, size * 0.82, size * 0.82, (245, 240, 225), 0.5, count=36)
    centre = np.asarray(at)
    for angle, reach in ((rng.uniform(0, 6.28), 0.6), (rng.uniform(0, 6.28), 0.4)):
        tip = centre + size * reach * np.array([np.cos(angle), np.sin(angle)])
        canvas.stroke(np.stack([centre, tip]), ink, max(brush.line, size * 0.08))
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        way = np.array([np.cos(angle), np.sin(angle)])
        mark = np.stack([centre + size * 0.66 * way, centre + size * 0.76 * way])
        canvas.stroke(mark, ink, max(1.0, size * 0.05))


def ball(brush: Brush, at: Point, size: float) -> None:
    """A ball, wheel, flower, button, plate or balloon: round like a face."""
    (x, y), rng, canvas = at, brush.rng, brush.canvas
    color, other = palette.any_color(rng), palette.any_color(rng)
    kind = rng.integers(6)
    if kind == 3:
        for angle in np.linspace(0, 2 * np.pi, int(rng.integers(5, 9)), endpoint=False):
            middle = (x + size * 0.7 * np.cos(angle), y + size * 0.7 * np.sin(angle))
            brush.disc(*middle, size * 0.4, size * 0.4, color, 0.6, count=16)
        brush.disc(x, y, size * 0.42, size * 0.42, (245, 205, 70), 0.6, count=18)
        return
    brush.disc(x, y, size, size, color, count=32)
    if kind == 0:
        canvas.fill(ellipse(x - size * 0.35, y - size * 0.35, size * 0.2, size * 0.15, 14), (255, 255, 255))
    elif kind == 1:
        brush.disc(x, y, size * 0.5, size * 0.5, (205, 205, 210), count=24)
        for angle in np.linspace(0, np.pi, 4, endpoint=False):
            way = size * 0.5 * np.array([np.cos(angle), np.sin(angle)])
            canvas.stroke(np.stack([np.array(at) - way, np.array(at) + way]), (60, 60, 65), max(brush.line * 0.7, 1))
    elif kind == 2:
        brush.disc(x, y, size * 0.7, size * 0.7, other, 0.5, count=24)
        brush.disc(x, y, size * 0.4, size * 0.4, color, 0.5, count=24)
    elif kind == 4:
        for _ in range(4):
            dx, dy = rng.uniform(-0.55, 0.55, 2)
            brush.fill(ellipse(x + dx * size, y + dy * size, size * 0.13, size * 0.13, 12), other)
    else:
        string = np.array([(x, y + size), (x + size * 0.2, y + size * 2.5)])
        canvas.stroke(string, brush.style.tone((60, 60, 60)), max(1.0, brush.line * 0.5))


def letters(canvas: Canvas, rng: np.random.Generator, at: Point, size: float, color: Color, count: int) -> None:
    """Screen text or a sign, in Latin letters or in strokes of an invented script."""
    if rng.random() < 0.6:
        text = "".join(rng.choice(list("ABCDEFGHIJKLMNOPRSTUVWXYZabcdefghiklmnoprstu !?0123456789"), count))
        corner = (int(at[0]), int(at[1]))
        thick = max(1, int(size / 9))
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
        cv2.putText(canvas.pixels, text, corner, font, size / 26, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.putText(canvas.pixels, text, corner, font, size / 26, color, thick, cv2.LINE_AA)
        return
    for index in range(count):
        corner = np.array([at[0] + index * size * 1.1, at[1] - size])
        for _ in range(rng.integers(4, 8)):
            start = rng.integers(0, 5, 2) / 4
            way = (1.0, 0.0) if rng.random() < 0.5 else (0.0, 1.0) if rng.random() < 0.6 else (0.4, 0.5)
            end = np.clip(start + np.array(way) * rng.uniform(0.4, 1.0), 0, 1)
            line = np.stack([corner + start * size * 0.9, corner + end * size * 0.9])
            canvas.stroke(line, (0, 0, 0), max(2.0, size / 6))
            canvas.stroke(line, color, max(1.0, size / 12))


def foreground(brush: Brush) -> None:
    """A counter, bushes, a post, a balloon or a ball in front of the characters, which may hide parts of them."""
    (height, width), rng = brush.canvas.size, brush.rng
    kind = rng.integers(5)
    brush.canvas.tag = 0
    if kind == 0:
        y = height * rng.uniform(0.7, 0.95)
        brush.shape(rectangle(-9, y, width + 9, height + 9), palette.any_color(rng, (0.1, 0.6)))
        ball(brush, (rng.uniform(0, width), y - height * 0.04), height * 0.05)
    elif kind == 1:
        for _ in range(rng.integers(1, 4)):
            x, y, size = rng.uniform(0, width), height * rng.uniform(0.9, 1.1), rng.uniform(0.08, 0.22) * height
            bush(brush, x, y, size, palette.any_color(rng))
    elif kind == 2:
        x, wide = rng.uniform(0, width), rng.uniform(0.01, 0.06) * width
        brush.shape(rectangle(x - wide, -9, x + wide, height + 9), palette.any_color(rng, (0.1, 0.6)))
    elif kind == 3:
        at = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.08, 0.3) * height)
        _balloon(brush, at, rng.uniform(0.08, 0.16) * height)
    else:
        at = (rng.uniform(0, width), rng.uniform(0.3, 1) * height)
        ball(brush, at, rng.uniform(0.03, 0.12) * height)


def _balloon(brush: Brush, at: Point, size: float) -> None:
    x, y = at
    tail = [(x - size * 0.3, y + size * 0.5), (x + size * 0.3, y + size * 0.5), (x + size * 0.6, y + size * 2)]
    brush.canvas.fill(np.array(tail), (255, 255, 255))
    brush.disc(x, y, size * 2, size, (255, 255, 255), plain=True)
    letters(brush.canvas, brush.rng, (x - size * 1.2, y + size * 0.15), size * 0.5, (20, 20, 20), 4)
