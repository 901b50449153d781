"""Objects with a face: a box, a fruit, a star, a cup …"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import eyes, faces, noses
from .canvas import Canvas, ellipse, scaled, smooth
from .head import Head


def _box(c: Canvas, head: Head, color: Any) -> None:
    head.shape(c, [(1.15, -1.3), (1.45, -1.5), (1.45, 1.2), (1.15, 1.4)], scaled(color, 0.7))
    head.shape(c, [(-1.15, -1.3), (-0.85, -1.5), (1.45, -1.5), (1.15, -1.3)], scaled(color, 1.15))
    head.shape(c, [(-1.15, -1.3), (1.15, -1.3), (1.15, 1.4), (-1.15, 1.4)], color)


def _fruit(c: Canvas, head: Head, color: Any) -> None:
    head.draw_disc(c, 0, 0.05, 1.2, 1.15, color, power=2.3)
    c.stroke(head.px([(0, -1.05), (0.08, -1.45)]), head.style.tone((90, 60, 30)), 0.1 * head.unit)
    head.shape(c, smooth([(0.08, -1.3), (0.5, -1.6), (0.8, -1.35), (0.45, -1.2)]), (80, 160, 60))


def _star(c: Canvas, head: Head, color: Any) -> None:
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False) - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 2.0, 1.1)
    head.shape(c, smooth(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), steps=3), color)


def _cloud(c: Canvas, head: Head, color: Any) -> None:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    bump = 1 + 0.13 * np.abs(np.sin(angle * 4))
    head.shape(c, np.stack([1.6 * bump * np.cos(angle), 1.15 * bump * np.sin(angle)], 1), scaled(color, 1.3))


def _cup(c: Canvas, head: Head, color: Any) -> None:
    c.stroke(head.px(ellipse(1.15, 0.1, 0.45, 0.5)), head.style.tone(color), 0.2 * head.unit, closed=True)
    head.shape(c, [(-1.15, -1.15), (1.15, -1.15), (0.9, 1.2), (-0.9, 1.2)], color)
    head.draw_disc(c, 0, -1.15, 1.15, 0.22, scaled(color, 0.7))


def _car(c: Canvas, head: Head, color: Any) -> None:
    head.shape(c, smooth([(-1.3, -0.7), (-0.9, -1.6), (0.9, -1.6), (1.3, -0.7)]), scaled(color, 0.85))
    for side in (-1.3, 1.3):
        head.draw_disc(c, side, 1.15, 0.35, 0.45, (40, 40, 45))
    head.draw_disc(c, 0, 0.25, 1.8, 1.0, color, power=4.0)


def _tree(c: Canvas, head: Head, color: Any) -> None:
    head.shape(c, smooth([(-0.9, -1.6), (0.9, -1.6), (1.0, 0.5), (1.6, 2.6), (-1.6, 2.6), (-1.0, 0.5)]), (130, 90, 55))
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    bump = 1 + 0.12 * np.abs(np.sin(angle * 5))
    head.shape(c, np.stack([2.3 * bump * np.cos(angle), -2.2 + 1.1 * bump * np.sin(angle)], 1), (70, 150, 60))


def _slab(c: Canvas, head: Head, color: Any) -> None:
    head.draw_disc(c, 0, 0.0, 1.0, 1.6, color, power=5.0)
    head.draw_disc(c, 0, 0.0, 0.85, 1.35, scaled(color, 1.3), 0.6, power=6.0)


_SHAPES = {
    "box": _box, "fruit": _fruit, "star": _star, "cloud": _cloud, "cup": _cup, "car": _car, "tree": _tree, "slab":
    _slab,
}  # fmt: skip


def draw_thing(canvas: Canvas, head: Head, tag: int) -> None:
    """Draw an object and the face on it; the box is around the features."""
    head.pose.yaw = float(np.clip(head.pose.yaw, -0.5, 0.5))
    canvas.tag = 0
    _SHAPES[head.design.thing](canvas, head, head.design.skin)
    design = head.design
    top = design.eyes.y - design.eyes.height * 1.2 - 0.1
    low = design.features.mouth_y + 0.28 + 0.2 * head.pose.mouth
    reach = max(design.eyes.lon, design.features.mouth_width * 0.8)
    left = head.at(-reach, design.eyes.y)[0] - design.eyes.width - 0.12
    right = head.at(reach, design.eyes.y)[0] + design.eyes.width + 0.12
    canvas.claim(head.px([(left, top), (right, top), (right, low), (left, low)]), tag)
    canvas.tag = None
    faces.draw_marks(canvas, head)
    eyes.draw_eyes(canvas, head)
    faces.draw_mouth(canvas, head)
    if design.features.nose in ("ball", "button", "tick"):
        noses.draw_nose(canvas, head)
    eyes.draw_brows(canvas, head)
    faces.draw_glasses(canvas, head)
