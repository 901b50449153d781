"""Hair and ears, which are not part of a face."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Points, ellipse, scaled, smooth
from .head import Head

_SPIKES = {"spikes": 0.12, "afro": 0.05, "curly": 0.08}
_ANIMAL_EARS = ("cat", "bear", "rabbit", "floppy", "mouse", "horns")


def draw_ears(canvas: Canvas, head: Head, is_near: bool) -> None:
    """Draw the ears in front of (``is_near``) or behind the head."""
    features = head.design.features
    if features.ear in _ANIMAL_EARS:
        _top_ears(canvas, head, is_near)
        return
    if features.ear == "none" or head.design.kind == "thing":
        return
    for side in (-1.0, 1.0):
        x, y, facing = head.at(side * 1.57, 0.05)
        in_front = facing > 0.25
        if in_front != is_near or facing < -0.75:
            continue
        size = features.ear_size
        rx = size * (0.65 + 0.3 * abs(facing))
        points = ellipse(x + side * (0.4 if not is_near else 0.0) * size, y, rx, size * 1.15)
        if features.ear == "pointed":
            points = smooth([
                (x, y + size), (x + side * 0.2, y - size * 0.2), (x + side * 2.2 * size, y - size * 1.8),
                (x, y - size * 0.6),
            ])  # fmt: skip
        head.shape(canvas, points, head.design.skin, 0.8)
        if is_near:
            canvas.stroke(
                head.px(ellipse(x, y, rx * 0.45, size * 0.6)[6:22]),
                head.style.line(head.design.skin),
                head.line_width * 0.5,
            )


def _top_ears(canvas: Canvas, head: Head, is_near: bool) -> None:
    features, design = head.design.features, head.design
    size = features.ear_size
    turn = float(np.sin(head.pose.yaw))
    for side in (-1.0, 1.0):
        x, _, facing = head.at(side * 1.5, -0.6)
        if is_near != (features.ear == "floppy" and facing > -0.3):
            continue  # all ears are behind the head, except a near hanging one
        x = (
            x * 0.85 - 0.15 * turn
            if features.ear == "floppy"
            else side * 0.62 * design.head[1] * (1 - 0.45 * abs(turn)) - 0.25 * turn
        )
        outer, inner = _ear_shape(features.ear, x, side, size)
        color = (
            (225, 215, 190)
            if features.ear == "horns"
            else design.skin
            if design.kind == "animal"
            else design.hair.color
        )
        if features.ear in ("bear", "mouse") and features.patches:
            color = (45, 42, 45)
        head.shape(canvas, outer, color)
        if inner is not None:
            head.shape(canvas, inner, scaled(design.skin_light, 0.92), 0)


def _ear_shape(kind: str, x: float, side: float, size: float) -> tuple[Points, Points | None]:
    if kind == "cat":
        outer = np.array(
            [(x - side * size * 0.7, -0.75), (x + side * size * 0.5, -0.9 - size * 1.3), (x + side * size * 0.75, -0.4)]
        )
        return outer, (outer - outer.mean(0)) * 0.55 + outer.mean(0)
    if kind == "rabbit":
        tip = -1.0 - size * 3.2
        outer = smooth([
            (x - 0.5 * size, -0.8), (x - 0.3 * size, tip), (x + side * 0.35 * size + 0.2 * size, tip),
            (x + 0.5 * size, -0.8),
        ])  # fmt: skip
        return outer, (outer - outer.mean(0)) * (0.5, 0.8) + outer.mean(0)
    if kind == "floppy":
        outer = smooth([
            (x, -0.92), (x + side * size * 1.1, -0.7), (x + side * size * 1.3, 0.35), (x + side * size * 0.5, 0.5),
            (x + side * 0.2 * size, -0.4),
        ])  # fmt: skip
        return outer, None
    if kind == "horns":
        return smooth([
            (x - side * 0.1, -0.8), (x + side * size * 0.3, -1.1), (x + side * size * 0.2, -1.1 - size),
            (x + side * size * 0.7, -1.0),
        ]), None  # fmt: skip
    wide = size * (0.75 if kind == "bear" else 1.25)
    centre = (x + side * wide * 0.4, -0.85 - wide * 0.35)
    return ellipse(*centre, wide, wide), ellipse(*centre, wide * 0.6, wide * 0.6) if kind == "bear" else None


def draw_back(canvas: Canvas, head: Head) -> None:
    """The hair behind the head."""
    design = head.design.hair
    canvas.tag = 0
    color, yaw = scaled(design.color, 0.8), float(np.sin(head.pose.yaw))
    width = max(head.reach(-0.36, True), head.reach(-0.36, False)) + design.volume
    if design.kind in ("long", "bangs", "side", "bun", "tails", "pony") and design.length > 0.3:
        head.shape(canvas, _mane(head, width), color)
    for strand in _strands(head, width):
        head.shape(canvas, strand, design.color)
    if design.kind in ("afro", "curly"):
        grow = 1.3 + design.volume if design.kind == "afro" else 1.1
        cloud = _cloud(-yaw * 0.2, -0.35, width * grow, 0.95 * grow, head)
        head.shape(canvas, cloud, color)
    if design.kind == "bun":
        for x in [-0.7, 0.7] if head.design.wobble[9] > 0 else [-yaw * 0.9]:
            head.draw_disc(canvas, x * width, -1.05, 0.4, 0.38, design.color)


def _mane(head: Head, width: float) -> Points:
    """Loose hair, down to its length."""
    a, b, c, d, e, f = head.design.wobble[:6] * 0.12
    low = head.design.hair.length
    right = [(width * 0.8, -0.8), (width, 0.0), (width * (0.95 + a), low * 0.6), (width * (0.8 + b), low)]
    tips = [(0.3 + c, low * 0.95), (-0.3 + d, low * 1.02)]
    left = [(-width * (0.8 + e), low), (-width * (0.95 + f), low * 0.6), (-width, 0.0), (-width * 0.8, -0.8)]
    return smooth(np.array(right + tips + left) - (0.35 * np.sin(head.pose.yaw), 0.0))


def _strands(head: Head, width: float) -> list[Points]:
    """Tied hair: two tails or one."""
    design, yaw = head.design.hair, float(np.sin(head.pose.yaw))
    low = design.length
    if design.kind == "tails":
        found = []
        for side in (-1.0, 1.0):
            x = side * width * (1 - 0.5 * abs(yaw)) - yaw * 0.4
            found.append(
                smooth([(x, -0.5), (x + side * 0.55, -0.4), (x + side * 0.7, low * 0.6), (x + side * 0.3, low)])
            )
        return found
    if design.kind == "pony":
        x = -yaw * (width + 0.2)
        return [smooth([(x, -0.8), (x - yaw * 0.7 + 0.2, -0.7), (x - yaw * 0.8, low * 0.7), (x - yaw * 0.2, low)])]
    return []


def _cloud(x: float, y: float, rx: float, ry: float, head: Head) -> Points:
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    bumps = 1 + 0.09 * np.abs(np.sin(angle * (4 + int(2 * abs(head.design.wobble[8])))))
    return np.stack([x + rx * bumps * np.cos(angle), y + ry * bumps * np.sin(angle)], 1)


def _cap_top(head: Head, volume: float, spikes: float) -> Points:
    """The outer edge of the hair from the left temple over the crown to the right one."""
    wobble = head.design.wobble
    count = 15 if spikes > 0 else 13
    angle = np.linspace(np.pi * 1.02, np.pi * 1.98, count)
    rx = np.where(np.cos(angle) > 0, head.reach(-0.3, True), head.reach(-0.3, False)) + volume * 0.7
    rise = np.ones(count)
    if spikes > 0:
        rise[1::2] += spikes * (0.6 + 0.5 * np.abs(wobble[10 : 10 + count // 2]))
    points = np.stack([rx * np.cos(angle) * rise, -0.25 + (0.78 + volume) * np.sin(angle) * rise], 1)
    return points if spikes > 0 else smooth(points, closed=False)


def _fringe(head: Head, hairline: float, kind: str) -> Points:
    """The inner edge of the hair from the right temple along the brow to the left one."""
    wobble, is_anime = head.design.wobble, head.style.kind == "anime"
    count = (9, 13, 17, 23)[int(abs(wobble[40]) * 3.99)]
    points = []
    for index, lon in enumerate(np.linspace(1.35, -1.35, count)):
        angle = float(np.clip(lon + head.pose.yaw, -1.57, 1.57))
        rise = hairline + 0.28 * (lon / 1.35) ** 2 * (1 if kind != "bangs" else 0.4)
        if kind in ("spikes", "bangs") or is_anime:
            depth = (0.2 + 0.2 * abs(wobble[41])) if is_anime else 0.16
            rise += (depth * (0.5 + 0.4 * wobble[24 + index]) if index % 2 else -depth * 0.4) * (
                kind != "bangs" or is_anime
            )
        if kind == "side":
            rise += 0.25 * (lon / 1.35) * np.sign(wobble[5])
        y = rise + head.drop
        x = head.reach(y, angle >= 0) * np.sin(angle) * (1.02 if abs(angle) > 1.5 else 1.0)
        points.append((x, min(y, 0.6)))
    fringe = np.array(points)
    return fringe if kind == "spikes" or is_anime else smooth(fringe, closed=False, steps=3)


def _sideburns(head: Head) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Points of the hair in front of the ears, right and left; on a turned head it covers the back to the nape."""
    volume = head.design.hair.volume
    ends = []
    for is_right in (True, False):
        side = 1.0 if is_right else -1.0
        turned = max(0.0, -side * float(np.sin(head.pose.yaw)))  # how much of this side of the head we see
        low = 0.1 + 0.55 * turned
        outer = [
            (side * (head.reach(y, is_right) + volume * (0.6 - 0.5 * part)), y)
            for part, y in ((0.0, -0.1), (0.5, low * 0.6), (1.0, low))
        ]
        inner = (
            side * min(head.reach(low, is_right) * 0.97, side * head.at(side * 1.75, 0.0)[0])
            if turned > 0
            else side * head.reach(low, is_right) * 0.97
        )
        temple = (
            side * min(head.reach(0.0, is_right) * 0.97, side * head.at(side * 1.4, 0.0)[0]) if turned > 0 else inner
        )
        ends.append([*outer, (inner, low), (inner, min(low, 0.05)), (temple, -0.1)])
    return ends[0], ends[1][::-1]


