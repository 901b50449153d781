"""The cast of a show: characters that stay the same from episode to episode, and their clothes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import palette
from .casting import random_design
from .design import Design
from .palette import Style
from .plans import clear_design

CAST_SIZE = 12
"""Number of characters of a cast."""
LOOK_ALIKES = (0, 1)
"""The indices of two characters of a cast that differ in a few features only."""

_HAIRS = ("bangs", "spikes", "curly", "long", "tails")  # that differ from every side
_NOSES = ("tick", "button", "long", "triangle", "dots")
_HATS = ("cap", "beanie", "band", "bow")
_COLLARS = ("none", "round", "shirt", "tie", "scarf", "bowtie")
_PATTERNS = ("none", "none", "none", "stripes", "bars", "check", "dots")
_LEAST_DIFFERENCE = 60.0  # of the colours of skin or hair of two characters, RGB distance


def draw_cast(rng: np.random.Generator, style: Style) -> list[Design]:
    """``CAST_SIZE`` characters that a viewer can tell apart, the two of ``LOOK_ALIKES`` by a few features only."""
    first = clear_design(rng, style)
    first.hair.kind, first.hair.hat = str(rng.choice(_HAIRS)), "none"
    cast = [first, look_alike(rng, first)]
    while len(cast) < CAST_SIZE:
        design = clear_design(rng, style, "human" if rng.random() < 0.75 else "animal")
        if all(_differ(design, other) for other in cast):
            cast.append(design)
    return cast


def look_alike(rng: np.random.Generator, design: Design) -> Design:
    """Another character with the same head, colours, eyes and mouth; hair, nose and brows differ."""
    features, hair = design.features, design.hair
    nose = str(rng.choice([nose for nose in _NOSES if nose != features.nose]))
    kind = str(rng.choice([kind for kind in _HAIRS if kind != hair.kind]))
    brow = 0.0 if features.brow > 0 else 0.08
    return replace(design, features=replace(features, nose=nose, brow=brow), hair=replace(hair, kind=kind))


def _differ(one: Design, other: Design) -> bool:
    """Whether two characters differ in kind, in the form of their hair, or clearly in a colour."""
    colors = ((one.skin, other.skin), (one.hair.color, other.hair.color))
    steps = [float(np.linalg.norm(np.subtract(a, b))) for a, b in colors]
    return one.kind != other.kind or max(steps) > _LEAST_DIFFERENCE or one.hair.kind != other.hair.kind


def draw_stranger(rng: np.random.Generator, cast: list[Design]) -> Design:
    """A character who belongs to no cast and looks like nobody of ``cast``."""
    while True:
        design = clear_design(rng, cast[0].style, "human" if rng.random() < 0.75 else "animal")
        if all(_differ(design, other) for other in cast):
            return design


def dressed(rng: np.random.Generator, design: Design, hats: float = 0.1) -> Design:
    """The same character in other clothes; ``hats`` is the chance that who never wears a hat has one."""
    clothes = random_design(rng, design.style, design.kind).body
    body = replace(
        design.body, top=clothes.top, bottom=clothes.bottom, shoe=clothes.shoe, collar=str(rng.choice(_COLLARS)),
        pattern=str(rng.choice(_PATTERNS)),
    )  # fmt: skip
    hair = design.hair
    if hair.hat == "none" and rng.random() < hats:
        hair = replace(hair, hat=str(rng.choice(_HATS)), hat_color=palette.any_color(rng))
    return replace(design, body=body, hair=hair)
