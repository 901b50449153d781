"""Eyes and brows of every kind."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Points, mix, scaled
from .design import BLACK, WHITE, Eyes
from .head import Head
from .palette import hsv


def _places(head: Head) -> list[tuple[float, float, float, float]]:
    """(side, x, y, facing) of the visible eyes, the far one first."""
    design = head.design.eyes
    if design.count == 1:
        x, y, facing = head.at(0.0, design.y)
        return [(1.0, x, y, facing)] if facing > 0.05 else []
    found = []
    for side in (-1.0, 1.0):
        x, y, facing = head.at(side * design.lon, design.y)
        if facing > 0.08:
            found.append((side, x, y, facing))
    return sorted(found, key=lambda place: place[3])


def draw_eyes(canvas: Canvas, head: Head) -> None:
    """Draw the eyes that the turn of the head shows."""
    design = head.design.eyes
    for side, x, y, facing in _places(head):
        width = design.width * min(1.0, 0.25 + 0.75 * facing) * (1.5 if design.count == 1 else 1.0)
        height = design.height * (1.5 if design.count == 1 else 1.0)
        if head.design.features.patches:
            head.draw_disc(canvas, x, y + 0.04, width * 1.6 + 0.05, height * 1.4 + 0.08, (45, 42, 45), 0)
        if head.pose.blink > 0.75:
            if facing > 0.25:
                _closed(canvas, head, x, y, max(width, 0.12 * facing), height)
            continue
        _OPEN[design.kind](canvas, head, design, side, x, y, width, height)
        shut = max(design.lid, head.pose.blink)
        if shut > 0.08 and design.kind in ("ball", "lens", "pie"):
            _lid(canvas, head, x, y, width, height, shut)


def _closed(canvas: Canvas, head: Head, x: float, y: float, width: float, height: float) -> None:
    t = np.linspace(-1, 1, 9)
    bend = (0.5 if head.pose.smile > 0.2 else -0.5) * max(height, 0.1) * 0.8
    arc = np.stack([x + t * width, y + 0.05 - bend * (1 - t**2) + bend * 0.3], 1)
    canvas.taper(head.px(arc), head.style.tone(BLACK), max(head.line_width * 1.4, 0.05 * head.unit), (0.5, 0.5))


def _lid(canvas: Canvas, head: Head, x: float, y: float, width: float, height: float, shut: float) -> None:
    angle = np.linspace(np.pi, 2 * np.pi, 12)
    edge = y - height + 2 * height * min(shut, 1.0)
    points = np.stack([x + 1.04 * width * np.cos(angle), np.minimum(y + 1.04 * height * np.sin(angle), edge)], 1)
    reach = width * np.sqrt(max(0.0, 1 - ((edge - y) / height) ** 2))
    bottom = np.array([[x + reach, edge], [x - reach, edge]])
    body = np.concatenate([points[points[:, 1] <= edge + 1e-9], bottom])
    color = scaled(head.design.skin, 0.86)
    head.shape(canvas, body, color, 0.8, plain=True)


def _gaze(head: Head, room_x: float, room_y: float) -> tuple[float, float]:
    return head.pose.gaze[0] * max(room_x, 0.0), head.pose.gaze[1] * max(room_y, 0.0)


def _ball(c: Canvas, head: Head, eyes: Eyes, side: float, x: float, y: float, w: float, h: float) -> None:
    head.draw_disc(c, x, y, w, h, eyes.sclera, 0.8, plain=head.style.kind != "soft")
    size = eyes.pupil * min(w, h) if eyes.pupil < 0.3 else eyes.pupil * w
    dx, dy = _gaze(head, w - size * 1.15, h - size * 1.15)
    if eyes.pupil > 0.3:
        c.fill(head.disc(x + dx, y + dy, size * 1.1, size * 1.1), head.style.tone(eyes.iris))
        size *= 0.6
    c.fill(head.disc(x + dx, y + dy, size, size), head.style.tone(BLACK))


def _dot(c: Canvas, head: Head, eyes: Eyes, side: float, x: float, y: float, w: float, h: float) -> None:
    c.fill(head.disc(x, y, w, h), head.style.tone(BLACK))


def _oval(c: Canvas, head: Head, eyes: Eyes, side: float, x: float, y: float, w: float, h: float) -> None:
    c.fill(head.disc(x, y, w, h), head.style.tone(BLACK))
    if eyes.pupil > 0.7:
        c.fill(head.disc(x - w * 0.2, y - h * 0.4, w * 0.35, h * 0.25), WHITE)


def _pie(c: Canvas, head: Head, eyes: Eyes, side: float, x: float, y: float, w: float, h: float) -> None:
    c.fill(head.disc(x, y, w * 1.5, h * 1.25), WHITE)
    c.stroke(head.disc(x, y, w * 1.5, h * 1.25), BLACK, head.line_width * 0.6, closed=True)
    dx, dy = _gaze(head, w * 0.45, h * 0.25)
    c.fill(head.disc(x + dx, y + dy, w, h), BLACK)
    wedge = np.array([[0.1, -0.1], [1.1, -1.0], [1.3, -0.2]]) * (w, h) + (x + dx, y + dy)
    c.fill(head.px(wedge), WHITE)


def _lens_points(x: float, y: float, w: float, h: float, tilt: float) -> Points:
    t = np.linspace(-1, 1, 10)
    top = np.stack([x + w * t, y - h * (1 - t**2) - tilt * t * h * 0.4], 1)
    bottom = np.stack([x + w * t[::-1], y + 0.8 * h * (1 - t[::-1] ** 2) - tilt * t[::-1] * h * 0.4], 1)
    return np.concatenate([top, bottom])


def _lens(c: Canvas, head: Head, eyes: Eyes, side: float, x: float, y: float, w: float, h: float) -> None:
    points = _lens_points(x, y, w, h, side)
    c.fill(head.px(points), head.style.tone(eyes.sclera))
    size = min(h * 0.85, w * 0.5)
    dx, dy = _gaze(head, w - size * 1.3, 0.1 * h)
    c.fill(head.disc(x + dx, y + dy, size, size), head.style.tone(eyes.iris))
    c.fill(head.disc(x + dx, y + dy, size * 0.5, size * 0.5), BLACK)
    if size * head.unit > 4:
        c.fill(head.disc(x + dx - size * 0.3, y + dy - size * 0.35, size * 0.25, size * 0.25), WHITE)
    heavy = max(head.line_width, 0.035 * head.unit)
    c.taper(head.px(points[:10]), BLACK, heavy * (2 if eyes.lashes else 1.4), (0.4, 0.4))


def _anime(c: Canvas, head: Head, eyes: Eyes, side: float, x: float, y: float, w: float, h: float) -> None:
    open_part = max(0.25, 1 - max(head.pose.blink, eyes.lid * 0.6))
    top, style = h * (2 * open_part - 1), head.style
    t = np.linspace(-1, 1, 12)
    upper = np.stack([x + w * t, y - top * (1 - 0.55 * t**2) - side * t * h * 0.12], 1)
    lower = np.stack([x + 0.8 * w * t[::-1], y + h * (1 - 0.35 * t[::-1] ** 2)], 1)
    c.fill(head.px(np.concatenate([upper, lower])), style.tone(eyes.sclera))
    dx = _gaze(head, w * 0.3, 0)[0]
    iris_w, mid = w * 0.68, y + (h - top) / 2
    iris_h = (h + top) / 2 * 0.98
    dark = style.tone(scaled(eyes.iris, 0.45))
    c.fill(head.disc(x + dx, mid, iris_w, iris_h), dark)
    if iris_w * head.unit > 2.5:
        c.fill(head.disc(x + dx, mid + iris_h * 0.3, iris_w * 0.8, iris_h * 0.6), style.tone(eyes.iris))
        c.fill(head.disc(x + dx, mid, iris_w * 0.4, iris_h * 0.5), style.tone(scaled(eyes.iris, 0.2)))
        c.fill(
            head.disc(x + dx + iris_w * 0.25, mid + iris_h * 0.55, iris_w * 0.3, iris_h * 0.18),
            mix(eyes.iris, WHITE, 0.6),
        )
    c.fill(head.disc(x + dx - iris_w * 0.35, mid - iris_h * 0.45, iris_w * 0.33, iris_h * 0.28), WHITE)
    lash = head.px(upper + (0, -0.01))
    c.taper(lash, hsv(0.0, 0.4, 0.12) if style.is_grey is False else BLACK, 0.09 * head.unit, (0.5, 0.5))
    c.taper(head.px(lower[3:9]), style.line(head.design.skin), 0.03 * head.unit, (0.2, 0.2))
    if eyes.lashes:
        corner = upper[-1] if side > 0 else upper[0]
        c.taper(
            head.px(np.array([corner, corner + (side * 0.05, -0.05), corner + (side * 0.1, -0.07)])),
            BLACK,
            0.04 * head.unit,
        )


_OPEN = {"ball": _ball, "dot": _dot, "oval": _oval, "pie": _pie, "lens": _lens, "anime": _anime}


def draw_brows(canvas: Canvas, head: Head) -> None:
    """Draw the brows by the mood."""
    design, eyes = head.design.features, head.design.eyes
    if design.brow <= 0:
        return
    length = max(eyes.width, 0.15) * 1.1
    for side, x, y, facing in _places(head):
        t = np.linspace(-1, 1, 7)
        mood = head.pose.brow
        lift = -0.06 * max(mood, 0) + 0.03 * min(mood, 0)
        slope = side * t * 0.10 * mood
        span = length * min(1.0, 0.3 + 0.7 * facing)
        top = y - eyes.height - design.brow_y + lift
        points = np.stack([x + t * span, top + slope + 0.05 * t**2], 1)
        canvas.taper(
            head.px(points), head.style.tone(design.brow_color), max(design.brow, 0.03) * head.unit, (0.4, 0.4)
        )
