"""The fixed look of a character (Design) and its posture at a moment (Pose)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .canvas import Color
from .palette import Style

WHITE: Color = (252, 252, 252)
BLACK: Color = (18, 16, 18)


@dataclass(slots=True)
class Eyes:
    """Both eyes; lengths in half head heights, ``lon`` in radians off the middle of the face."""

    kind: str  # ball, dot, oval, anime, pie, lens, slit
    lon: float
    y: float
    width: float  # half width
    height: float  # half height
    iris: Color
    pupil: float  # part of the eye's half width
    sclera: Color = WHITE
    lashes: bool = False
    lid: float = 0.0  # how far the upper lid hangs, [0, 1]
    count: int = 2


@dataclass(slots=True)
class Features:
    """Brows, nose, mouth, ears and glasses."""

    brow: float  # thickness; 0: none
    brow_y: float  # above the eye's top
    brow_color: Color
    nose: str  # none, dots, tick, ball, long, button, triangle, snout, beak, dog, cat
    nose_size: float
    nose_y: float
    nose_color: Color
    mouth: str  # line, lips, wide, tiny, cat, beak, toothy
    mouth_y: float
    mouth_width: float
    lip_color: Color
    ear: str  # none, round, pointed, cat, bear, rabbit, floppy, mouse, horns
    ear_size: float
    beard: str = "none"  # none, full, goatee, stubble, moustache, long
    glasses: str = "none"  # none, round, square, dark
    blush: float = 0.0
    freckles: bool = False
    muzzle: float = 0.0  # half width of the muzzle; 0: none
    patches: bool = False  # round the eyes, like a panda
    whiskers: bool = False
    tear: bool = False


@dataclass(slots=True)
class Hair:
    """Hair and hat."""

    kind: str  # none, bald, short, bangs, spikes, side, curly, afro, bun, long, tails, pony, tuft
    color: Color
    volume: float
    hairline: float  # y of its middle, -1 top … 1 chin
    length: float  # y where the back hair ends
    hat: str = "none"  # none, cap, top, beanie, cone, helmet, crown, bow, band, headphones, hood
    hat_color: Color = WHITE


@dataclass(slots=True)
class Body:
    """From the neck down; lengths in half head heights."""

    kind: str  # biped, four, none
    neck: float
    shoulder: float
    torso: float
    hip: float
    leg: float
    limb: float
    top: Color
    bottom: Color
    shoe: Color
    collar: str  # none, round, shirt, tie, scarf, bowtie
    pattern: str = "none"
    skirt: bool = False
    tail: bool = False


@dataclass(slots=True)
class Design:
    """One character. The same design draws the same character in every pose."""

    style: Style
    kind: str  # human, animal, thing
    head: NDArray[np.float64]  # half widths at brow, skull, cheek, jaw, chin
    skin: Color
    skin_light: Color  # muzzle, belly
    eyes: Eyes
    features: Features
    hair: Hair
    body: Body
    thing: str = "none"
    wobble: NDArray[np.float64] = field(default_factory=lambda: np.zeros(64))  # in [-1, 1]: random details


@dataclass(slots=True)
class Pose:
    """A moment of a character. Angles in radians."""

    yaw: float = 0.0  # positive looks to the right of the picture; beyond ±1.8 the back of the head shows
    pitch: float = 0.0  # positive looks down
    roll: float = 0.0
    blink: float = 0.0  # 1: closed
    mouth: float = 0.0  # 1: wide open
    smile: float = 0.3  # -1 … 1
    brow: float = 0.0  # -1 angry … 1 astonished
    gaze: tuple[float, float] = (0.0, 0.0)
    step: float = 0.0  # phase of the walk
    stride: float = 0.0  # 0 stands, 1 walks
    arms: tuple[float, float] = (0.3, 0.3)  # away from the body at the shoulder, left and right of the picture
    elbows: tuple[float, float] = (0.3, 0.3)
    is_sitting: bool = False
