"""The index page of a folder of videos: what is done, what failed and why, and how long faces are on screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.outputs.report.folder_characters import Video, character_values
from acfd_stream.outputs.report.gather import LENGTH_EDGES_SECONDS
from acfd_stream.outputs.report.page import data_block, data_url, relative_url, write_page
from acfd_stream.outputs.report.summary import (
    EpisodeSummary,
    LongTrack,
    read_summary,
    read_thumbnail,
    summary_of_results,
)
from acfd_stream.outputs.report.text_format import WAITING_STAGES, shown_text

STATES = ("done", "broken", "failing", "running", "waiting")
_SCRIPTS = ("folder_characters.js", "folder.js")
_STYLES = ("base.css", "folder.css", "folder_characters.css")
_SHOWN_BARS = 10
_SHOWN_TRACKS = 8
_STRIP_STEPS = 8  # per face
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class EpisodeRow:
    """One video of the folder."""

    name: str  # a relative path
    state: str  # one of ``STATES``
    results: Path | None = None  # its JSONL
    report: Path | None = None  # its report page
    thumbnails: Path | None = None  # folder of ``<track id>.jpg``
    poster: Path | None = None  # JPEG, to which the page links
    error: str = ""  # why it failed
    warnings: tuple[str, ...] = ()
    attempts: int = 0
    seconds: float = 0.0  # of processing ``frames``
    frames: int = 0
    stage_seconds: Mapping[str, float] = field(default_factory=dict)  # stage → total seconds for these frames

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ConfigError(f"state must be one of {', '.join(STATES)}, got {self.state!r}")


@dataclass(frozen=True)
class _Known:
    """A row with its figures, None if they cannot be read."""

    row: EpisodeRow
    summary: EpisodeSummary | None
    url: str | None  # of its report
    poster_url: str | None


def write_index(
    out: Path, rows: Sequence[EpisodeRow], target: Path | None = None, final_place: Path | None = None
) -> Path:
    """Write the page of the folder ``out``.

    Figures come from the rows' reports, or from their results if there is no report.

    Args:
        out: the folder; its name is the page's title.
        rows: its videos, in the order of the page.
        target: the HTML file, replaced if there is one; ``out/index.html`` by default.
        final_place: where the page will be, if not at ``target``; its links are relative to that.

    Returns:
        The path of the page.

    Raises:
        OutputError: it cannot be written.
    """
    target = out / "index.html" if target is None else target
    known = [_look_up(row, final_place or target) for row in rows]
    characters, faces = character_values([_video(each) for each in known])
    values_of_rows = [_row_values(each, some) for each, some in zip(known, characters, strict=True)]
    done = [each for each in known if each.row.state == "done" and each.summary is not None]
    write_page(
        target,
        "folder.html",
        _SCRIPTS,
        _STYLES,
        title=shown_text(out.resolve().name or str(out)),
        counts={state: sum(each.row.state == state for each in known) for state in STATES},
        failures=[_failure(each) for each in known if each.row.state in ("broken", "failing")],
        totals=_totals([each.summary for each in done if each.summary is not None], rows),
        bars=_bars(done),
        lengths=_lengths([each.summary for each in done if each.summary is not None]),
        longest=_longest(done),
        stages=_stages(rows),
        has_characters=any(values.get("x") for values in values_of_rows),
        data=data_block({"rows": values_of_rows, "faces": faces}),
    )
    return target


def _look_up(row: EpisodeRow, target: Path) -> _Known:
    has_report = row.report is not None and row.report.is_file()
    summary = read_summary(row.report) if has_report and row.report is not None else None
    if summary is None and row.results is not None:
        try:
            summary = summary_of_results(row.results)
        except MediaError:
            summary = None
    url = relative_url(row.report, target) if has_report and row.report is not None else None
    return _Known(row, summary, url, None if row.poster is None else relative_url(row.poster, target))


def _failure(known: _Known) -> dict[str, Any]:
    """An entry of the list of videos that failed."""
    kept = known.summary.duration_seconds if known.summary is not None else 0.0
    return {
        "name": shown_text(known.row.name),
        "state": known.row.state,
        "error": _reason(known.row) or "unknown reason",
        "attempts": known.row.attempts,
        "kept": kept,
    }


def _reason(row: EpisodeRow) -> str:
    """Why a video failed, without its name, which the page shows next to it."""
    before, name, rest = row.error.partition(f"{row.name}: ")
    return shown_text(rest if name and (not before or before.endswith("/")) else row.error)


def _totals(summaries: Sequence[EpisodeSummary], rows: Sequence[EpisodeRow]) -> dict[str, float]:
    seconds, frames = sum(row.seconds for row in rows), sum(row.frames for row in rows)
    duration, all_frames = sum(each.duration_seconds for each in summaries), sum(each.frames for each in summaries)
    faces = sum(each.face_seconds for each in summaries)
    speed = frames / seconds if seconds > 0 else 0.0
    return {
        "duration": duration,
        "face_seconds": faces,
        "face_share": min(1.0, faces / duration) if duration else 0.0,
        "tracks": sum(each.tracks for each in summaries),
        "shots": sum(each.shots for each in summaries),
        "reused_share": sum(each.reused for each in summaries) / all_frames if all_frames else 0.0,
        "work_seconds": seconds,
        "frames_per_second": speed,
        "real_time_factor": speed * duration / all_frames if all_frames else 0.0,
    }


def _bars(done: Iterable[_Known]) -> list[dict[str, Any]]:
    """The videos with the most time with faces, with shares of the longest video."""
    known = [(each.row.name, each.url, each.summary) for each in done if each.summary is not None]
    most = sorted(known, key=lambda each: (-each[2].face_seconds, each[0]))[:_SHOWN_BARS]
    longest = max((summary.duration_seconds for _, _, summary in most), default=0.0) or 1.0
    return [
        {
            "name": shown_text(name),
            "url": url,
            "seconds": summary.face_seconds,
            "share": summary.face_seconds / longest,
            "all": summary.duration_seconds / longest,
        }
        for name, url, summary in most
    ]


def _lengths(summaries: Sequence[EpisodeSummary]) -> list[dict[str, Any]]:
    """Time on screen of all tracks by their length."""
    edges = [f"{edge:g}" for edge in LENGTH_EDGES_SECONDS]
    names = [f"under {edges[0]} s", *(f"{low}–{high} s" for low, high in pairwise(edges))]
    names.append(f"{edges[-1]} s and more")
    counts = [sum(each.length_counts[place] for each in summaries) for place in range(len(names))]
    seconds = [sum(each.length_seconds[place] for each in summaries) for place in range(len(names))]
    most = max(seconds) or 1.0
    return [
        {"name": name, "count": counts[place], "seconds": seconds[place], "share": seconds[place] / most}
        for place, name in enumerate(names)
    ]


def _longest(done: Iterable[_Known]) -> list[dict[str, Any]]:
    """The tracks of the folder that are longest on screen, each with its picture and link."""
    every = [(each, track) for each in done if each.summary is not None for track in each.summary.longest]
    every.sort(key=lambda pair: (-pair[1].seconds, pair[0].row.name, pair[1].id))
    shown = every[:_SHOWN_TRACKS]
    most = shown[0][1].seconds if shown and shown[0][1].seconds > 0 else 1.0
    return [
        {
            "name": shown_text(each.row.name),
            "id": track.id,
            "url": None if each.url is None else f"{each.url}#track={track.id}",
            "seconds": track.seconds,
            "share": track.seconds / most,
            "picture": _picture(each.row, track),
        }
        for each, track in shown
    ]


def _picture(row: EpisodeRow, track: LongTrack) -> str | None:
    """The picture of a track: from its folder, else from the report, which contains those of all tracks."""
    if row.thumbnails is not None and (row.thumbnails / f"{track.id}.jpg").is_file():
        return data_url("image/jpeg", (row.thumbnails / f"{track.id}.jpg").read_bytes())
    return None if row.report is None else read_thumbnail(row.report, track.id)


def _stages(rows: Sequence[EpisodeRow]) -> list[dict[str, Any]]:
    """Mean time per frame by stage, in the order of the pipeline."""
    seconds: dict[str, float] = {}
    frames = 0
    for row in rows:
        if row.stage_seconds and row.frames:
            frames += row.frames
            for stage in (each for each in row.stage_seconds if each not in WAITING_STAGES):
                seconds[stage] = seconds.get(stage, 0.0) + row.stage_seconds[stage]
    most = max(seconds.values(), default=0.0) or 1.0
    return [{"name": stage, "seconds": spent / frames, "share": spent / most} for stage, spent in seconds.items()]


def _video(known: _Known) -> Video:
    characters = () if known.summary is None or known.row.state != "done" else known.summary.characters
    return Video(None if known.url is None else known.row.report, characters)


def _row_values(known: _Known, characters: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """One row of the table, with short keys because there may be ten thousand rows."""
    row, summary = known.row, known.summary
    values: dict[str, Any] = {"n": shown_text(row.name), "s": row.state}
    if known.url is not None:
        values["u"] = known.url
    if known.poster_url is not None:
        values["i"] = known.poster_url
    if row.seconds > 0 and row.frames:
        values["v"] = round(row.frames / row.seconds, 1)
    if row.error:
        values["e"] = _reason(row)
    if characters:
        values |= {"x": characters, "h": len(summary.characters) if summary is not None else 0}
    if summary is not None:
        values |= {
            "d": round(summary.duration_seconds, 2),
            "f": round(summary.face_seconds, 2),
            "t": summary.tracks,
            "c": summary.shots,
            "m": summary.most_faces,
            "p": "".join(_DIGITS[min(len(_DIGITS) - 1, round(value * _STRIP_STEPS))] for value in summary.strip),
        }
        if summary.warnings:
            values["w"] = " ".join(summary.warnings)
    return values
