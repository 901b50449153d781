"""Episodes of a drawn show: one cast over many scenes, in other clothes, light, sizes and poses.

Each scene has one place, one light, and two to four characters, who wear the same clothes in all its shots. The shots
are joined by hard cuts. A stranger appears in one scene only.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from acfd_stream.errors import ConfigError

from .acting import Part
from .characters import CAST_SIZE, LOOK_ALIKES, draw_cast, draw_stranger, dressed
from .clip import Clip
from .design import Design
from .palette import random_style
from .plans import Script, close_up, crossing, two_shot, walk_along
from .scene import Shot

_SHOT_SECONDS = 300 / 61  # mean; 60 cuts in five minutes
_SCENE_SHOTS = 5
_PLACES = ("hills", "street", "room", "forest")
_LIGHTS = {
    "day": (1.0, 1.0, 1.0), "dusk": (1.0, 0.8, 0.62), "night": (0.42, 0.5, 0.75), "dim": (0.62, 0.6, 0.56),
    "bright": (1.18, 1.16, 1.08),
}  # fmt: skip
_LIGHT_ODDS = (0.48, 0.16, 0.14, 0.12, 0.1)
_PROFILE = 1.4  # radians


@dataclass(frozen=True, slots=True)
class _Scene:
    """Who is in a scene, in what clothes, and where."""

    who: list[int]  # indices into ``cast``
    cast: list[Design]
    place: str
    light: tuple[float, float, float]


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 100000))


def _turned_close_up(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    """One character who turns as far as the profile."""
    shot = close_up(rng, who[0], seconds, place)
    side = float(rng.choice([-1.0, 1.0]))
    moment = seconds * float(rng.uniform(0.3, 0.6))
    shot.parts[0].yaw = [(0.0, side * 0.2), (moment, side * _PROFILE), (seconds, side * float(rng.uniform(0.3, 1.2)))]
    return shot


def _over_shoulder(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    """One character seen past another who is near the camera and turns the back to it."""
    side = float(rng.choice([-1.0, 1.0]))
    near = Part(
        who[1], [(0.0, 0.5 - 0.36 * side), (seconds, 0.5 - 0.3 * side)], [(0.0, 0.2)], y=[(0.0, 0.55)],
        yaw=[(0.0, 2.5 * side)], seed=_number(rng),
    )  # fmt: skip
    seen = Part(
        who[0], [(0.0, 0.5 + 0.16 * side), (seconds, 0.5 + 0.08 * side)], [(0.0, 0.12)], y=[(0.0, 0.42)],
        yaw=[(0.0, -0.5 * side), (seconds, -0.2 * side)], talks=[(0.3, seconds * 0.8)], seed=_number(rng),
    )  # fmt: skip
    return Shot(seconds, place, [seen, near], seed=_number(rng))


def _group(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    """Everybody stands far away and talks; the first walks past the others, in front of them."""
    parts = []
    for index, character in enumerate(who):
        x = (index + float(rng.uniform(0.35, 0.65))) / len(who)
        keys = [(0.0, x)] if index else [(0.0, 0.06), (seconds, 0.9)]
        unit = float(rng.uniform(0.034, 0.055)) if index else 0.062
        parts.append(
            Part(
                character, keys, [(0.0, unit)], ground=0.86 if index else 0.96,
                talks=[(0.2 + 0.5 * index, seconds * 0.7)], seed=_number(rng),
            )
        )  # fmt: skip
    return Shot(seconds, place, parts, seed=_number(rng), has_foreground=rng.random() < 0.3)


def _pair(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    return two_shot(rng, (who[0], who[1]), seconds, place)


def _close(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    return close_up(rng, who[0], seconds, place)


def _walk(rng: np.random.Generator, who: list[int], seconds: float, place: str) -> Shot:
    return walk_along(rng, who[:2], seconds, place)


_KINDS = {
    _close: 0.2, _turned_close_up: 0.15, _pair: 0.22, _over_shoulder: 0.1, _walk: 0.12, crossing: 0.11, _group: 0.1,
}  # fmt: skip


def _shot(rng: np.random.Generator, scene: _Scene, first: int, seconds: float) -> Shot:
    """A shot of a scene in which character ``first`` of it is seen best."""
    who = [scene.who[first], *rng.permutation([one for one in scene.who if one != scene.who[first]]).tolist()]
    kinds = list(_KINDS)
    shot = kinds[int(rng.choice(len(kinds), p=list(_KINDS.values())))](rng, who, seconds, scene.place)
    size = float(rng.uniform(0.72, 1.2))
    for part in shot.parts:
        part.unit = [(moment, size * unit) for moment, unit in part.unit]
    shot.light, shot.hold = scene.light, int(rng.choice([2, 2, 3]))
    return shot


def _companies(rng: np.random.Generator, count: int, strangers: int) -> list[list[int]]:
    """The characters of each of ``count`` scenes; everybody comes in turn, and the look-alikes meet once."""
    deck: list[int] = []
    companies = []
    for _ in range(count):
        size = int(rng.choice([2, 3, 4]))
        while len(deck) < size:
            deck += [one for one in rng.permutation(CAST_SIZE).tolist() if one not in deck]
        companies.append(deck[:size])
        del deck[:size]
    companies[count // 2] = [*LOOK_ALIKES, *[one for one in companies[count // 2] if one not in LOOK_ALIKES]][:3]
    for stranger, scene in enumerate(rng.permutation(count)[:strangers].tolist()):
        companies[scene] = [CAST_SIZE + stranger, *companies[scene]]
    return companies


def _scenes(rng: np.random.Generator, cast: list[Design], count: int, strangers: int) -> list[_Scene]:
    everybody = cast + [draw_stranger(rng, cast) for _ in range(strangers)]
    lights = list(_LIGHTS.values())
    return [
        _Scene(
            who, [dressed(rng, design) for design in everybody], str(rng.choice(_PLACES)),
            lights[int(rng.choice(len(lights), p=_LIGHT_ODDS))],
        )
        for who in _companies(rng, count, strangers)
    ]  # fmt: skip


def _script(rng: np.random.Generator, cast: list[Design], seconds: float, strangers: int) -> Script:
    count = max(2, round(seconds / _SHOT_SECONDS))
    lengths = rng.uniform(0.5, 1.5, count)
    lengths *= seconds / lengths.sum()
    scenes = _scenes(rng, cast, max(1, strangers, round(count / _SCENE_SHOTS)), strangers)
    shots, casts = [], []
    for index, length in enumerate(lengths.tolist()):
        number = index * len(scenes) // count
        before = -(-number * count // len(scenes))  # shots before this scene
        scene = scenes[number]
        shots.append(_shot(rng, scene, (index - before) % len(scene.who), length))
        casts.append(scene.cast)
    return Script("episode", 2, 2, shots, [cast[0].style] * count, casts)


def render_episode(
    seed: int = 0, cast_seed: int = 0, minutes: float = 5.0, strangers: int = 0, size: tuple[int, int] = (360, 640)
) -> Clip:
    """A drawn episode with its truth, 24 frames per second on twos and threes, a cut every five seconds on average.

    ``character`` of the truth is 1 … 12 for the cast, the same in every episode of a ``cast_seed``. The strangers are
    13 and more; they are others in each episode.

    Args:
        seed: chooses scenes, clothes, light and strangers.
        cast_seed: chooses the style and the characters of the show.
        minutes: length, 0.1 … 60.
        strangers: number of characters who appear in one scene only, 0 … 20.
        size: (height, width) in pixels, each 64 … 4320.

    Raises:
        ConfigError: an argument is outside its range.
    """
    if not 0.1 <= minutes <= 60:
        raise ConfigError(f"minutes must be in 0.1 … 60, got {minutes!r}")
    if not 0 <= strangers <= 20:
        raise ConfigError(f"strangers must be in 0 … 20, got {strangers!r}")
    if min(seed, cast_seed) < 0:
        raise ConfigError(f"seed and cast_seed must be >= 0, got {seed!r} and {cast_seed!r}")
    if not all(64 <= side <= 4320 for side in size):
        raise ConfigError(f"size must be (height, width), each in 64 … 4320, got {size!r}")
    show = np.random.default_rng((cast_seed, CAST_SIZE))
    cast = draw_cast(show, random_style(show, str(show.choice(["flat", "anime", "soft", "book"]))))
    script = _script(np.random.default_rng((seed, cast_seed, CAST_SIZE)), cast, minutes * 60, strangers)
    return Clip(script, seed, size, Fraction(24))
