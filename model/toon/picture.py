"""One drawn picture with the boxes of its faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2
from . import backgrounds, clutter, effects
from .bodies import draw_character
from .canvas import Canvas
from .casting import random_design, random_pose
from .palette import Brush, Style, random_style

_LEAST_VISIBLE = 0.4  # a face that is less visible has no box
_LEAST_SIDE = 5.0  # pixels; a smaller box is dropped


def visible_boxes(
    owner: NDArray[np.uint8], areas: dict[int, int], least_visible: float
) -> dict[int, tuple[float, ...]]:
    """Bounding boxes (x1, y1, x2, y2 in pixels) of the faces of which at least ``least_visible`` shows.

    Args:
        owner: uint8 [H, W], the face that owns the pixel, 0: none.
        areas: pixels of each face after it was drawn.
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


Position = tuple[float, float, float]
"""x, y and half head height of a character, pixels."""


def _layout(rng: np.random.Generator, size: tuple[int, int]) -> list[Position]:
    """Positions of the characters, the farthest first."""
    height, width = size
    kind = rng.choice(["none", "huge", "close", "pair", "group", "crowd"], p=[0.06, 0.05, 0.24, 0.27, 0.25, 0.13])
    if kind == "none":
        return []
    low, high, count = {
        "huge": (0.42, 0.75, 1),
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
    """Approximate share of a head inside the picture."""
    across = (min(x + unit, size[1]) - max(x - unit, 0)) / (2 * unit)
    down = (min(y + unit, size[0]) - max(y - unit, 0)) / (2 * unit)
    return max(0.0, across) * max(0.0, down)


def _people(
    canvas: Canvas, rng: np.random.Generator, style: Style, places: list[Position] | None = None
) -> dict[int, int]:
    """The area of each drawn face without occlusion, pixels; 0 if the frame cuts off too much."""
    areas: dict[int, int] = {}
    mixed = rng.random() < 0.08
    twin = random_design(rng, style)
    for tag, (x, y, unit) in enumerate(_layout(rng, canvas.size) if places is None else places, start=1):
        own = random_style(rng) if mixed else style
        design = random_design(rng, own) if rng.random() < 0.9 else twin
        pose = random_pose(rng)
        if rng.random() < 0.07:
            pose.yaw = float(rng.uniform(2.3, 3.9))  # seen from behind
        if design.body.kind == "biped" and rng.random() < 0.04:
            design.body.kind = "none"
        draw_character(canvas, design, pose, (x, y), unit, tag)
        seen = int((canvas.owner == tag).sum())
        inside = _inside(x, y, unit, canvas.size)
        areas[tag] = int(seen / max(inside, 0.4)) if inside > 0.2 else 0  # a cut may hide more
    return areas


def _clutter(canvas: Canvas, rng: np.random.Generator, style: Style, line: float, chance: float) -> None:
    height, width = canvas.size
    canvas.tag = 0
    if rng.random() < chance:
        for _ in range(rng.integers(1, 7)):
            at = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
            size = float(np.exp(rng.uniform(np.log(0.015), np.log(0.14)))) * height
            (clutter.clock if rng.random() < 0.15 else clutter.ball)(Brush(canvas, rng, style, line), at, size)


def _overlays(canvas: Canvas, rng: np.random.Generator) -> None:
    """Black bars above and below, and screen text."""
    height, width = canvas.size
    canvas.tag = 0
    if rng.random() < 0.06:
        bar = rng.uniform(0.06, 0.14) * height
        for y0, y1 in ((-9.0, bar), (height - bar, height + 9.0)):
            canvas.fill(np.array([(-9.0, y0), (width + 9.0, y0), (width + 9.0, y1), (-9.0, y1)]), (0, 0, 0))
    if rng.random() < 0.18:
        at = (rng.uniform(0.05, 0.5) * width, rng.choice([0.12, 0.9]) * height)
        color = (255, 255, 255) if rng.random() < 0.6 else (255, 230, 60)
        clutter.letters(canvas, rng, at, rng.uniform(0.04, 0.1) * height, color, int(rng.integers(3, 16)))


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int], style: Style | None = None, places: list[Position] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One scene, without the effects of ``effects``.

    Args:
        rng: the only source of chance.
        size: (height, width), pixels.
        style: random if None.
        places: positions of the characters in pixels of ``size``, the farthest first; random if None.

    Returns:
        uint8 [H, W, 3] RGB and float32 [N, 4] boxes_xyxy of the faces.
    """
    factor = 1.5 if max(size) <= 640 else 1.0  # drawn larger and shrunk: fine lines and small faces stay soft
    style = style or random_style(rng)
    if places is not None:
        places = [(x * factor, y * factor, unit * factor) for x, y, unit in places]
    canvas = Canvas((round(size[0] * factor), round(size[1] * factor)))
    line = max(1.0, style.line_width * 0.12 * canvas.size[0]) if style.line_width > 0 else 0.0
    backgrounds.draw_background(canvas, rng, style, line)
    _clutter(canvas, rng, style, line, 0.45)
    areas = _people(canvas, rng, style, places)
    if rng.random() < 0.3:
        clutter.foreground(Brush(canvas, rng, style, line))
    _clutter(canvas, rng, style, line, 0.06)
    _overlays(canvas, rng)
    boxes = visible_boxes(canvas.owner, areas, _LEAST_VISIBLE)
    pixels = canvas.pixels
    if factor > 1:
        pixels = np.asarray(cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)
    ratio = np.array([size[1] / canvas.size[1], size[0] / canvas.size[0]] * 2, np.float32)
    found = np.array(list(boxes.values()), np.float32).reshape(-1, 4) * ratio
    return pixels, np.minimum(found, np.array([size[1], size[0]] * 2, np.float32))


def _panels(rng: np.random.Generator, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A comic page: two to four scenes with gutters between them."""
    gutter = int(rng.integers(2, 8))
    pixels = np.full((*size, 3), 255 if rng.random() < 0.7 else 0, np.uint8)
    across = int(rng.integers(1, 3))
    down = 2 if across == 1 else int(rng.integers(1, 3))
    height, width = size[0] // down, size[1] // across
    found = []
    for row in range(down):
        for column in range(across):
            scene, boxes = draw_scene(rng, (height - gutter, width - gutter))
            y, x = row * height + gutter // 2, column * width + gutter // 2
            pixels[y : y + height - gutter, x : x + width - gutter] = scene
            found.append(boxes + np.array([x, y, x, y], np.float32))
    return pixels, np.concatenate(found)


def picture(rng: np.random.Generator, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A random drawn cartoon picture and the boxes of its faces.

    Args:
        rng: the only source of chance; the same state gives the same picture.
        size: (height, width) in pixels, each at least 32.

    Returns:
        uint8 [H, W, 3] RGB and float32 [N, 4] boxes_xyxy in pixels: brow or hairline to chin, cheek
        to cheek, of the visible part. Faces hidden by more than 60 % and faces seen from behind
        have none.
    """
    is_page = min(size) >= 160 and rng.random() < 0.05
    pixels, boxes = _panels(rng, size) if is_page else draw_scene(rng, size)
    keep = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= _LEAST_SIDE
    return effects.age(pixels, rng), boxes[keep]
