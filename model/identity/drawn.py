"""Drawn characters: each in many poses, clothes, lights and sizes, cut out as a detector's faces are.

Every second one looks like the one before but for hair, nose and brows, so that features count as well as colours.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import numpy as np

from ..toon import backgrounds, effects
from ..toon.bodies import draw_character
from ..toon.canvas import Canvas
from ..toon.casting import random_design, random_pose
from ..toon.characters import dressed, look_alike
from ..toon.design import Design
from ..toon.palette import Style, random_style
from ..toon.picture import visible_boxes
from .crops import CropSet, Pixels, cut

STYLE_SHARES = 8
"""Characters that share a style, as those of one show do."""
_SIZE = (192, 192)
_TRIES = 8
_HATS = 0.3
"""Share of views with a hat, of a character that has none: more than in episodes, since such views are hard."""
_LIT = 0.4
"""Share of views in another light than day's."""


def draw_characters(first: int, count: int, views: int) -> CropSet:
    """``views`` crops each of the characters ``first`` … ``first + count - 1``; a number is always the same character.

    Characters of one style are one show, named "drawn" and its number.
    """
    numbers = range(first, first + count)
    with ProcessPoolExecutor(2) as pool:
        drawn = list(pool.map(draw_one, numbers, [views] * count, chunksize=8))
    shows = tuple(f"drawn{number // STYLE_SHARES}" for number in numbers for _ in range(views))
    names = tuple(f"{number:05}" for number in numbers for _ in range(views))
    return CropSet(np.concatenate(drawn), shows, names, np.zeros(len(names), bool))


def draw_one(number: int, views: int) -> Pixels:
    """Crops uint8 [views, SIDE, SIDE, 3] of the character ``number``."""
    style = random_style(np.random.default_rng([number // STYLE_SHARES, 31]))
    rng = np.random.default_rng([number, 32])
    design = _design(number, style)
    crops = []
    while len(crops) < views:
        crops.append(_draw_view(rng, style, dressed(rng, design, _HATS) if rng.random() < 0.7 else design))
    return np.stack(crops)


def _design(number: int, style: Style) -> Design:
    rng = np.random.default_rng([number, 33])
    if number % 2:
        return look_alike(rng, _design(number - 1, style))
    return random_design(rng, style)


def _draw_view(rng: np.random.Generator, style: Style, design: Design) -> Pixels:
    for _ in range(_TRIES):
        canvas = Canvas(_SIZE)
        line = max(1.0, style.line_width * 0.12 * _SIZE[0]) if style.line_width > 0 else 0.0
        backgrounds.draw_background(canvas, rng, style, line)
        unit = float(np.exp(rng.uniform(np.log(14), np.log(60))))
        centre = tuple(float(value) for value in rng.uniform(0.4, 0.6, 2) * _SIZE[0])
        draw_character(canvas, design, random_pose(rng), (centre[0], centre[1]), unit, 1)
        boxes = visible_boxes(canvas.owner, {1: int((canvas.owner == 1).sum())}, 0.4)
        if boxes:
            break
    else:
        boxes = {1: (48.0, 48.0, 144.0, 144.0)}
    pixels = np.ascontiguousarray(effects.age(canvas.pixels, rng))
    if rng.random() < _LIT:
        pixels = effects.lit(pixels, _light(rng))
    return cut(pixels, np.array(boxes[1], np.float32))


def _light(rng: np.random.Generator) -> tuple[float, float, float]:
    """Gains of red, green and blue: from a night to a glare, from blue to orange."""
    level, warmth = np.exp(rng.uniform(np.log(0.4), np.log(1.25))), rng.uniform(-0.25, 0.25)
    return float(level * (1 + warmth)), float(level), float(level * (1 - warmth))