def draw_front(canvas: Canvas, head: Head) -> None:
    """The hair on the head: cap and fringe."""
    design = head.design.hair
    if design.kind == "none":
        return
    if design.kind == "tuft":
        _tuft(canvas, head)
        return
    if head.is_back:
        grown = head.outline * (1 + design.volume * 0.6) - (0, 0.05)
        grown = grown[grown[:, 1] < 0.75]
        head.shape(canvas, grown, design.color)
        return
    if design.kind == "bald":
        _side_hair(canvas, head)
        return
    if design.hat in ("cap", "top", "beanie", "cone", "helmet"):
        spikes = 0.0
    else:
        spikes = _SPIKES.get(design.kind, 0.0) + (design.volume if design.kind == "spikes" else 0.0)
    right, left = _sideburns(head)
    hairline = design.hairline
    if head.style.kind == "anime" and head.design.wobble[7] > 0.1:
        _locks(canvas, head)
    cap = np.concatenate([_cap_top(head, design.volume, spikes), right, _fringe(head, hairline, design.kind), left])
    head.shape(canvas, cap, design.color)
    if head.style.kind == "anime" and head.unit > 18 and abs(np.sin(head.pose.yaw)) < 0.7:
        t = np.linspace(-0.55, 0.55, 9)
        shine = np.stack([t + head.pose.yaw * 0.2, -0.78 + 0.25 * t**2], 1)
        canvas.taper(head.px(shine), scaled(head.style.tone(design.color), 1.35), 0.09 * head.unit, (0.1, 0.1))


