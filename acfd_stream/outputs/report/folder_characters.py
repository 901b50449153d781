"""Who is in which video of a folder: the characters of each row, and their faces as small pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acfd_stream.outputs.report.characters import read_portraits
from acfd_stream.outputs.report.page import data_url
from acfd_stream.outputs.report.summary import CharacterFigures

_SHOWN_UNNAMED = 6  # of a video; every named character is in the page
_MOST_FACES = 600  # pictures in the page
_SIDE = 64  # of a picture, pixels


class Video(NamedTuple):
    """A video of the folder."""

    report: Path | None  # its report page
    characters: Sequence[CharacterFigures]  # longest first


def character_values(videos: Sequence[Video]) -> tuple[list[list[list[Any]]], list[str]]:
    """What the page says about characters.

    A named character has one picture in the whole folder, from the video in which it is longest on screen.

    Returns:
        Per video a list of [number, name, seconds, scenes, picture], those with a name first, and the pictures as data
        URLs.
        ``picture`` is a position in the list of pictures, or -1.
    """
    shown = [_shown(video.characters) for video in videos]
    longest: dict[str, tuple[float, int, int]] = {}  # name → seconds, video, number
    for place, characters in enumerate(shown):
        for each in characters:
            if each.name and each.seconds > longest.get(each.name, (-1.0, 0, 0))[0]:
                longest[each.name] = (each.seconds, place, each.number)

    def pictured(place: int, each: CharacterFigures) -> tuple[int, int]:
        return longest[each.name][1:] if each.name else (place, each.number)

    unnamed = [(place, each.number) for place, characters in enumerate(shown) for each in characters if not each.name]
    wanted = [*(owner[1:] for owner in longest.values()), *unnamed]
    pictures = _small_pictures(videos, wanted[:_MOST_FACES])
    position = {owner: number for number, owner in enumerate(pictures)}
    rows = [
        [[each.number, each.name, each.seconds, each.scenes, position.get(pictured(place, each), -1)] for each in some]
        for place, some in enumerate(shown)
    ]
    return rows, list(pictures.values())


def _shown(characters: Sequence[CharacterFigures]) -> list[CharacterFigures]:
    return [each for each in characters if each.name] + [each for each in characters if not each.name][:_SHOWN_UNNAMED]


def _small_pictures(videos: Sequence[Video], wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """(video, number) → data URL of a small picture, in the order of ``wanted``; those without one are left out."""
    numbers: dict[int, list[int]] = {}
    for place, number in wanted:
        numbers.setdefault(place, []).append(number)
    found: dict[tuple[int, int], str] = {}
    for place, those in numbers.items():
        report = videos[place].report
        portraits = {} if report is None else read_portraits(report)
        for number in those:
            small = _small(portraits[str(number)]) if str(number) in portraits else None
            if small is not None:
                found[place, number] = small
    return found


def _small(url: str) -> str | None:
    """A JPEG as a data URL, no larger than ``_SIDE``; None if it is no JPEG."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])), formats=("JPEG",)) as picture:
            picture.thumbnail((_SIDE, _SIDE))
            data = io.BytesIO()
            picture.convert("RGB").save(data, "jpeg", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return data_url("image/jpeg", data.getvalue())
