"""What a training learns from: shows with characters, single faces and drawn characters, drawn in balanced batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.checked import require
from acfd_stream.errors import ConfigError

from .augment import EASY, HARD, view
from .crops import CropSet, Pixels, read_characters, read_single_faces
from .drawn import draw_characters
from .settings import IdentitySchedule


def open_crops(row: dict[str, Any], folder: Path) -> CropSet:
    """The crops of one row of a config's data.

    Kinds: "characters" with ``table``, a CSV file as ``crops.read_characters`` reads it; "single" with ``annotation``,
    ``images`` and ``show``: each face of a COCO file is a character of its own; "drawn" with ``count``, ``views`` and
    ``first``.

    Raises:
        ConfigError: the row or a file cannot be used.
        MediaError: a picture is missing or cannot be read.
    """
    options = {name: value for name, value in row.items() if name not in ("kind", "weight")}
    try:
        if row.get("kind") == "characters":
            return read_characters(folder / options.pop("table"), **options)
        if row.get("kind") == "single":
            return read_single_faces(folder / options.pop("annotation"), folder / options.pop("images"), **options)
        if row.get("kind") == "drawn":
            return draw_characters(**options)
    except (TypeError, KeyError) as error:
        raise ConfigError(f"data of kind {row.get('kind')!r}: {error}") from error
    raise ConfigError(f"kind of data must be characters, single or drawn, got {row.get('kind')!r}")


@dataclass(frozen=True)
class Batch:
    """Views of one iteration."""

    pixels: Pixels  # [B, SIDE, SIDE, 3]
    characters: NDArray[np.int64]  # [B], numbers over all shows
    is_hard: NDArray[np.bool_]  # [B]
    is_noisy: NDArray[np.bool_]  # [B]


class Sampler:
    """Balanced batches: shows by the root of their characters, characters of a show alike, crops of a character alike.

    Args:
        sets: crops of each row of data.
        weights: share of each row.
        schedule: sizes of a batch.
    """

    def __init__(self, sets: Sequence[CropSet], weights: Sequence[float], schedule: IdentitySchedule) -> None:
        require(all(len(crops) for crops in sets), "data", [len(crops) for crops in sets], "rows with crops")
        self._sets, self.schedule = list(sets), schedule
        names = [name for crops in sets for name in zip(crops.shows, crops.characters, strict=True)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.characters = np.array([numbers[name] for name in names])
        self.count = len(numbers)
        self._is_noisy = np.concatenate([crops.is_noisy for crops in sets])
        self._ends = np.cumsum([len(crops) for crops in sets])
        self._members = _places(self.characters)
        shows = {number: show for (show, _), number in numbers.items()}
        row_of = np.searchsorted(self._ends, [own[0] for own in self._members], "right")
        self._casts = [
            np.array(cast) for _, cast in _grouped([(int(row), shows[number]) for number, row in enumerate(row_of)])
        ]
        roots = np.sqrt([len(cast) for cast in self._casts])
        rows = row_of[[cast[0] for cast in self._casts]]
        self._shares = np.array(weights)[rows] * roots / np.bincount(rows, roots, len(sets))[rows]
        self._shares /= self._shares.sum()

    def draw(self, rng: np.random.Generator) -> Batch:
        """A batch of augmented views."""
        schedule = self.schedule
        groups = schedule.batch // (schedule.views * schedule.neighbours)
        chosen: list[int] = []
        for show in rng.choice(len(self._casts), groups, p=self._shares):
            cast = self._casts[show]
            for number in rng.choice(cast, schedule.neighbours, replace=len(cast) < schedule.neighbours):
                own = self._members[number]
                chosen += list(rng.choice(own, schedule.views, replace=len(own) < schedule.views))
        is_hard = rng.random(len(chosen)) < schedule.hard
        kinds = [HARD if hard else EASY for hard in is_hard]
        views = [view(self._pixels(number), kind, rng) for number, kind in zip(chosen, kinds, strict=True)]
        return Batch(np.stack(views), self.characters[chosen], is_hard, self._is_noisy[chosen])

    def crops_of(self, character: int, most: int, rng: np.random.Generator) -> list[Pixels]:
        """Up to ``most`` crops of a character, not augmented."""
        own = self._members[character]
        return [self._pixels(number) for number in rng.permutation(own)[:most]]

    def _pixels(self, number: int) -> Pixels:
        row = int(np.searchsorted(self._ends, number, "right"))
        crops = self._sets[row]
        return crops.pixels[number - int(self._ends[row]) + len(crops)]


def _places(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Where each number from 0 on stands in ``numbers``."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers))[:-1])


def _grouped(keys: Sequence[tuple[int, str]]) -> list[tuple[tuple[int, str], list[int]]]:
    """Each key with the positions where it stands."""
    groups: dict[tuple[int, str], list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return list(groups.items())
