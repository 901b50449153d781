"""What lies on a face besides eyes: muzzle, nose, mouth, beard, glasses, blush."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .canvas import Canvas, Points, ellipse, mix, scaled, smooth
from .design import BLACK, WHITE

if TYPE_CHECKING:
    from .heads import Head


def draw_marks(canvas: Canvas, head: Head) -> None:
    """Blush and freckles, under everything else."""
    features, skin = head.design.features, head.design.skin
    for side in (-1.0, 1.0):
        x, y, facing = head.at(side * 0.65, 0.35)
        if facing < 0.25:
            continue
        if features.blush > 0:
            canvas.fill(head.disc(x, y, 0.17 * facing, 0.1), head.style.tone(mix(skin, (250, 90, 100), features.blush * 0.6)))
        if features.freckles:
            for dx, dy in ((-0.08, 0.0), (0.06, 0.03), (0.0, -0.06)):
                canvas.fill(head.disc(x + dx, y + dy, 0.02, 0.02), scaled(skin, 0.7))
        if features.tear:
            canvas.fill(head.disc(x * 0.8, y - 0.05, 0.05, 0.12), (150, 210, 250))


def draw_muzzle(canvas: Canvas, head: Head) -> None:
    """The lighter mouth part of an animal's face, which stands out sideways in profile."""
    features = head.design.features
    if features.muzzle <= 0:
        return
    x, y, facing = head.at(0.0, (features.nose_y + features.mouth_y) / 2 + 0.08)
    out = features.muzzle * 0.55 * float(np.sin(head.pose.yaw))
    rx = features.muzzle * (0.75 + 0.25 * facing)
    head.style.shape(canvas, head.disc(x * 0.9 + out, y, rx, 0.36), head.design.skin_light, head.line_width * 0.8)


def _nose_place(head: Head) -> tuple[float, float, float]:
    features = head.design.features
    out = 0.0
    if features.nose in ("dog", "cat", "snout"):
        out = features.muzzle * 0.9
    x, y, facing = head.at(0.0, features.nose_y)
    sin = float(np.sin(head.pose.yaw))
    shift = features.muzzle * 0.8 * sin if out else 0.0
    return x + shift, y, facing


def draw_nose(canvas: Canvas, head: Head) -> None:
    """The nose; in three-quarter view and profile it stands out of the face."""
    features, style = head.design.features, head.style
    x, y, facing = _nose_place(head)
    size, sin = features.nose_size, float(np.sin(head.pose.yaw))
    color = features.nose_color
    if features.nose in ("ball", "button"):
        wide = size * (0.75 if features.nose == "button" else 1.0)
        style.shape(canvas, head.disc(x + sin * wide * 0.7, y, wide, wide * 0.85), color, head.line_width * 0.8)
    elif features.nose == "long":
        _long_nose(canvas, head, x, y, size, sin)
    elif features.nose in ("triangle", "tick"):
        _tick_nose(canvas, head, x, y, size, sin)
    elif features.nose == "dots":
        for side in (-1, 1):
            canvas.fill(head.disc(x + side * 0.07 * facing, y, 0.025, 0.025), style.tone(scaled(head.design.skin, 0.45)))
    elif features.nose == "snout":
        style.shape(canvas, head.disc(x + sin * size * 0.5, y, size * (0.5 + 0.5 * facing), size * 0.7), scaled(color, 0.93), head.line_width)
        for side in (-1, 1):
            canvas.fill(head.disc(x + sin * size * 0.6 + side * size * 0.35 * facing, y, size * 0.13, size * 0.25), scaled(color, 0.4))
    elif features.nose == "beak":
        _beak(canvas, head, x, y, size, sin)
    elif features.nose in ("dog", "cat"):
        power = 2.0 if features.nose == "dog" else 1.4
        style.shape(canvas, head.disc(x, y, size, size * 0.72, power), color, head.line_width * 0.5)
        if size * head.unit > 5:
            canvas.fill(head.disc(x - size * 0.3, y - size * 0.3, size * 0.25, size * 0.15), mix(color, WHITE, 0.6))


