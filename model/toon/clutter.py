"""Things in a scene that are not faces, round ones above all."""

from __future__ import annotations

import cv2
import numpy as np

from . import palette
from .canvas import Canvas, Color, ellipse, mix, rectangle
from .palette import Style


def tree(canvas: Canvas, rng: np.random.Generator, style: Style, x: float, y: float, size: float, line: float) -> None:
    """A tree whose foot is at (x, y)."""
    trunk = mix((110, 75, 45), palette.any_color(rng), 0.15)
    style.shape(
        canvas,
        np.array(
            [
                (x - size * 0.06, y - size * 0.5),
                (x + size * 0.06, y - size * 0.5),
                (x + size * 0.09, y),
                (x - size * 0.09, y),
            ]
        ),
        trunk,
        line,
    )
    leaf = palette.hsv(rng.choice([0.28, 0.33, 0.08, 0.22]), rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.85))
    if rng.random() < 0.4:
        style.shape(
            canvas,
            np.array([(x, y - size), (x + size * 0.3, y - size * 0.3), (x - size * 0.3, y - size * 0.3)]),
            leaf,
            line,
        )
    else:
        bush(canvas, rng, style, x, y - size * 0.65, size * 0.33, leaf, line)


def bush(
    canvas: Canvas, rng: np.random.Generator, style: Style, x: float, y: float, size: float, color: Color, line: float
) -> None:
    """A lumpy round bush."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    bump = 1 + 0.14 * np.abs(np.sin(angle * rng.integers(3, 6) + rng.random()))
    points = np.stack([x + size * rng.uniform(1.0, 1.6) * bump * np.cos(angle), y + size * bump * np.sin(angle)], 1)
    style.shape(canvas, points, color, line)


def windows(
    canvas: Canvas, rng: np.random.Generator, style: Style, wall: tuple[float, float, float, float], line: float
) -> None:
    """Rows of windows on a wall given as x1, y1, x2, y2."""
    x1, y1, x2, y2 = wall
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    glass = palette.hsv(rng.choice([0.55, 0.14]), rng.uniform(0.1, 0.6), rng.uniform(0.4, 1.0))
    is_round = rng.random() < 0.2
    for column in range(columns):
        for row in range(rows):
            cx = x1 + (column + 0.5) / columns * (x2 - x1)
            cy = y1 + (row + 0.6) / (rows + 0.6) * (y2 - y1)
            rx, ry = 0.28 * (x2 - x1) / columns, 0.3 * (y2 - y1) / (rows + 0.6)
            style.shape(canvas, ellipse(cx, cy, rx, ry, power=2.0 if is_round else 12.0), glass, line * 0.8)
            if rng.random() < 0.7:
                canvas.stroke(np.array([(cx, cy - ry), (cx, cy + ry)]), style.line(glass), line * 0.7)
                canvas.stroke(np.array([(cx - rx, cy), (cx + rx, cy)]), style.line(glass), line * 0.7)


def clock(
    canvas: Canvas, rng: np.random.Generator, style: Style, at: tuple[float, float], size: float, line: float
) -> None:
    """A round dial with two hands and marks: like a face, and none."""
    style.shape(canvas, ellipse(*at, size, size, 36), palette.any_color(rng), line)
    style.shape(canvas, ellipse(*at, size * 0.82, size * 0.82, 36), (245, 240, 225), line * 0.5)
    centre = np.asarray(at)
    for angle, reach in ((rng.uniform(0, 6.28), 0.6), (rng.uniform(0, 6.28), 0.4)):
        canvas.stroke(
            np.stack([centre, centre + size * reach * np.array([np.cos(angle), np.sin(angle)])]),
            (30, 28, 30),
            max(line, size * 0.08),
        )
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        way = np.array([np.cos(angle), np.sin(angle)])
        canvas.stroke(
            np.stack([centre + size * 0.66 * way, centre + size * 0.76 * way]), (30, 28, 30), max(1.0, size * 0.05)
        )


def ball(
    canvas: Canvas, rng: np.random.Generator, style: Style, at: tuple[float, float], size: float, line: float
) -> None:
    """A ball, wheel, flower, button, plate or balloon: round, and no face."""
    x, y = at
    color, other = palette.any_color(rng), palette.any_color(rng)
    kind = rng.integers(6)
    if kind == 3:
        for angle in np.linspace(0, 2 * np.pi, int(rng.integers(5, 9)), endpoint=False):
            style.shape(
                canvas,
                ellipse(x + size * 0.7 * np.cos(angle), y + size * 0.7 * np.sin(angle), size * 0.4, size * 0.4, 16),
                color,
                line * 0.6,
            )
        style.shape(canvas, ellipse(x, y, size * 0.42, size * 0.42, 18), (245, 205, 70), line * 0.6)
        return
    style.shape(canvas, ellipse(x, y, size, size, 32), color, line)
    if kind == 0:
        canvas.fill(ellipse(x - size * 0.35, y - size * 0.35, size * 0.2, size * 0.15, 14), (255, 255, 255))
    elif kind == 1:
        style.shape(canvas, ellipse(x, y, size * 0.5, size * 0.5, 24), (205, 205, 210), line)
        for angle in np.linspace(0, np.pi, 4, endpoint=False):
            way = size * 0.5 * np.array([np.cos(angle), np.sin(angle)])
            canvas.stroke(np.stack([np.array(at) - way, np.array(at) + way]), (60, 60, 65), max(line * 0.7, 1))
    elif kind == 2:
        for part in (0.7, 0.4):
            style.shape(
                canvas, ellipse(x, y, size * part, size * part, 24), other if part == 0.7 else color, line * 0.5
            )
    elif kind == 4:
        for _ in range(4):
            dx, dy = rng.uniform(-0.55, 0.55, 2)
            canvas.fill(ellipse(x + dx * size, y + dy * size, size * 0.13, size * 0.13, 12), style.tone(other))
    else:
        canvas.stroke(
            np.array([(x, y + size), (x + size * 0.2, y + size * 2.5)]), style.tone((60, 60, 60)), max(1.0, line * 0.5)
        )


def letters(
    canvas: Canvas, rng: np.random.Generator, at: tuple[float, float], size: float, color: Color, count: int
) -> None:
    """Screen text or a sign; now and then strokes like those of other scripts."""
    if rng.random() < 0.6:
        text = "".join(rng.choice(list("ABCDEFGHIJKLMNOPRSTUVWXYZabcdefghiklmnoprstu !?0123456789"), count))
        place = (int(at[0]), int(at[1]))
        thick = max(1, int(size / 9))
        face = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
        cv2.putText(canvas.pixels, text, place, face, size / 26, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.putText(canvas.pixels, text, place, face, size / 26, color, thick, cv2.LINE_AA)
        return
    for index in range(count):
        corner = np.array([at[0] + index * size * 1.1, at[1] - size])
        for _ in range(rng.integers(4, 8)):
            start = rng.integers(0, 5, 2) / 4
            way = (
                np.array([1.0, 0.0])
                if rng.random() < 0.5
                else np.array([0.0, 1.0])
                if rng.random() < 0.6
                else np.array([0.4, 0.5])
            )
            end = np.clip(start + way * rng.uniform(0.4, 1.0), 0, 1)
            line = np.stack([corner + start * size * 0.9, corner + end * size * 0.9])
            canvas.stroke(line, (0, 0, 0), max(2.0, size / 6))
            canvas.stroke(line, color, max(1.0, size / 12))


def foreground(canvas: Canvas, rng: np.random.Generator, style: Style, line: float) -> None:
    """Something before the characters that may hide a part of them: a counter, bushes, a post, a balloon, a ball."""
    height, width = canvas.size
    kind = rng.integers(5)
    canvas.tag = 0
    if kind == 0:
        y = height * rng.uniform(0.7, 0.95)
        style.shape(canvas, rectangle(-9, y, width + 9, height + 9), palette.any_color(rng, (0.1, 0.6)), line)
        ball(canvas, rng, style, (rng.uniform(0, width), y - height * 0.04), height * 0.05, line)
    elif kind == 1:
        for _ in range(rng.integers(1, 4)):
            x, y, size = rng.uniform(0, width), height * rng.uniform(0.9, 1.1), rng.uniform(0.08, 0.22) * height
            bush(canvas, rng, style, x, y, size, palette.any_color(rng), line)
    elif kind == 2:
        x, wide = rng.uniform(0, width), rng.uniform(0.01, 0.06) * width
        style.shape(canvas, rectangle(x - wide, -9, x + wide, height + 9), palette.any_color(rng, (0.1, 0.6)), line)
    elif kind == 3:
        at = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.08, 0.3) * height)
        _balloon(canvas, rng, style, at, rng.uniform(0.08, 0.16) * height, line)
    else:
        at = (rng.uniform(0, width), rng.uniform(0.3, 1) * height)
        ball(canvas, rng, style, at, rng.uniform(0.03, 0.12) * height, line)


def _balloon(
    canvas: Canvas, rng: np.random.Generator, style: Style, at: tuple[float, float], size: float, line: float
) -> None:
    x, y = at
    tail = [(x - size * 0.3, y + size * 0.5), (x + size * 0.3, y + size * 0.5), (x + size * 0.6, y + size * 2)]
    canvas.fill(np.array(tail), (255, 255, 255))
    style.shape(canvas, ellipse(x, y, size * 2, size), (255, 255, 255), line, plain=True)
    letters(canvas, rng, (x - size * 1.2, y + size * 0.15), size * 0.5, (20, 20, 20), 4)
