"""Hats and other things worn on a head."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Points, ellipse, rectangle, scaled, smooth
from .design import BLACK
from .head import Head


def draw_hat(canvas: Canvas, head: Head) -> None:
    """Draw the hat of the head, if any."""
    hair = head.design.hair
    if hair.hat == "none":
        return
    width = max(head.reach(-0.4, True), head.reach(-0.4, False)) + hair.volume * 0.7 + 0.05
    brim = -0.52 if hair.kind not in ("none", "bald") else -0.6
    _HATS[hair.hat](canvas, head, width, brim)


def _dome(width: float, brim: float, height: float) -> Points:
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    return np.stack([width * np.cos(angle), brim + height * np.sin(angle)], 1)


def _cap(c: Canvas, head: Head, width: float, brim: float) -> None:
    color, turn = head.design.hair.hat_color, float(np.sin(head.pose.yaw))
    head.shape(c, _dome(width, brim, 0.72), color)
    peak = smooth([
        (-width * 0.7 + turn * 0.7, brim - 0.05), (turn * width * 1.3, brim + 0.16),
        (width * 0.7 + turn * 0.7, brim - 0.05), (turn, brim - 0.1),
    ])  # fmt: skip
    head.shape(c, peak, scaled(color, 0.75))


def _top(c: Canvas, head: Head, width: float, brim: float) -> None:
    color = head.design.hair.hat_color if head.design.wobble[2] > 0 else BLACK
    tall = 0.7 + 0.5 * abs(head.design.wobble[1])
    head.shape(
        c, [(-width * 0.75, brim), (-width * 0.7, brim - tall), (width * 0.7, brim - tall), (width * 0.75, brim)], color
    )
    c.fill(head.px(rectangle(-width * 0.75, brim - 0.18, width * 0.75, brim)), head.style.tone(scaled(color, 0.6)))
    head.draw_disc(c, 0, brim, width * 1.3, 0.12, color)


def _beanie(c: Canvas, head: Head, width: float, brim: float) -> None:
    color = head.design.hair.hat_color
    head.shape(c, _dome(width, brim, 0.8), color)
    head.draw_disc(c, 0, brim, width * 1.03, 0.13, scaled(color, 1.25), power=4.0)
    head.draw_disc(c, 0, brim - 0.8, 0.18, 0.18, (240, 240, 240), 0.7)


def _cone(c: Canvas, head: Head, width: float, brim: float) -> None:
    color, lean = head.design.hair.hat_color, head.design.wobble[4] * 0.5
    head.shape(c, [(-width * 0.85, brim), (lean, brim - 1.7), (width * 0.85, brim)], color)
    head.draw_disc(c, 0, brim, width * 1.35, 0.13, scaled(color, 0.8))


def _helmet(c: Canvas, head: Head, width: float, brim: float) -> None:
    color = head.design.hair.hat_color
    dome = _dome(width * 1.1, brim + 0.1, 0.85)
    sides = [
        (width * 1.1, 0.2), (width * 0.92, 0.2), (width * 0.88, brim + 0.1), (-width * 0.88, brim + 0.1),
        (-width * 0.92, 0.2), (-width * 1.1, 0.2),
    ]  # fmt: skip
    head.shape(c, np.concatenate([dome, sides]), color)


def _crown(c: Canvas, head: Head, width: float, brim: float) -> None:
    x = np.linspace(-width * 0.8, width * 0.8, 9)
    top = np.stack([x, brim - 0.35 - 0.25 * (np.arange(9) % 2)], 1)
    head.shape(c, np.concatenate([top, [(width * 0.8, brim), (-width * 0.8, brim)]]), (245, 200, 50))


def _bow(c: Canvas, head: Head, width: float, brim: float) -> None:
    x, y = 0.5 * np.sign(head.design.wobble[6]), -0.95
    for side in (-1, 1):
        wing = smooth([(x, y), (x + side * 0.45, y - 0.28), (x + side * 0.5, y + 0.2)])
        head.shape(c, wing, head.design.hair.hat_color, 0.8)
    head.draw_disc(c, x, y, 0.1, 0.1, scaled(head.design.hair.hat_color, 0.8), 0.8)


def _band(c: Canvas, head: Head, width: float, brim: float) -> None:
    low = head.design.hair.hairline - 0.1
    x = np.linspace(-1, 1, 11)
    top = np.stack([x * width, low - 0.16 + 0.1 * (1 - x**2)], 1)
    head.shape(c, np.concatenate([top, (top + (0, 0.17))[::-1]]), head.design.hair.hat_color, 0.7)


def _headphones(c: Canvas, head: Head, width: float, brim: float) -> None:
    color = head.style.tone(head.design.hair.hat_color)
    c.stroke(head.px(_dome(width * 1.05, -0.05, 1.1)), color, 0.12 * head.unit)
    for side in (-1, 1):
        if head.at(side * 1.57, 0.0)[2] > -0.5:
            x = side * width * 0.98 * abs(np.cos(head.pose.yaw))
            head.draw_disc(c, x, 0.0, 0.2, 0.32, head.design.hair.hat_color)


def _hood(c: Canvas, head: Head, width: float, brim: float) -> None:
    turn = float(np.sin(head.pose.yaw))
    outer = ellipse(-0.15 * turn, -0.1, width * 1.3, 1.3, 40)
    inner = ellipse(turn * 0.3, 0.08, width * 0.86, 0.98, 40)[::-1]
    ring = np.concatenate([outer, outer[:1], inner[-1:], inner])
    head.shape(c, ring, head.design.body.top, 0, plain=True)
    c.stroke(head.px(inner), head.style.line(head.design.body.top), head.line_width, closed=True)
    c.stroke(head.px(outer), head.style.line(head.design.body.top), head.line_width, closed=True)


_HATS = {
    "cap": _cap, "top": _top, "beanie": _beanie, "cone": _cone, "helmet": _helmet, "crown": _crown, "bow": _bow,
    "band": _band, "headphones": _headphones, "hood": _hood,
}  # fmt: skip
