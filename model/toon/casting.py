"""Random characters and poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import palette
from .canvas import Color, scaled
from .design import BLACK, WHITE, Body, Design, Eyes, Features, Hair, Pose
from .palette import Style


def _head(rng: np.random.Generator, style: Style, kind: str) -> NDArray[np.float64]:
    width = rng.uniform(0.72, 1.0)
    if kind == "animal":
        return np.array([0.72, 1.0, 1.02, 0.85, 0.4]) * rng.uniform(0.85, 1.25) * rng.uniform(0.85, 1.12, 5)
    if style.kind == "anime":
        return np.array([0.68, 0.98, 0.94, 0.7, 0.3]) * width * np.array([1, 1, rng.uniform(0.92, 1.05), 1, 1])
    form = rng.choice(["oval", "pear", "box", "wedge", "round", "long"], p=[0.3, 0.15, 0.13, 0.12, 0.2, 0.1])
    table = {
        "oval": (0.66, 0.94, 0.92, 0.7, 0.32),
        "pear": (0.45, 0.72, 0.98, 1.02, 0.6),
        "box": (0.85, 0.98, 0.98, 0.95, 0.7),
        "wedge": (0.8, 1.02, 0.82, 0.52, 0.2),
        "round": (0.72, 1.08, 1.12, 0.9, 0.45),
        "long": (0.5, 0.66, 0.66, 0.55, 0.35),
    }
    return np.asarray(table[str(form)]) * rng.uniform(0.85, 1.08) * rng.uniform(0.94, 1.06, 5)


_ARM_ODDS = (0.3, 0.25, 0.2, 0.13, 0.12)
_EYE_ODDS = {
    "flat": {"ball": 0.45, "dot": 0.2, "oval": 0.2, "lens": 0.12, "anime": 0.03},
    "anime": {"anime": 0.86, "lens": 0.08, "dot": 0.06},
    "rubber": {"pie": 0.6, "oval": 0.2, "ball": 0.2},
    "soft": {"lens": 0.45, "ball": 0.3, "anime": 0.15, "dot": 0.1},
    "line": {"dot": 0.3, "ball": 0.2, "anime": 0.3, "lens": 0.2},
    "book": {"dot": 0.45, "oval": 0.2, "lens": 0.2, "ball": 0.15},
}


def _eyes(rng: np.random.Generator, style: Style, kind: str, head: NDArray[np.float64]) -> Eyes:
    odds = _EYE_ODDS[style.kind]
    form = str(rng.choice(list(odds), p=list(odds.values())))
    iris = palette.any_color(rng, (0.3, 1.0)) if rng.random() < 0.6 else palette.jitter(rng, (80, 50, 35), 15)
    sizes = {
        "ball": (rng.uniform(0.15, 0.36), rng.uniform(0.18, 0.4)),
        "dot": (rng.uniform(0.04, 0.1),) * 2,
        "oval": (rng.uniform(0.07, 0.13), rng.uniform(0.12, 0.26)),
        "anime": (rng.uniform(0.2, 0.3), rng.uniform(0.16, 0.38)),
        "pie": (rng.uniform(0.11, 0.18), rng.uniform(0.2, 0.38)),
        "lens": (rng.uniform(0.15, 0.22), rng.uniform(0.07, 0.15)),
    }
    width, height = sizes[form]
    lon = float(np.clip(rng.uniform(0.36, 0.6), width / max(head[1], 0.5) * 0.92, 0.7))
    y = rng.uniform(-0.2, 0.12) if style.kind != "anime" else rng.uniform(0.05, 0.22)
    sclera = WHITE if rng.random() < 0.88 else palette.any_color(rng, (0.1, 0.5))
    pupil = rng.uniform(0.16, 0.4) if form == "ball" else rng.uniform(0.6, 0.9)
    count = 1 if kind != "human" and rng.random() < 0.04 else 2
    lid = max(0.0, rng.normal(-0.05, 0.2))
    return Eyes(form, lon, y, width, height, iris, pupil, sclera, rng.random() < 0.3, min(lid, 0.5), count)


def _pick(rng: np.random.Generator, odds: dict[str, float]) -> str:
    weights = np.array(list(odds.values()))
    return str(rng.choice(list(odds), p=weights / weights.sum()))


_NOSES = (  # of other styles, of anime
    {"ball": 4, "long": 3, "button": 2, "triangle": 1, "tick": 1.5, "none": 1, "dots": 0.7},
    {"tick": 6, "none": 2, "dots": 1},
)
_MOUTHS = (
    {"line": 4, "wide": 3, "lips": 2, "toothy": 1.2, "tiny": 1},
    {"tiny": 5, "line": 3, "cat": 0.7, "lips": 1},
)


def _features(rng: np.random.Generator, style: Style, eyes: Eyes, skin: Color, hair: Color) -> Features:
    anime = style.kind == "anime"
    nose, mouth = _pick(rng, _NOSES[anime]), _pick(rng, _MOUTHS[anime])
    nose_y = eyes.y + eyes.height * 0.4 + rng.uniform(0.12, 0.3)
    mouth_y = min(max(nose_y + rng.uniform(0.18, 0.36), 0.4), 0.76)
    return Features(
        brow=0.0 if rng.random() < 0.22 else rng.uniform(0.03, 0.05 if anime else 0.13),
        brow_y=rng.uniform(0.06, 0.18),
        brow_color=hair if rng.random() < 0.7 else BLACK,
        nose=nose,
        nose_size=rng.uniform(0.05, 0.1) if anime else rng.uniform(0.1, 0.34),
        nose_y=min(nose_y, 0.5),
        nose_color=skin if rng.random() < 0.75 else palette.jitter(rng, (225, 110, 100), 20),
        mouth=mouth,
        mouth_y=mouth_y,
        mouth_width=rng.uniform(0.1, 0.2) if mouth == "tiny" else rng.uniform(0.22, 0.6),
        lip_color=palette.jitter(rng, (205, 60, 70), 20) if rng.random() < 0.6 else scaled(skin, 0.75),
        ear="none" if rng.random() < 0.12 else ("pointed" if rng.random() < 0.1 else "round"),
        ear_size=rng.uniform(0.12, 0.26),
        beard="none"
        if anime and rng.random() < 0.93
        else _pick(rng, {"none": 14, "full": 1.2, "goatee": 1, "stubble": 1.6, "moustache": 1.6, "long": 0.8}),
        glasses=_pick(rng, {"none": 8, "round": 1, "square": 0.8, "dark": 0.5}),
        blush=rng.uniform(0.3, 0.8) if rng.random() < 0.2 else 0.0,
        freckles=rng.random() < 0.06,
        tear=rng.random() < 0.02,
    )


def _animal(rng: np.random.Generator, features: Features, style: Style) -> None:
    """Turn a human's features into an animal's, in place."""
    species = _pick(
        rng, {"cat": 3, "bear": 2, "dog": 3, "mouse": 2, "rabbit": 1.5, "pig": 1.2, "bird": 1.6, "horns": 1, "frog": 1}
    )
    table = {
        "cat": ("cat", "cat", 0.0, "cat", True),
        "bear": ("dog", "cat", 0.4, "bear", False),
        "dog": ("dog", "cat", 0.5, "floppy", False),
        "mouse": ("dog", "cat", 0.35, "mouse", True),
        "rabbit": ("cat", "cat", 0.32, "rabbit", True),
        "pig": ("snout", "line", 0.0, "cat", False),
        "bird": ("beak", "beak", 0.0, "none", False),
        "horns": ("dog", "line", 0.45, "horns", False),
        "frog": ("dots", "wide", 0.0, "none", False),
    }
    features.nose, features.mouth, muzzle, features.ear, features.whiskers = table[species]
    features.muzzle = muzzle * rng.uniform(0.8, 1.25)
    features.ear_size = rng.uniform(0.3, 0.55)
    features.nose_size = rng.uniform(0.1, 0.2) if features.nose in ("dog", "cat") else rng.uniform(0.25, 0.4)
    features.nose_y, features.mouth_y = rng.uniform(0.15, 0.32), rng.uniform(0.55, 0.7)
    if features.nose == "beak":
        features.nose_color = palette.jitter(rng, (245, 170, 40), 15)
    elif features.nose != "snout":
        features.nose_color = BLACK if rng.random() < 0.7 else palette.jitter(rng, (220, 120, 130), 15)
    features.patches = rng.random() < 0.18
    features.beard = "none"
    features.brow = features.brow if rng.random() < 0.4 else 0.0


_ANIME_HAIRS = {
    "bangs": 4, "spikes": 4, "side": 2, "long": 4, "tails": 2, "pony": 1.5, "short": 1, "bun": 1, "tuft": 0.3,
}  # fmt: skip
_HAIRS = {
    "short": 3, "bangs": 1.5, "spikes": 1.5, "side": 2, "curly": 1.5, "afro": 0.7, "bun": 1, "long": 1.5, "bald": 2,
}  # fmt: skip
_HAIRS |= {"tuft": 1, "none": 1, "tails": 0.7, "pony": 0.7}
_HATS = {"none": 15, "cap": 1.2, "top": 0.8, "beanie": 0.8, "cone": 0.5, "helmet": 0.6, "crown": 0.5, "bow": 1}
_HATS |= {"band": 0.8, "headphones": 0.4, "hood": 0.6}


def _hair(rng: np.random.Generator, style: Style, color: Color, kind: str) -> Hair:
    anime = style.kind == "anime"
    form = _pick(rng, _ANIME_HAIRS if anime else _HAIRS)
    if kind != "human":
        form = _pick(rng, {"none": 6, "tuft": 2, "spikes": 0.5, "curly": 0.3})
    hat = _pick(rng, _HATS)
    length = rng.uniform(1.0, 3.2) if form in ("long", "tails", "pony") else rng.uniform(0.2, 0.9)
    hairline = rng.uniform(-0.35, 0.0) if anime else rng.uniform(-0.62, -0.25)
    volume = rng.uniform(0.1, 0.32) if anime else rng.uniform(0.05, 0.25)
    return Hair(form, color, volume, hairline, length, hat, palette.any_color(rng))


def _body(rng: np.random.Generator, style: Style, kind: str) -> Body:
    small = rng.random() < 0.35  # chibi, child, mascot
    shape = "biped" if kind != "animal" or rng.random() < 0.6 else "four"
    return Body(
        kind=shape,
        neck=rng.uniform(0.05, 0.25 if small else 0.4),
        shoulder=rng.uniform(0.5, 0.9) if small else rng.uniform(0.85, 1.7),
        torso=rng.uniform(1.0, 1.6) if small else rng.uniform(1.8, 3.2),
        hip=rng.uniform(0.4, 0.8) if small else rng.uniform(0.6, 1.5),
        leg=rng.uniform(0.5, 1.2) if small else rng.uniform(1.6, 3.6),
        limb=rng.uniform(0.14, 0.3) if style.kind != "rubber" else rng.uniform(0.1, 0.16),
        top=palette.any_color(rng, (0.1, 0.9)),
        bottom=palette.any_color(rng, (0.1, 0.8)),
        shoe=BLACK if rng.random() < 0.4 else palette.any_color(rng),
        collar=_pick(rng, {"none": 3, "round": 2, "shirt": 2, "tie": 1.2, "scarf": 0.8, "bowtie": 0.5}),
        pattern=_pick(rng, {"none": 8, "stripes": 1, "bars": 0.6, "check": 0.5, "dots": 0.6}),
        skirt=rng.random() < 0.25,
        tail=kind == "animal" and rng.random() < 0.7,
    )


_SKINS = {"human": palette.skin_color, "animal": palette.fur_color, "thing": palette.any_color}
_THINGS = ["box", "fruit", "star", "cloud", "cup", "car", "tree", "slab"]


def random_design(rng: np.random.Generator, style: Style, kind: str | None = None) -> Design:
    """A new character in ``style``; ``kind`` is human, animal or thing, or random if None."""
    kind = kind or _pick(rng, {"human": 0.74, "animal": 0.21, "thing": 0.05})
    skin = _SKINS[kind](rng)
    hair_color = palette.hair_color(rng, 0.55 if style.kind == "anime" else 0.15)
    if kind == "animal" and style.kind == "anime" and rng.random() < 0.5:
        kind = "human"
        skin = palette.skin_color(rng, 0.03)
    head = _head(rng, style, kind)
    eyes = _eyes(rng, style, kind, head)
    features = _features(rng, style, eyes, skin, hair_color)
    light = tuple(int(c + (255 - c) * rng.uniform(0.45, 0.85)) for c in skin)
    hair = _hair(rng, style, hair_color, kind)
    if kind == "animal":
        _animal(rng, features, style)
    elif style.kind == "anime" and rng.random() < 0.06:
        features.ear, features.ear_size = "cat", 0.35
    if kind == "thing":
        eyes.width, eyes.height, eyes.lon = eyes.width * 1.3, eyes.height * 1.3, eyes.lon * 1.15
    thing = str(rng.choice(_THINGS)) if kind == "thing" else "none"
    wobble = rng.uniform(-1, 1, 64)
    return Design(style, kind, head, skin, light, eyes, features, hair, _body(rng, style, kind), thing, wobble)


def random_pose(rng: np.random.Generator, front: float = 0.45) -> Pose:
    """A pose for a still picture; ``front`` is the share of front views."""
    kind = rng.random()
    if kind < front:
        yaw = rng.normal(0, 0.2)
    else:
        limit = 1.0 if kind < front + 0.32 else 1.5
        yaw = rng.choice([-1, 1]) * rng.uniform(0.35, limit)
    blink = 1.0 if rng.random() < 0.12 else max(0.0, rng.normal(-0.2, 0.25))
    mouth = rng.uniform(0.2, 1.0) if rng.random() < 0.4 else 0.0
    roll = rng.normal(0, 0.12) if rng.random() < 0.85 else rng.uniform(-1.0, 1.0) * rng.choice([1.0, 1.0, 1.0, 3.0])
    gaze = (float(np.clip(rng.normal(yaw * 0.5, 0.4), -1, 1)), float(rng.uniform(-0.6, 0.6)))
    angles = [0.15, 0.3, 0.5, 1.2, 2.4]
    arms = tuple(float(rng.choice(angles, p=_ARM_ODDS) + rng.normal(0, spread)) for spread in (0.15, 0.2))
    elbows = (float(rng.uniform(-0.9, 0.6)), float(rng.uniform(-0.9, 0.6)))
    return Pose(
        float(yaw),
        float(rng.normal(0, 0.2)),
        float(roll),
        min(blink, 1.0),
        mouth,
        float(rng.uniform(-0.8, 1.0)),
        float(rng.uniform(-1, 1)),
        gaze,
        float(rng.uniform(0, 6.28)),
        float(rng.random() < 0.4),
        arms,
        elbows,
        rng.random() < 0.1,
    )
