"""The parts of a face besides eyes and nose: muzzle, mouth, beard, glasses, blush."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Points, ellipse, mix, scaled, smooth
from .design import BLACK, WHITE
from .head import Head
from .noses import nose_place


def draw_marks(canvas: Canvas, head: Head) -> None:
    """Draw blush and freckles, below all other parts."""
    features, skin = head.design.features, head.design.skin
    for side in (-1.0, 1.0):
        x, y, facing = head.at(side * 0.65, 0.35)
        if facing < 0.25:
            continue
        if features.blush > 0:
            canvas.fill(
                head.disc(x, y, 0.17 * facing, 0.1), head.style.tone(mix(skin, (250, 90, 100), features.blush * 0.6))
            )
        if features.freckles:
            for dx, dy in ((-0.08, 0.0), (0.06, 0.03), (0.0, -0.06)):
                canvas.fill(head.disc(x + dx, y + dy, 0.02, 0.02), scaled(skin, 0.7))
        if features.tear:
            canvas.fill(head.disc(x * 0.8, y - 0.05, 0.05, 0.12), (150, 210, 250))


def draw_muzzle(canvas: Canvas, head: Head) -> None:
    """Draw the lighter mouth part of an animal's face, which projects in profile."""
    features = head.design.features
    if features.muzzle <= 0:
        return
    x, y, facing = head.at(0.0, (features.nose_y + features.mouth_y) / 2 + 0.08)
    out = features.muzzle * 0.55 * float(np.sin(head.pose.yaw))
    rx = features.muzzle * (0.75 + 0.25 * facing)
    head.draw_disc(canvas, x * 0.9 + out, y, rx, 0.36, head.design.skin_light, 0.8)


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
    """Draw the mouth, shut or open, with teeth and tongue if it has them."""
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
            nose = nose_place(head)
            canvas.stroke(head.px([(nose[0], nose[1]), (x, y)]), ink, width * 0.6)
    else:
        canvas.taper(head.px(upper), ink, width * 1.2, (0.5, 0.5))
    if features.whiskers:
        _whiskers(canvas, head, upper[5])


def _whiskers(canvas: Canvas, head: Head, middle: Points) -> None:
    for side in (-1, 1):
        for slope in (-0.15, 0.0, 0.15):
            start = middle + (side * 0.3, -0.1 + slope * 0.4)
            canvas.stroke(
                head.px([start, start + (side * 0.5, slope)]), head.style.tone(BLACK), max(1.0, head.line_width * 0.3)
            )


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
        points = smooth(
            [
                (x, y - 0.14),
                (x + wide, y - 0.03),
                (x + wide * 0.9, y + 0.06),
                (x, y - 0.02),
                (x - wide * 0.9, y + 0.06),
                (x - wide, y - 0.03),
            ]
        )
        style.shape(canvas, head.px(points), color, head.line_width * 0.7)
    if kind in ("full", "long", "stubble"):
        _chin_beard(canvas, head, color, kind)
    if kind == "goatee":
        style.shape(
            canvas,
            head.px(smooth([(x - 0.14, y + 0.16), (x + 0.14, y + 0.16), (x + 0.08, y + 0.5), (x, y + 0.6)])),
            color,
            head.line_width * 0.7,
        )


def _chin_beard(canvas: Canvas, head: Head, color: tuple[int, int, int], kind: str) -> None:
    outline = head.outline
    low = outline[outline[:, 1] > 0.3]
    order = low[np.argsort(np.arctan2(low[:, 1] - 0.3, low[:, 0]))]
    upper, _ = _mouth_points(head, 0.0, 0.0)
    around = ellipse(upper[5][0], upper[5][1] + 0.02, head.design.features.mouth_width * 0.8, 0.17, 14)
    inner = around[np.argsort(-np.arctan2(around[:, 1] - 9, around[:, 0]))]
    inner = np.array([p for p in inner if p[1] >= upper[5][1] - 0.05])
    inner[:, 0] = np.clip(inner[:, 0], order[:, 0].min() * 0.97, order[:, 0].max() * 0.97)
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
    head.shape(canvas, body, color, 0.8)


def draw_glasses(canvas: Canvas, head: Head) -> None:
    """Draw glasses, whose rims follow the turn of the head."""
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
        rim = head.disc(
            x,
            y,
            size * min(1, 0.25 + 0.75 * facing),
            max(eyes.height * 1.1, size * 0.8),
            2.0 if kind == "round" else 4.0,
        )
        if kind == "dark":
            canvas.fill(rim, (25, 25, 32))
        canvas.stroke(rim, ink, width, closed=True)
        ends.append((x - side * size * facing * 0.9, y))
        arm = head.at(side * 1.4, eyes.y - 0.03)
        if arm[2] > -0.2:
            canvas.stroke(head.px([(x + side * size * facing, y), (arm[0], arm[1])]), ink, width * 0.8)
    if len(ends) == 2:
        canvas.stroke(head.px(ends), ink, width)