def _locks(canvas: Canvas, head: Head) -> None:
    """Strands in front of the ears."""
    low = 0.4 + 0.6 * abs(head.design.wobble[42])
    for side in (-1.0, 1.0):
        x, y, facing = head.at(side * 1.25, -0.3)
        if facing > -0.1:
            strand = smooth([
                (x - 0.13, y), (x + 0.13, y), (x + 0.1 * side + 0.07, y + low * 0.8),
                (x + 0.06 * side, y + low + 0.25), (x - 0.1, y + low * 0.7),
            ])  # fmt: skip
            head.shape(canvas, strand, head.design.hair.color)


def _tuft(canvas: Canvas, head: Head) -> None:
    for index in range(3):
        lean = head.design.wobble[12 + index] * 0.4
        x = (index - 1) * 0.12
        blade = smooth([
            (x - 0.08, -0.9), (x + lean * 0.5, -1.2), (x + lean, -1.4), (x + lean * 0.5 + 0.08, -1.15),
            (x + 0.08, -0.9),
        ])  # fmt: skip
        head.shape(canvas, blade, head.design.hair.color, 0.8)


def _side_hair(canvas: Canvas, head: Head) -> None:
    for side in (-1.0, 1.0):
        x, y, facing = head.at(side * 1.5, -0.05)
        if facing < -0.3:
            continue
        reach = 0.12 + 0.25 * abs(float(np.sin(head.pose.yaw)))
        head.shape(canvas, _cloud(x, y, reach, 0.3, head), head.design.hair.color, 0.8)