def _long_nose(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    direction = 1.0 if sin >= 0 else -1.0
    reach = x + direction * size * (0.35 + 1.1 * abs(sin))
    droop = 0.12 * head.design.wobble[3]
    back = x - direction * size * 0.25
    points = smooth([(back, y - size * 0.9), (reach, y - size * 0.25 + droop), (reach, y + size * 0.3 + droop), (back, y + size * 0.42)], False, 6)
    pixels = head.px(points)
    style = head.style
    canvas.fill(pixels, style.tone(head.design.features.nose_color))
    canvas.stroke(pixels, style.line(head.design.skin), max(head.line_width * 0.8, 0.8 if style.line_width == 0 else 0.0))


def _tick_nose(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    direction = 1.0 if sin >= -0.05 else -1.0
    size = max(size, 0.06)
    tip = x + direction * size * (0.3 + 0.9 * abs(sin))
    points = np.array([(x, y - size * 1.2), (tip, y + size * 0.2), (x - direction * 0.1 * size, y + size * 0.45)])
    if abs(sin) > 0.6:
        canvas.fill(head.px(points), head.style.tone(head.design.skin))
    color = head.style.line(head.design.skin)
    canvas.taper(head.px(points[1:] if abs(sin) < 0.4 else points), color, max(head.line_width, 0.03 * head.unit), (0.5, 0.3))


def _beak(canvas: Canvas, head: Head, x: float, y: float, size: float, sin: float) -> None:
    color, gape = head.design.features.nose_color, head.pose.mouth * 0.3
    reach = 0.25 + abs(sin) * 1.3
    tip = x + (1 if sin >= 0 else -1) * size * reach * (abs(sin) > 0.2)
    half = size * (1.05 - 0.55 * abs(sin))
    lower = [(x - half * 0.7, y + 0.1), (x + half * 0.7, y + 0.1), (tip * 0.9 + x * 0.1, y + size * 0.55 + gape)]
    upper = [(x - half, y + 0.08), (x, y - size * 0.45), (x + half, y + 0.08), (tip, y + size * 0.4)]
    head.style.shape(canvas, head.px(smooth(lower)), scaled(color, 0.8), head.line_width)
    head.style.shape(canvas, head.px(smooth(upper)), color, head.line_width)


def _mouth_points(head: Head, lift: float, open_by: float) -> tuple[Points, Points]:
    """Upper and lower edge of the mouth in head space, laid round the face."""
    features = head.design.features
    half = features.mouth_width / max(head.design.head[3], 0.4) * 0.9
    shift = features.muzzle * 0.55 * float(np.sin(head.pose.yaw))
    upper, lower = [], []
    for t in np.linspace(-1, 1, 11):
        lon = float(np.clip(t * half, -1.5 - head.pose.yaw, 1.5 - head.pose.yaw))
        x, y, _ = head.at(lon, features.mouth_y)
        bend = -lift * (t**2 - 0.4)
        upper.append((x + shift, y + bend))
        lower.append((x + shift, y + bend + open_by * (1 - t**2) ** 0.6))
    return np.array(upper), np.array(lower)


def draw_mouth(canvas: Canvas, head: Head) -> None:
    """The mouth, shut or open, with teeth and tongue where it has them."""
    features, style, pose = head.design.features, head.style, head.pose
    if features.mouth == "beak":
        return
    lift = 0.16 * pose.smile * min(1.0, features.mouth_width * 3)
    room = max(0.12, 0.93 - features.mouth_y)
    open_by = pose.mouth * min(room, features.mouth_width * (2.2 if features.mouth == "tiny" else 1.3))
    ink = style.tone(scaled(head.design.skin, 0.3)) if style.is_line_tinted else style.tone(BLACK)
    width = max(head.line_width, 0.035 * head.unit)
    upper, lower = _mouth_points(head, lift, open_by)
    if open_by < 0.06:
        _shut_mouth(canvas, head, upper, ink, width)
        return
    hole = head.px(np.concatenate([upper, lower[::-1]]))
    canvas.fill(hole, style.tone((95, 25, 30)))
    if open_by > 0.16:
        tongue = upper[2:-2] * 0.35 + lower[2:-2] * 0.65
        canvas.fill(head.px(np.concatenate([tongue, lower[2:-2][::-1]])), style.tone((215, 95, 100)))
    if features.mouth in ("wide", "toothy") or (features.mouth == "lips" and open_by > 0.12):
        teeth = upper * 0.7 + lower * 0.3
        canvas.fill(head.px(np.concatenate([upper[1:-1], teeth[1:-1][::-1]])), WHITE)
    canvas.stroke(hole, style.tone(features.lip_color) if features.mouth == "lips" else ink, width * 0.8, closed=True)


def _shut_mouth(canvas: Canvas, head: Head, upper: Points, ink: tuple[int, int, int], width: float) -> None:
    features, style = head.design.features, head.style
    if features.mouth == "toothy":
        body = np.concatenate([upper + (0, -0.06), (upper + (0, 0.09))[::-1]])
        style.shape(canvas, head.px(body), WHITE, width * 0.7, plain=True)
        canvas.stroke(head.px(upper + (0, 0.015)), ink, width * 0.5)
    elif features.mouth == "lips":
        t = np.linspace(-1, 1, 11)[:, None]
        thick = np.concatenate([0 * t, 0.05 + 0.05 * (1 - t**2)], 1) * (1 - np.abs(t) ** 3)
        canvas.fill(head.px(np.concatenate([upper - thick, (upper + thick)[::-1]])), style.tone(features.lip_color))
        canvas.stroke(head.px(upper), ink, width * 0.5)
    elif features.mouth == "cat":
        x, y = upper[5]
        half = features.mouth_width * (0.3 + 0.7 * head.at(0.0, y)[2]) * 0.5
        x -= half * float(np.sin(head.pose.yaw))
        bend = np.linspace(0, np.pi, 7)
        for side in (-1, 1):
            arc = np.stack([x + side * half * (1 - np.cos(bend)), y + 0.09 * np.sin(bend)], 1)
            canvas.stroke(head.px(arc), ink, width * 0.8)
        if features.nose in ("dog", "cat"):
            nose = _nose_place(head)
            canvas.stroke(head.px([(nose[0], nose[1]), (x, y)]), ink, width * 0.6)
    else:
        canvas.taper(head.px(upper), ink, width * 1.2, (0.5, 0.5))
    if features.whiskers:
        _whiskers(canvas, head, upper[5])


def _whiskers(canvas: Canvas, head: Head, middle: Points) -> None:
    for side in (-1, 1):
        for slope in (-0.15, 0.0, 0.15):
            start = middle + (side * 0.3, -0.1 + slope * 0.4)
            canvas.stroke(head.px([start, start + (side * 0.5, slope)]), head.style.tone(BLACK), max(1.0, head.line_width * 0.3))


def draw_beard(canvas: Canvas, head: Head) -> None:
    """Beard or moustache; a shadow of one is part of the face."""
    features, style = head.design.features, head.style
    kind, color = features.beard, head.design.hair.color
    if kind == "none":
        return
    upper, _ = _mouth_points(head, 0.0, 0.0)
    x, y = upper[5]
    facing = head.at(0.0, features.mouth_y)[2]
    x -= 0.6 * features.mouth_width * float(np.sin(head.pose.yaw)) * (1 - facing)
    if kind in ("moustache", "full", "long"):
        wide = features.mouth_width * 0.8 * (0.4 + 0.6 * facing)
        points = smooth([(x, y - 0.14), (x + wide, y - 0.03), (x + wide * 0.9, y + 0.06), (x, y - 0.02), (x - wide * 0.9, y + 0.06), (x - wide, y - 0.03)])
        style.shape(canvas, head.px(points), color, head.line_width * 0.7)
    if kind in ("full", "long", "stubble"):
        _chin_beard(canvas, head, color, kind)
    if kind == "goatee":
        style.shape(canvas, head.px(smooth([(x - 0.14, y + 0.16), (x + 0.14, y + 0.16), (x + 0.08, y + 0.5), (x, y + 0.6)])), color, head.line_width * 0.7)


def _chin_beard(canvas: Canvas, head: Head, color: tuple[int, int, int], kind: str) -> None:
    outline = head.outline
    low = outline[outline[:, 1] > 0.3]
    order = low[np.argsort(np.arctan2(low[:, 1] - 0.3, low[:, 0]))]
    upper, _ = _mouth_points(head, 0.0, 0.0)
    around = ellipse(upper[5][0], upper[5][1] + 0.02, head.design.features.mouth_width * 0.8, 0.17, 14)
    inner = around[np.argsort(-np.arctan2(around[:, 1] - 9, around[:, 0]))]
    inner = np.array([p for p in inner if p[1] >= upper[5][1] - 0.05])
    if kind == "stubble":
        color = mix(head.design.skin, (90, 75, 65), 0.35)
        order = order * (0.97, 0.98)
    elif kind == "long":
        order = order + np.stack([0 * order[:, 0], 0.5 * (order[:, 1] - 0.3)], 1)
    else:
        order = order * (1.03, 1.06)
    body = np.concatenate([order, inner[np.argsort(inner[:, 0])]])
    if kind == "stubble":
        canvas.fill(head.px(body), head.style.tone(color))
        return
    head.style.shape(canvas, head.px(body), color, head.line_width * 0.8)


def draw_glasses(canvas: Canvas, head: Head) -> None:
    """Glasses, whose rims follow the turn of the head."""
    kind, eyes = head.design.features.glasses, head.design.eyes
    if kind == "none":
        return
    ink = head.style.tone(BLACK if kind != "round" else scaled(head.design.hair.hat_color, 0.5))
    width = max(1.0, 0.055 * head.unit)
    size = max(eyes.width * 1.25, 0.2)
    ends = []
    for side in (-1.0, 1.0):
        x, y, facing = head.at(side * max(eyes.lon, 0.4), eyes.y)
        if facing < 0.08:
            continue
        rim = head.disc(x, y, size * min(1, 0.25 + 0.75 * facing), max(eyes.height * 1.1, size * 0.8), 2.0 if kind == "round" else 4.0)
        if kind == "dark":
            canvas.fill(rim, (25, 25, 32))
        canvas.stroke(rim, ink, width, closed=True)
        ends.append((x - side * size * facing * 0.9, y))
        arm = head.at(side * 1.4, eyes.y - 0.03)
        if arm[2] > -0.2:
            canvas.stroke(head.px([(x + side * size * facing, y), (arm[0], arm[1])]), ink, width * 0.8)
    if len(ends) == 2:
        canvas.stroke(head.px(ends), ink, width)
