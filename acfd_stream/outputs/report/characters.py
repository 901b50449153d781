"""The characters of a result for its page and the index: screen time, scenes, and the picture that shows each best."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acfd_stream.characters import Character
from acfd_stream.errors import MediaError
from acfd_stream.outputs.report.gather import EpisodeColumns, TrackRow
from acfd_stream.outputs.report.page import data_url, read_block
from acfd_stream.outputs.report.text_format import shown_text
from acfd_stream.outputs.thumbnails import ENOUGH_PIXELS

SCENE_GAP_SECONDS = 2.0
"""A scene of a character ends when it is off the screen for this long; the default of ``outputs.scenes``, too."""
MOST_PORTRAITS = 400
"""Characters with less time on screen than so many others have no picture; it bounds the page."""
_HEAD_BYTES = 8 * 2**20  # of a report, in which the pictures precede the results
_PICTURE = "data:image/jpeg;base64,"


@dataclass(frozen=True)
class CharacterRow:
    """One character of a result."""

    number: int  # in this video
    name: str  # for display; "": it has none
    tracks: tuple[int, ...]  # ids, rising
    confidence: float  # in [0, 1]
    seconds: float  # on screen
    scenes: int
    begin_seconds: float  # pts of its first frame


def character_rows(characters: Iterable[Character], columns: EpisodeColumns) -> tuple[CharacterRow, ...]:
    """The characters that are on screen, longest first.

    Those with one name are one row, with the lowest of their numbers: a cast says that they are the same. Two that are
    in one frame stay two.

    Args:
        characters: of the closing line.
        columns: of the same result.
    """
    rows = []
    for character, tracks in _groups(characters, columns):
        stays = sorted(_times(first, last, columns) for track in tracks for first, last in track.spans)
        rows.append(
            CharacterRow(
                character.number,
                shown_text(character.name),
                tuple(sorted(track.id for track in tracks)),
                character.confidence,
                sum(track.seconds for track in tracks),
                _scene_count(stays),
                stays[0][0],
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.seconds, row.number)))


def numbering_key(source: str, characters: Iterable[Character]) -> str:
    """16 hex digits that differ if the numbers of characters mean something else; names do not count.

    Args:
        source: of the result's header, as ``shown_text`` gives it.
        characters: of the closing line.
    """
    numbered = [[each.number, list(each.tracks)] for each in sorted(characters, key=lambda each: each.number)]
    text = json.dumps([source, numbered], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def portraits(
    rows: Sequence[CharacterRow], columns: EpisodeColumns, display_size: tuple[int, int], pictures: Pictures
) -> dict[str, str]:
    """Number of a character → data URL of the picture that shows it best; characters without one are left out.

    Args:
        rows: longest first.
        columns: of the same result.
        display_size: (height, width), pixels.
        pictures: where pictures come from.

    Raises:
        MediaError: the views cannot be read.
    """
    best_views = {} if pictures.views is None else _best_views(pictures.views)
    quality = _track_quality(columns, display_size)
    found: dict[str, str] = {}
    for row in rows[:MOST_PORTRAITS]:
        picture = best_views.get(row.number)
        for id in sorted(row.tracks, key=lambda id: -quality[id]):
            picture = picture or pictures.of_tracks.get(str(id))
        if picture is not None:
            found[str(row.number)] = picture
    return found


@dataclass(frozen=True)
class Pictures:
    """Where pictures of characters come from."""

    of_tracks: Mapping[str, str]  # track ID → data URL
    views: Path | None = None  # views file, whose pictures are preferred


def read_portraits(report: Path) -> dict[str, str]:
    """What ``portraits`` gave to a report; empty if there is no such file, or it has none."""
    try:
        found = read_block(report, "portraits", _HEAD_BYTES)
    except (OSError, ValueError):
        return {}
    pictures = found.items() if isinstance(found, dict) else ()
    return {str(number): url for number, url in pictures if isinstance(url, str) and url.startswith(_PICTURE)}


def _groups(characters: Iterable[Character], columns: EpisodeColumns) -> list[tuple[Character, list[TrackRow]]]:
    """Characters with their tracks, those with one name joined."""
    by_id = {track.id: track for track in columns.tracks}
    groups: list[tuple[Character, list[TrackRow]]] = []
    for character in sorted(characters, key=lambda each: each.number):
        tracks = [by_id[id] for id in character.tracks if id in by_id]
        for place, (other, theirs) in enumerate(groups):
            if character.name and other.name == character.name and not _meet(tracks, theirs, len(columns.seconds)):
                confidence = min(character.confidence, other.confidence)
                groups[place] = (replace(other, confidence=confidence), theirs + tracks)
                break
        else:
            if tracks:
                groups.append((character, tracks))
    return groups


def _meet(one: Iterable[TrackRow], other: Iterable[TrackRow], frames: int) -> bool:
    """Whether tracks of both are in one frame."""
    masks = np.zeros((2, frames), np.bool_)
    for mask, tracks in zip(masks, (one, other), strict=True):
        for first, last in (span for track in tracks for span in track.spans):
            mask[first : last + 1] = True
    return bool((masks[0] & masks[1]).any())


def _times(first: int, last: int, columns: EpisodeColumns) -> tuple[float, float]:
    return float(columns.seconds[first]), float(columns.seconds[last] + columns.shown_seconds[last])


def _scene_count(stays: Sequence[tuple[float, float]]) -> int:
    """The number of scenes; ``stays`` are (begin, end) in seconds, by begin."""
    count, end = 0, -np.inf
    for begin, until in stays:
        count += begin - end >= SCENE_GAP_SECONDS
        end = max(end, until)
    return count


def _track_quality(columns: EpisodeColumns, display_size: tuple[int, int]) -> dict[int, float]:
    """Track ID → how good its best picture is, as ``best_faces`` measures it: score², size, and not cut off."""
    low, high = columns.boxes_xyxy[:, :2].astype(np.float64), columns.boxes_xyxy[:, 2:].astype(np.float64)
    limits = (display_size[1], display_size[0])
    shown = np.maximum(np.minimum(high, limits) - np.maximum(low, 0), 0).prod(axis=1)
    inside = shown / np.maximum((high - low).prod(axis=1), 1e-9)
    side = np.minimum((high - low).min(axis=1), ENOUGH_PIXELS)
    quality = np.where(columns.is_filled, 0.0, columns.scores.astype(np.float64) ** 2 * side * inside)
    best = np.zeros(len(columns.tracks))
    np.maximum.at(best, columns.track, quality)
    return {track.id: float(value) for track, value in zip(columns.tracks, best, strict=True)}


def _best_views(path: Path) -> dict[int, str]:
    """Number of a character → data URL of its view of the highest quality, the earliest of equals."""
    best: dict[int, tuple[float, str]] = {}
    try:
        with path.open("rb") as file:
            if json.loads(file.readline())["type"] != "views":
                raise ValueError("its first line is another")
            for view in map(json.loads, file):
                if "track" not in view:  # the closing line
                    continue
                if view["character"] not in best or view["quality"] > best[view["character"]][0]:
                    best[view["character"]] = (view["quality"], view["crop"])
        return {
            number: data_url("image/jpeg", base64.b64decode(crop, validate=True)) for number, (_, crop) in best.items()
        }
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{path}: is no file of views: {error!r}") from error
