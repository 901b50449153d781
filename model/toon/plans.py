"""The plans of the clips, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .acting import Part
from .casting import random_design
from .design import Design
from .palette import Style, random_style
from .scene import Shot

_PLACES = ("hills", "street", "room", "forest")


@dataclass(slots=True)
class Script:
    """A clip before it is drawn."""

    name: str
    hold: int  # frames per drawing of a body: 1 on ones, 2 on twos, 3 on threes
    mouth_hold: int  # frames per drawing of a mouth
    shots: list[Shot]
    styles: list[Style]  # one per shot
    casts: list[list[Design]]  # one per shot; a character keeps its index in the list

    def holds(self, shot: int) -> tuple[int, int]:
        """Frames per drawing of a body and of a mouth in a shot."""
        own = self.shots[shot].hold
        return (own, own) if own else (self.hold, self.mouth_hold)


def clear_design(rng: np.random.Generator, style: Style, kind: str = "human") -> Design:
    """A character with a clear face: two eyes, a mouth, nothing dark in front of them."""
    while True:
        design = random_design(rng, style, kind)
        features = design.features
        design.body.kind = "biped"
        if features.glasses == "dark" or features.beard == "long" or design.hair.hat in ("hood", "helmet"):
            continue
        if design.eyes.count == 1 or design.eyes.width < 0.05 or features.patches or sum(design.skin) < 240:
            continue
        design.eyes.lid = min(design.eyes.lid, 0.2)
        design.hair.hairline = min(design.hair.hairline, -0.15)
        return design


def _style(rng: np.random.Generator) -> Style:
    return random_style(rng, str(rng.choice(["flat", "anime", "soft", "book"], p=[0.4, 0.35, 0.1, 0.15])))


def _cast(rng: np.random.Generator, style: Style, count: int) -> list[Design]:
    kinds = ["human" if index == 0 or rng.random() < 0.75 else "animal" for index in range(count)]
    return [clear_design(rng, style, kind) for kind in kinds]


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 100000))


def _talk(rng: np.random.Generator, seconds: float) -> list[tuple[float, float]]:
    start, spells = float(rng.uniform(0.1, 0.5)), []
    while start < seconds:
        end = start + float(rng.uniform(0.5, 1.4))
        spells.append((start, min(end, seconds)))
        start = end + float(rng.uniform(0.3, 1.2))
    return spells


def close_up(rng: np.random.Generator, who: int, seconds: float, place: str) -> Shot:
    """One character, head and shoulders, talking."""
    x = float(rng.uniform(0.4, 0.6))
    yaw = [
        (0.0, float(rng.uniform(-0.5, 0.5))),
        (seconds * 0.5, float(rng.uniform(-0.3, 0.3))),
        (seconds, float(rng.uniform(-0.5, 0.5))),
    ]
    part = Part(
        who, [(0.0, x), (seconds, x + 0.02)], [(0.0, 0.2), (seconds, 0.23)], y=[(0.0, 0.48)], yaw=yaw,
        talks=_talk(rng, seconds), seed=_number(rng),
    )  # fmt: skip
    return Shot(seconds, place, [part], seed=_number(rng))


def two_shot(rng: np.random.Generator, who: tuple[int, int], seconds: float, place: str) -> Shot:
    """Two characters, waist up, turn to each other and talk in turn."""
    half = seconds / 2
    turns = [
        [(0.0, 0.3), (half * 0.8, 0.8), (half * 1.6, 0.3), (seconds, 0.6)],
        [(0.0, -0.8), (half, -0.4), (seconds, -0.7)],
    ]
    parts = [
        Part(
            who[0], [(0.0, 0.3), (seconds, 0.32)], [(0.0, 0.12)], y=[(0.0, 0.42)], yaw=turns[0], talks=[(0.2, half)],
            mood=[(0.0, 0.5)], seed=_number(rng),
        ),
        Part(
            who[1], [(0.0, 0.7), (seconds, 0.69)], [(0.0, 0.115)], y=[(0.0, 0.46)], yaw=turns[1],
            talks=[(half, seconds)], mood=[(0.0, 0.1), (seconds, 0.7)], arms=[(0.0, 0.3), (half, 0.9), (seconds, 0.4)],
            seed=_number(rng),
        ),
    ]  # fmt: skip
    return Shot(seconds, place, parts, seed=_number(rng))


def crossing(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    """Two walk past each other, one leaves and comes back; others stand behind."""
    t = seconds
    away_and_back = [(0.0, 0.8), (t * 0.05, 0.8), (t * 0.4, 0.02), (t * 0.46, -0.12), (t * 0.72, -0.12)]
    away_and_back += [(t * 0.95, 0.3), (t, 0.3)]
    parts = [
        Part(
            who[0], [(0.0, -0.08), (t * 0.42, 0.62), (t, 0.7)], [(0.0, 0.075)], ground=0.97, talks=[(t * 0.5, t)],
            seed=_number(rng),
        ),
        Part(who[1], away_and_back, [(0.0, 0.066)], ground=0.93, seed=_number(rng)),
    ]  # fmt: skip
    for index, character in enumerate(who[2:4]):
        x = 0.42 + 0.5 * index
        parts.append(Part(character, [(0.0, x)], [(0.0, 0.05)], ground=0.84, talks=_talk(rng, t), seed=_number(rng)))
    return Shot(seconds, place, parts, seed=_number(rng))


def walk_along(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    """Characters walk while the camera follows them."""
    way = 1 if rng.random() < 0.5 else -1
    parts = []
    for index, character in enumerate(who):
        x = 0.32 + 0.36 * index
        parts.append(
            Part(
                character, [(0.0, x), (seconds, x + 0.06)], [(0.0, 0.085 - 0.012 * index)], ground=0.99 - 0.04 * index,
                talks=_talk(rng, seconds), seed=_number(rng),
            )
        )  # fmt: skip
    pan = [(0.0, 0.0 if way > 0 else 0.6), (seconds, 0.6 if way > 0 else 0.0)]
    return Shot(seconds, place, parts, pan=pan, seed=_number(rng))


def _script(name: str, style: Style, cast: list[Design], *shots: Shot, hold: int = 2) -> Script:
    """``shots`` in one style with one cast."""
    return Script(name, hold, hold, list(shots), [style] * len(shots), [cast] * len(shots))


def demo(rng: np.random.Generator) -> Script:
    """Thirteen seconds on twos: a crossing, a talk, a fade, a walk with lightning, a close-up."""
    style = _style(rng)
    cast = _cast(rng, style, 4)
    first = crossing(rng, [0, 1, 2], 4.5, str(rng.choice(["hills", "street"])))
    second = two_shot(rng, (0, 1), 3.0, "room")
    second.after, second.after_seconds = "fade_black", 1.0
    third = walk_along(rng, [2, 3], 3.5, str(rng.choice(["street", "hills", "forest"])))
    third.flashes = [(2.0, 3, "white")]
    last = close_up(rng, 0, 2.0, "room")
    return _script("demo", style, cast, first, second, third, last)


def crowd(rng: np.random.Generator) -> Script:
    """Ten characters wander and pass each other for six seconds."""
    style, seconds = _style(rng), 6.0
    cast = _cast(rng, style, 10)
    parts = []
    for index in range(len(cast)):
        depth = index / len(cast)
        start, end = float(rng.uniform(-0.05, 1.05)), float(rng.uniform(0.0, 1.0))
        stop = float(rng.uniform(0.4, 0.9)) * seconds
        parts.append(
            Part(
                index, [(0.0, start), (stop, end), (seconds, end)], [(0.0, 0.036 + 0.035 * depth)],
                ground=0.78 + 0.2 * depth, talks=_talk(rng, seconds), seed=_number(rng),
            )
        )  # fmt: skip
    shot = Shot(seconds, str(rng.choice(_PLACES)), parts, seed=_number(rng), has_foreground=rng.random() < 0.4)
    return _script("crowd", style, cast, shot)


def _shots(
    rng: np.random.Generator, count: int, low: float, high: float
) -> tuple[list[Shot], list[Style], list[list[Design]]]:
    shots, styles, casts = [], [], []
    for _ in range(count):
        style, seconds = _style(rng), float(rng.uniform(low, high))
        kind, place = rng.integers(3), str(rng.choice(_PLACES))
        shot = (
            close_up(rng, 0, seconds, place)
            if kind == 0
            else two_shot(rng, (0, 1), seconds, place)
            if kind == 1
            else walk_along(rng, [0, 1], seconds, place)
        )
        shots.append(shot)
        styles.append(style)
        casts.append(_cast(rng, style, 2))
    return shots, styles, casts


def cuts(rng: np.random.Generator) -> Script:
    """Ten shots of 0.4 to 1.6 seconds, hard cuts between them."""
    return Script("cuts", 2, 2, *_shots(rng, 10, 0.4, 1.6))


def fades(rng: np.random.Generator) -> Script:
    """Six shots joined by fades through black and white and by dissolves of different lengths."""
    shots, styles, casts = _shots(rng, 6, 1.8, 2.6)
    for shot, kind in zip(shots, ("fade_black", "dissolve", "fade_white", "fade_black", "dissolve"), strict=False):
        shot.after, shot.after_seconds = kind, float(rng.uniform(0.4, 1.4))
    return Script("fades", 2, 2, shots, styles, casts)


def flashes(rng: np.random.Generator) -> Script:
    """Three shots with flashes of one to four frames, white, black and inverted, which start no shot."""
    shots, styles, casts = _shots(rng, 3, 2.4, 3.0)
    for shot in shots:
        shot.flashes = [
            (moment, int(rng.integers(1, 5)), str(kind))
            for moment, kind in zip((0.6, 1.3, 1.9), rng.permutation(["white", "black", "inverted"]), strict=True)
        ]
    return Script("flashes", 2, 2, shots, styles, casts)


def threes(rng: np.random.Generator) -> Script:
    """A crossing and a talk on threes."""
    style = _style(rng)
    cast = _cast(rng, style, 3)
    first, second = crossing(rng, [0, 1, 2], 4.0, "hills"), two_shot(rng, (0, 2), 3.0, "room")
    return _script("threes", style, cast, first, second, hold=3)


def quiet(rng: np.random.Generator) -> Script:
    """Limited animation: two stand still for seconds, only mouths and eyelids move, on twos."""
    style = _style(rng)
    cast = _cast(rng, style, 2)
    shot = two_shot(rng, (0, 1), 6.0, "room")
    for part in shot.parts:
        part.is_still, part.x, part.arms = True, part.x[:1], part.arms[:1]
        part.talks, part.mood = _talk(rng, 6.0), part.mood[:1]
    return _script("quiet", style, cast, shot)


def passing(rng: np.random.Generator) -> Script:
    """Three pairs walk into each other's way, one behind the other, to and fro; one stands behind; on twos."""
    style, seconds = _style(rng), 6.0
    cast = _cast(rng, style, 7)
    parts = []
    for pair in range(3):
        unit = 0.058 + 0.012 * pair
        ground = 0.82 + 0.07 * pair
        for side in range(2):
            left, right = float(rng.uniform(0.06, 0.3)), float(rng.uniform(0.7, 0.94))
            way = [left, right, left] if side == 0 else [right, left, right]
            turn = seconds * float(rng.uniform(0.4, 0.6))
            keys = list(zip((0.0, turn, seconds), way, strict=True))
            size, height = unit * float(rng.uniform(0.95, 1.05)), ground + 0.03 * side
            parts.append(Part(2 * pair + side, keys, [(0.0, size)], ground=height, seed=_number(rng)))
    parts.append(Part(6, [(0.0, 0.5)], [(0.0, 0.05)], ground=0.78, talks=_talk(rng, seconds), seed=_number(rng)))
    return _script("passing", style, cast, Shot(seconds, "street", parts, seed=_number(rng)))


