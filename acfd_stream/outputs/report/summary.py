"""The figures of a video, for its own page and the index of its folder.

The report contains the figures near its beginning, so that the index is made without reading every result again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.outputs.reader import ResultFile, read_results
from acfd_stream.outputs.report.characters import CharacterRow, character_rows
from acfd_stream.outputs.report.gather import LENGTH_EDGES_SECONDS, EpisodeColumns, gather, strip
from acfd_stream.outputs.report.page import read_block
from acfd_stream.outputs.report.text_format import shown_text

_LONGEST_TRACKS = 6
_MOST_CHARACTERS = 100
_HEAD_BYTES = 128 * 1024  # the figures precede everything of variable length
FORMAT = 1


@dataclass(frozen=True)
class LongTrack:
    """A track with a long time on screen."""

    id: int
    begin_seconds: float  # pts of its first frame
    seconds: float  # on screen
    size: float  # pixels


@dataclass(frozen=True)
class CharacterFigures:
    """A character of the video."""

    number: int
    name: str  # "": it has none
    seconds: float  # on screen
    scenes: int
    begin_seconds: float  # pts of its first frame


@dataclass(frozen=True)
class EpisodeSummary:
    """The figures of one result."""

    source: str  # as in the result; bytes that are not text are replacement characters
    display_size: tuple[int, int]  # (height, width)
    frames: int
    duration_seconds: float
    tracks: int
    shots: int
    reused: int  # frames that repeat the previous drawing
    face_seconds: float  # with at least one face on screen
    track_seconds: float  # all tracks together
    most_faces: int  # at once
    strip: tuple[float, ...]  # mean number of faces in equal parts of the time
    length_counts: tuple[int, ...]  # tracks by length, in bins of ``LENGTH_EDGES_SECONDS``
    length_seconds: tuple[float, ...]  # their time on screen
    longest: tuple[LongTrack, ...]  # longest first
    is_complete: bool
    error: str | None
    warnings: tuple[str, ...]
    model: Mapping[str, Any]
    gaps: int = 0  # holes in the video; left out of ``summary_values`` if there are none
    characters: tuple[CharacterFigures, ...] = ()  # longest first; the first of many; left out as ``gaps``

    @property
    def is_broken(self) -> bool:
        """Whether the video broke before its end; gaps alone do not make it so."""
        return not self.is_complete and (self.error is not None or not self.gaps)

    @property
    def face_share(self) -> float:
        """Share of the time with at least one face on screen, 0 … 1."""
        return min(1.0, self.face_seconds / self.duration_seconds) if self.duration_seconds > 0 else 0.0


def summarize(results: ResultFile, columns: EpisodeColumns) -> EpisodeSummary:
    """The figures of ``results``, whose columns are ``columns``."""
    lengths = np.array([track.seconds for track in columns.tracks], np.float64)
    bucket = np.searchsorted(LENGTH_EDGES_SECONDS, lengths, side="right")
    buckets = len(LENGTH_EDGES_SECONDS) + 1
    ranked = sorted(columns.tracks, key=lambda track: (-track.seconds, track.id))[:_LONGEST_TRACKS]
    longest = [
        LongTrack(track.id, _rounded(float(columns.seconds[track.spans[0][0]])), _rounded(track.seconds), track.size)
        for track in ranked
    ]
    return EpisodeSummary(
        source=shown_text(results.header.source),
        display_size=results.header.display_size,
        frames=results.frames,
        duration_seconds=results.duration_seconds,
        tracks=len(columns.tracks),
        shots=len(columns.shots),
        reused=columns.reused,
        face_seconds=_rounded(float(columns.shown_seconds[columns.counts > 0].sum())),
        track_seconds=_rounded(float(lengths.sum())),
        most_faces=int(columns.counts.max(initial=0)),
        strip=tuple(strip(columns)),
        length_counts=tuple(int(count) for count in np.bincount(bucket, minlength=buckets)),
        length_seconds=tuple(_rounded(float(value)) for value in np.bincount(bucket, lengths, buckets)),
        longest=tuple(longest),
        is_complete=results.end.is_complete,
        error=None if results.end.error is None else shown_text(results.end.error),
        warnings=tuple(shown_text(warning) for warning in results.end.warnings),
        model=results.header.model,
        gaps=len(results.end.gaps),
        characters=tuple(_figures(row) for row in character_rows(results.end.characters, columns)[:_MOST_CHARACTERS]),
    )


def summary_values(summary: EpisodeSummary) -> dict[str, Any]:
    """``summary`` ready for ``json.dumps``."""
    values = {"format": FORMAT, **asdict(summary)}
    return {name: value for name, value in values.items() if name not in ("gaps", "characters") or value}


def read_summary(report: Path) -> EpisodeSummary | None:
    """The figures in a report; None if there is no such file, or it is no report."""
    try:
        values = read_block(report, "summary", _HEAD_BYTES)
        return _summary_of(values) if values.pop("format") == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_thumbnail(report: Path, track_id: int) -> str | None:
    """The data URL of a track's picture in a report; None if there is none."""
    try:
        text = report.read_text("utf-8", "replace")
    except OSError:
        return None
    found = re.search(rf'"{track_id}":"(data:image/jpeg;base64,[A-Za-z0-9+/=]+)"', text[text.rfind('"thumbnails":{') :])
    return None if found is None else found[1]


def summary_of_results(path: Path) -> EpisodeSummary:
    """The figures of a JSONL result, read to its end.

    Raises:
        MediaError: the file cannot be read, or is no finished result.
    """
    results = read_results(path)
    return summarize(results, gather(results))


def _summary_of(values: dict[str, Any]) -> EpisodeSummary:
    lists = ("display_size", "strip", "length_counts", "length_seconds", "warnings")
    given = values | {name: tuple(values[name]) for name in lists}
    given["longest"] = tuple(LongTrack(**track) for track in values["longest"])
    given["characters"] = tuple(CharacterFigures(**character) for character in values.get("characters", ()))
    return EpisodeSummary(**given)


def _figures(row: CharacterRow) -> CharacterFigures:
    return CharacterFigures(row.number, row.name, _rounded(row.seconds), row.scenes, _rounded(row.begin_seconds))


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
