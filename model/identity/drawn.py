"""Drawn characters: each in many poses, clothes, lights and sizes, cut out as a detector's faces are."""

from __future__ import annotations

import copy
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from ..toon import backgrounds, effects, palette
from ..toon.bodies import draw_character
from ..toon.canvas import Canvas
from ..toon.casting import random_design, random_pose
from ..toon.design import Design
from ..toon.palette import Style, random_style
from ..toon.picture import visible_boxes
from .crops import CropSet, Pixels, cut

STYLE_SHARES = 8
"""Characters that share a style, as those of one show do."""
_SIZE = (192, 192)
_TRIES = 8


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
    design = random_design(rng, style)
    crops = []
    while len(crops) < views:
        crops.append(_draw_view(rng, style, _dressed(rng, design)))
    return np.stack(crops)


def _dressed(rng: np.random.Generator, design: Design) -> Design:
    """The character, half of the time in other clothes."""
    design = copy.deepcopy(design)
    if rng.random() < 0.5:
        design.body.top, design.body.bottom = palette.any_color(rng, (0.1, 0.9)), palette.any_color(rng, (0.1, 0.8))
    return design


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
    pixels = effects.age(canvas.pixels, rng)
    return cut(np.ascontiguousarray(pixels), np.array(boxes[1], np.float32))
