"""Noses, snouts and beaks; in three-quarter view and profile they project from the face."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, mix, scaled, smooth
from .design import WHITE
from .head import Head


def nose_place(head: Head) -> tuple[float, float, float]:
    """x, y in head space of the nose, and how far it faces the camera."""
    features = head.design.features
    out = 0.0
    if features.nose in ("dog", "cat", "snout"):
        out = features.muzzle * 0.9
    x, y, facing = head.at(0.0, features.nose_y)
    sin = float(np.sin(head.pose.yaw))
    shift = features.muzzle * 0.8 * sin if out else 0.0
    return x + shift, y, facing


def draw_nose(canvas: Canvas, head: Head) -> None:
    """Draw the nose, if there is one."""
    kind = head.design.features.nose
    if kind != "none":
        x, y, _ = nose_place(head)
        _NOSES[kind](canvas, head, x, y, head.design.features.nose_size, float(np.sin(head.pose.yaw)))


def _ball(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    features = head.design.features
    wide = size * (0.75 if features.nose == "button" else 1.0)
    head.draw_disc(canvas, x + sin * wide * 0.7, y, wide, wide * 0.85, features.nose_color, 0.8)


def _dots(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    color = head.style.tone(scaled(head.design.skin, 0.45))
    for side in (-1, 1):
        canvas.fill(head.disc(x + side * 0.07 * (1 - abs(sin)), y, 0.025, 0.025), color)


def _snout(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    color, facing = head.design.features.nose_color, 1 - abs(sin)
    wide = size * (0.5 + 0.5 * facing)
    head.draw_disc(canvas, x + sin * size * 0.5, y, wide, size * 0.7, scaled(color, 0.93))
    for side in (-1, 1):
        hole = x + sin * size * 0.6 + side * size * 0.35 * facing
        canvas.fill(head.disc(hole, y, size * 0.13, size * 0.25), head.style.tone(scaled(color, 0.4)))


def _animal(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    color, power = head.design.features.nose_color, 2.0 if head.design.features.nose == "dog" else 1.4
    head.draw_disc(canvas, x, y, size, size * 0.72, color, 0.5, power=power)
    if size * head.unit > 5:
        shine = head.disc(x - size * 0.3, y - size * 0.3, size * 0.25, size * 0.15)
        canvas.fill(shine, head.style.tone(mix(color, WHITE, 0.6)))


def _long_nose(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    direction = 1.0 if sin >= 0 else -1.0
    reach = x + direction * size * (0.35 + 1.1 * abs(sin))
    droop = 0.12 * head.design.wobble[3]
    back = x - direction * size * 0.25
    points = smooth(
        [
            (back, y - size * 0.9), (reach, y - size * 0.25 + droop), (reach, y + size * 0.3 + droop),
            (back, y + size * 0.42),
        ],
        False,
        6,
    )  # fmt: skip
    pixels = head.px(points)
    style = head.style
    canvas.fill(pixels, style.tone(head.design.features.nose_color))
    canvas.stroke(
        pixels, style.line(head.design.skin), max(head.line_width * 0.8, 0.8 if style.line_width == 0 else 0.0)
    )


def _tick_nose(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    direction = 1.0 if sin >= -0.05 else -1.0
    size = max(size, 0.06)
    tip = x + direction * size * (0.3 + 0.9 * abs(sin))
    points = np.array([(x, y - size * 1.2), (tip, y + size * 0.2), (x - direction * 0.1 * size, y + size * 0.45)])
    if abs(sin) > 0.6:
        canvas.fill(head.px(points), head.style.tone(head.design.skin))
    color = head.style.line(head.design.skin)
    canvas.taper(
        head.px(points[1:] if abs(sin) < 0.4 else points), color, max(head.line_width, 0.03 * head.unit), (0.5, 0.3)
    )


def _beak(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    color, gape = head.design.features.nose_color, head.pose.mouth * 0.3
    reach = 0.25 + abs(sin) * 1.3
    tip = x + (1 if sin >= 0 else -1) * size * reach * (abs(sin) > 0.2)
    half = size * (1.05 - 0.55 * abs(sin))
    lower = [(x - half * 0.7, y + 0.1), (x + half * 0.7, y + 0.1), (tip * 0.9 + x * 0.1, y + size * 0.55 + gape)]
    upper = [(x - half, y + 0.08), (x, y - size * 0.45), (x + half, y + 0.08), (tip, y + size * 0.4)]
    head.shape(canvas, smooth(lower), scaled(color, 0.8))
    head.shape(canvas, smooth(upper), color)


_NOSES = {
    "ball": _ball, "button": _ball, "long": _long_nose, "triangle": _tick_nose, "tick": _tick_nose, "dots": _dots,
    "snout": _snout, "beak": _beak, "dog": _animal, "cat": _animal,
}  # fmt: skip
