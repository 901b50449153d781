"""Scenes of a character: spans of time in which it is on screen, for an editor, as CSV or as an edit decision list.

A character that leaves the screen for less than ``gap_seconds`` stays in its scene, also over a cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from acfd_stream.errors import ConfigError
from acfd_stream.outputs.csv_rows import csv_bytes
from acfd_stream.outputs.face_values import rounded
from acfd_stream.outputs.jsonl import SECONDS_DECIMALS
from acfd_stream.outputs.reader import ResultFile
from acfd_stream.types import FrameResult

COLUMNS = ("character", "name", "scene", "start", "end", "seconds", "first_frame", "last_frame", "first_shot")


@dataclass(frozen=True)
class Scene:
    """One span of time in which a character is on screen."""

    character: int
    name: str
    number: int  # of the character's scenes, from 1
    begin_seconds: Fraction  # presentation time of its first frame
    end_seconds: Fraction  # when its last frame leaves the screen
    first_frame: int
    last_frame: int
    first_shot: int


def scenes_of(results: ResultFile, gap_seconds: float = 2.0, who: str = "") -> list[Scene]:
    """The scenes of characters, by rising number of the character, in order of time.

    Args:
        results: with characters.
        gap_seconds: a shorter absence does not end a scene, >= 0.
        who: name or number of one character; empty: all.

    Raises:
        ConfigError: nobody has this name or number, or the results have no characters.
        MediaError: the results cannot be read.
    """
    if not results.has_characters:
        raise ConfigError(f"{results.path}: has no characters; track it without --no-characters")
    wanted = _wanted(results, who)
    scenes: dict[int, list[Scene]] = {number: [] for number in wanted}
    for begin, end, result in _shown(results):
        for number in {face.character for face in result.faces} & wanted.keys():
            _extend(scenes[number], number, wanted[number], begin, end, result, Fraction(str(gap_seconds)))
    return [scene for number in sorted(scenes) for scene in scenes[number]]


def scenes_csv(scenes: Iterable[Scene]) -> bytes:
    """One row per scene, times in seconds; the first row has the names of the columns."""
    rows: list[tuple[Any, ...]] = [COLUMNS]
    for scene in scenes:
        begin, end = (rounded(float(time), SECONDS_DECIMALS) for time in (scene.begin_seconds, scene.end_seconds))
        seconds = rounded(float(scene.end_seconds - scene.begin_seconds), SECONDS_DECIMALS)
        about = (scene.first_frame, scene.last_frame, scene.first_shot)
        rows.append((scene.character, scene.name, scene.number, begin, end, seconds, *about))
    return csv_bytes(rows)


def _wanted(results: ResultFile, who: str) -> dict[int, str]:
    """Number → name of the characters that ``who`` means."""
    names = {each.number: each.name for each in results.end.characters}
    found = {number: name for number, name in names.items() if who in ("", name, str(number))}
    if who and not found:
        there = ", ".join(name or str(number) for number, name in names.items()) or "nobody"
        raise ConfigError(f"{results.path}: has no character {who!r}; there is {there}")
    return found


def _shown(results: ResultFile) -> Iterator[tuple[Fraction, Fraction, FrameResult]]:
    """Every frame with the times at which it comes and leaves the screen."""
    waiting: FrameResult | None = None
    first: Fraction | None = None
    for result in results:
        now = result.pts * result.time_base
        first = now if first is None else first
        if waiting is not None:
            yield waiting.pts * waiting.time_base, now, waiting
        waiting = result
    if waiting is not None and first is not None:
        yield waiting.pts * waiting.time_base, first + Fraction(str(results.duration_seconds)), waiting


def _extend(
    scenes: list[Scene], number: int, name: str, begin: Fraction, end: Fraction, result: FrameResult, gap: Fraction
) -> None:
    """Make the last scene longer, or begin another one."""
    last = scenes[-1] if scenes else None
    if last is not None and (last.last_frame + 1 == result.index or begin - last.end_seconds < gap):
        about = (last.number, last.begin_seconds, end, last.first_frame, result.index, last.first_shot)
        scenes[-1] = Scene(number, name, *about)
        return
    scenes.append(Scene(number, name, len(scenes) + 1, begin, end, result.index, result.index, result.shot))
