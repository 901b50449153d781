"""A character's movement during a shot, as a function of time: position, direction of view, mouth."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .design import Design, Pose

Keys = list[tuple[float, float]]  # (seconds, value), by rising time


def ease(keys: Keys, time: float) -> float:
    """The value at ``time``, eased between keys."""
    if time <= keys[0][0]:
        return keys[0][1]
    for (start, a), (end, b) in pairwise(keys):
        if time < end:
            part = (time - start) / max(end - start, 1e-9)
            return a + (b - a) * part * part * (3 - 2 * part)
    return keys[-1][1]


def glide(keys: Keys, time: float) -> float:
    """The value at ``time``, linear between keys."""
    return float(np.interp(time, [key[0] for key in keys], [key[1] for key in keys]))


@dataclass(slots=True)
class Part:
    """A character's part in one shot. Positions are fractions of the frame; times are seconds into the shot."""

    character: int  # index into the clip's cast
    x: Keys  # of the head's middle, fraction of the width
    unit: Keys  # half head height, fraction of the frame's height
    y: Keys | None = None  # of the head's middle, fraction of the height; None: the feet are on ``ground``
    ground: float = 0.95  # of the feet, fraction of the height
    yaw: Keys | None = None  # direction of view while standing; None: at the camera
    talks: list[tuple[float, float]] = field(default_factory=list)
    mood: Keys = field(default_factory=lambda: [(0.0, 0.3)])
    arms: Keys = field(default_factory=lambda: [(0.0, 0.25)])  # of the arm on the right of the picture
    seed: int = 0  # of blinks, mouth shapes and small movements
    is_still: bool = False  # only mouth and eyes move


def _wave(seed: int, time: float, period: float) -> float:
    """A slow oscillation of about ±1, the same for the same seed."""
    phase = (seed * 2.399) % 6.283
    return float(
        0.6 * np.sin(time * 2 * np.pi / period + phase) + 0.4 * np.sin(time * 2 * np.pi / (period * 0.43) + 2 * phase)
    )


def _blink(seed: int, time: float) -> float:
    cycle = 2.1 + (seed * 0.618) % 1.7
    moment = (time + (seed * 0.377) % cycle) % cycle
    return 1.0 if moment < 0.16 else 0.0


def _mouth(part: Part, time: float) -> float:
    if not any(start <= time < end for start, end in part.talks):
        return 0.0
    shapes = (0.0, 0.35, 0.8, 0.5, 0.15, 1.0, 0.25)
    mixed = (round(time * 1000) * 7919 + part.seed * 104729) % 9973
    return shapes[mixed % len(shapes)]


def pose_at(part: Part, time: float, mouth_time: float, speed: float, distance: float) -> Pose:
    """The pose at a moment.

    Args:
        part: what the character does in this shot.
        time: of the body, seconds into the shot.
        mouth_time: of mouth and eyelids, seconds into the shot; they may move while the body is held.
        speed: over the ground in half head heights per second, positive to the right; for turning and stride.
        distance: walked since the start of the shot, half head heights.
    """
    walking = float(np.clip(abs(speed) / 1.2, 0.0, 1.0))
    look = ease(part.yaw, time) if part.yaw else 0.25 * _wave(part.seed, time, 4.7)
    if walking > 0.3 and part.yaw is None:
        look = float(np.sign(speed)) * 0.75 + 0.1 * _wave(part.seed, time, 1.3)
    talk = _mouth(part, mouth_time)
    is_talking = any(start <= time < end for start, end in part.talks)
    nod = 0.14 * _wave(part.seed + 3, time, 1.1) if is_talking else 0.05 * _wave(part.seed + 3, time, 3.3)
    still = 0.0 if part.is_still else 1.0
    raised = ease(part.arms, time) + (0.35 * max(0.0, _wave(part.seed + 5, time, 1.7)) if is_talking else 0.0) * still
    return Pose(
        yaw=look if not part.is_still else (part.yaw[0][1] if part.yaw else 0.0),
        pitch=nod * still,
        roll=0.06 * _wave(part.seed + 1, time, 2.9) * still,
        blink=_blink(part.seed, mouth_time),
        mouth=talk,
        smile=ease(part.mood, time),
        brow=0.4 * _wave(part.seed + 2, time, 2.3) * still,
        gaze=(float(np.clip(look * 0.7 + 0.2 * _wave(part.seed + 4, time, 3.1) * still, -1, 1)), 0.0),
        step=distance * 1.9,
        stride=walking,
        arms=(0.25, raised),
        elbows=(0.15, 0.2 + 0.5 * max(0.0, raised - 0.3)),
    )


def standing_height(design: Design) -> float:
    """From the middle of the head to the soles, half head heights."""
    body = design.body
    if body.kind == "four" and design.kind == "animal":
        return 0.95 + body.neck + 0.15 + 0.5 + 0.6 + body.leg * 0.5
    return 0.95 + body.neck + 0.15 + body.torso + body.leg
