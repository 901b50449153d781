"""One drawn picture with the boxes of its faces: training material without a photographer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from . import backgrounds, clutter, effects
from .bodies import draw_character
from .canvas import Canvas
from .casting import random_design, random_pose
from .palette import Style, random_style

_LEAST_VISIBLE = 0.4  # a face of which less is seen has no box
_LEAST_SIDE = 5.0  # pixels; a box below has no value


def visible_boxes(
    owner: NDArray[np.uint8], areas: dict[int, int], least_visible: float
) -> dict[int, tuple[float, ...]]:
    """Bounding boxes (x1, y1, x2, y2 in pixels) of the faces of which at least ``least_visible`` is still seen.

    Args:
        owner: uint8 [H, W], which face owns the pixel, 0: none.
        areas: pixels of each face right after it was drawn.
        least_visible: part in [0, 1].
    """
    boxes: dict[int, tuple[float, ...]] = {}
    for tag, area in areas.items():
        mask = owner == tag
        count = int(mask.sum())
        if area == 0 or count < max(4, least_visible * area):
            continue
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        boxes[tag] = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return boxes


def _layout(rng: np.random.Generator, size: tuple[int, int]) -> list[tuple[float, float, float]]:
    """(x, y, half head height) of the characters, the farthest first."""
    height, width = size
    kind = rng.choice(["none", "close", "pair", "group", "crowd"], p=[0.06, 0.27, 0.27, 0.27, 0.13])
    if kind == "none":
        return []
    low, high, count = {
        "close": (0.2, 0.42, 1),
        "pair": (0.1, 0.26, int(rng.integers(1, 4))),
        "group": (0.04, 0.13, int(rng.integers(2, 7))),
        "crowd": (0.018, 0.06, int(rng.integers(4, 13))),
    }[str(kind)]
    places = []
    base = rng.uniform(0.3, 0.6) * height
    for index in range(count):
        unit = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * height
        unit = max(unit, 6.0)
        x = (index + rng.uniform(0.2, 0.8)) / count * width if rng.random() < 0.75 else rng.uniform(-0.03, 1.03) * width
        y = base + rng.normal(0, 0.1) * height + unit * 0.4 if count > 1 else rng.uniform(0.3, 0.65) * height
        places.append((x, float(np.clip(y, 0.0, height)), unit))
    return sorted(places, key=lambda place: place[2])


def _inside(x: float, y: float, unit: float, size: tuple[int, int]) -> float:
    """Roughly what part of a head lies in the picture."""
    across = (min(x + unit, size[1]) - max(x - unit, 0)) / (2 * unit)
    down = (min(y + unit, size[0]) - max(y - unit, 0)) / (2 * unit)
    return max(0.0, across) * max(0.0, down)


def _people(canvas: Canvas, rng: np.random.Generator, style: Style) -> dict[int, int]:
    """Draw the characters; returns the area of each face as if nothing hid it."""
    areas: dict[int, int] = {}
    mixed = rng.random() < 0.08
    twin = random_design(rng, style)
    for tag, (x, y, unit) in enumerate(_layout(rng, canvas.size), start=1):
        own = random_style(rng) if mixed else style
        design = random_design(rng, own) if rng.random() < 0.9 else twin
        pose = random_pose(rng)
        if rng.random() < 0.07:
            pose.yaw = float(rng.uniform(2.3, 3.9))  # seen from behind
        if design.body.kind == "biped" and rng.random() < 0.04:
            design.body.kind = "none"
        draw_character(canvas, design, pose, (x, y), unit, tag)
        seen = int((canvas.owner == tag).sum())
        areas[tag] = int(seen / max(_inside(x, y, unit, canvas.size), 0.05))
    return areas


def _clutter(canvas: Canvas, rng: np.random.Generator, style: Style, line: float, chance: float) -> None:
    height, width = canvas.size
    canvas.tag = 0
    if rng.random() < chance:
        for _ in range(rng.integers(1, 7)):
            at = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
            size = float(np.exp(rng.uniform(np.log(0.015), np.log(0.14)))) * height
            (clutter.clock if rng.random() < 0.15 else clutter.ball)(canvas, rng, style, at, size, line)


def picture(rng: np.random.Generator, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A random drawn cartoon picture and the boxes of its faces.

    Args:
        rng: the only source of chance; the same state gives the same picture.
        size: (height, width) in pixels, each at least 32.

    Returns:
        uint8 [H, W, 3] RGB and float32 [N, 4] boxes_xyxy in pixels: brow or hairline to chin, cheek
        to cheek, of what is visible inside the picture. Faces hidden by more than 60 % and faces
        seen from behind have none.
    """
    factor = 1.5 if max(size) <= 640 else 1.0
    style = random_style(rng)
    canvas = Canvas((round(size[0] * factor), round(size[1] * factor)))
    line = max(1.0, style.line_width * 0.12 * canvas.size[0]) if style.line_width > 0 else 0.0
    backgrounds.draw_background(canvas, rng, style, line)
    _clutter(canvas, rng, style, line, 0.45)
    areas = _people(canvas, rng, style)
    if rng.random() < 0.3:
        clutter.foreground(canvas, rng, style, line)
    _clutter(canvas, rng, style, line, 0.06)
    boxes = visible_boxes(canvas.owner, areas, _LEAST_VISIBLE)
    if rng.random() < 0.18:
        y = rng.choice([0.12, 0.9]) * canvas.size[0]
        color = (255, 255, 255) if rng.random() < 0.6 else (255, 230, 60)
        clutter.letters(
            canvas,
            rng,
            (rng.uniform(0.05, 0.5) * canvas.size[1], y),
            rng.uniform(0.04, 0.1) * canvas.size[0],
            color,
            int(rng.integers(3, 16)),
        )
    pixels = canvas.pixels
    if factor > 1:
        pixels = np.asarray(cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)
    ratio = np.array([size[1] / canvas.size[1], size[0] / canvas.size[0]] * 2, np.float32)
    found = np.array(list(boxes.values()), np.float32).reshape(-1, 4) * ratio
    keep = np.minimum(found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]) >= _LEAST_SIDE
    return effects.age(pixels, rng), found[keep]