def returns(rng: np.random.Generator) -> Script:
    """Four leave and come back, for a moment or for long, past an edge of the frame or ducking below it; on twos."""
    style, t = _style(rng), 7.0
    cast = _cast(rng, style, 5)
    unit = [(0.0, 0.085)]
    short, long = float(rng.uniform(0.12, 0.3)), float(rng.uniform(0.8, 1.4))  # seconds outside the frame
    parts = [
        Part(
            0,
            [(0.0, 0.2), (1.5, -0.07), (1.5 + short, -0.07), (3.5, 0.3), (5.0, -0.07), (5.0 + long, -0.07), (t, 0.1)],
            unit, seed=_number(rng),
        ),
        Part(
            1, [(0.0, 0.8), (1.8, 1.07), (1.8 + long, 1.07), (4.4, 0.75), (5.8, 1.07), (5.8 + short, 1.07), (t, 0.9)],
            [(0.0, 0.08)], seed=_number(rng),
        ),
    ]  # fmt: skip
    for index, away in enumerate((short, long)):
        begin, x = 1.2 + 1.6 * index, 0.4 + 0.2 * index
        ducks = [(0.0, 0.5), (begin, 0.5), (begin + 0.5, 1.12), (begin + 0.5 + away, 1.12), (begin + 1.0 + away, 0.5)]
        parts.append(Part(2 + index, [(0.0, x)], unit, y=ducks, talks=_talk(rng, t), seed=_number(rng)))
    parts.append(Part(4, [(0.0, 0.5)], [(0.0, 0.05)], ground=0.8, seed=_number(rng)))
    return _script("returns", style, cast, Shot(t, str(rng.choice(_PLACES)), parts, seed=_number(rng)))


def running(rng: np.random.Generator, name: str = "running", hold: int = 2) -> Script:
    """Three run and leap to and fro; on threes, a drawing may be a face further on."""
    style, seconds = _style(rng), 5.0
    cast = _cast(rng, style, 3)
    parts = []
    for index in range(3):
        speed = float(rng.uniform(0.35, 0.7))  # widths per second
        x, way = float(rng.uniform(0.1, 0.9)), float(rng.choice([-1.0, 1.0]))
        moment, keys = 0.0, [(0.0, x)]
        while moment < seconds:  # to the edge and back
            edge = 0.94 if way > 0 else 0.06
            moment += max(0.1, abs(edge - x) / speed)
            keys.append((moment, edge))
            x, way = edge, -way
        level, leap = 0.3 + 0.2 * index, float(rng.uniform(0.03, 0.1))
        leaps = [(0.35 * step, level + (leap if step % 2 else -leap)) for step in range(int(seconds / 0.35) + 2)]
        parts.append(Part(index, keys, [(0.0, 0.06 + 0.01 * index)], y=leaps, seed=_number(rng)))
    shot = Shot(seconds, str(rng.choice(_PLACES)), parts, seed=_number(rng))
    return _script(name, style, cast, shot, hold=hold)


PLANS: dict[str, Callable[[np.random.Generator], Script]] = {  # append only: a plan's index is in its seed
    "crowd": crowd,
    "cuts": cuts,
    "demo": demo,
    "fades": fades,
    "flashes": flashes,
    "quiet": quiet,
    "threes": threes,
    "passing": passing,
    "returns": returns,
    "running": running,
    "running_threes": partial(running, name="running_threes", hold=3),
}
