"""The report of one video: a player with boxes and a lane per track, in one HTML file."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import MediaError
from acfd_stream.outputs.face_values import SCORE_DECIMALS
from acfd_stream.outputs.reader import ResultFile, read_results
from acfd_stream.outputs.report.characters import (
    SCENE_GAP_SECONDS,
    CharacterRow,
    Pictures,
    character_rows,
    numbering_key,
    portraits,
)
from acfd_stream.outputs.report.gather import EpisodeColumns, gather
from acfd_stream.outputs.report.page import data_block, data_url, relative_url, write_page
from acfd_stream.outputs.report.summary import EpisodeSummary, summarize, summary_values
from acfd_stream.outputs.report.text_format import WAITING_STAGES, shown_text

_SCRIPTS = (
    *("episode_data.js", "player.js", "stage.js", "overview.js", "lanes.js", "downloads.js"),
    *("names.js", "characters.js", "gallery.js", "character_view.js", "episode.js"),
)
_STYLES = ("base.css", "episode.css", "characters.css")
_BOX_STEPS = 8  # per pixel, fewer for large pictures: boxes are stored as 16-bit integers
_LARGEST_WHOLE = 2**15 - 1
_PLAYABLE_URL = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class EpisodeSpeed:
    """How fast a video was tracked; not part of its results, which are the same at any speed."""

    seconds: float  # of processing
    frames: int  # processed in this time
    stage_seconds: Mapping[str, float] = field(default_factory=dict)  # stage → mean per frame
    work_p50_seconds: float | None = None  # per frame in all stages but waiting, if measured
    work_p95_seconds: float | None = None

    @property
    def frames_per_second(self) -> float:
        """Frames per second; 0 if nothing was measured."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class ArchiveFiles:
    """Where the files of an archive are, or will be, that a report links to."""

    index: Path
    results: Path  # JSONL
    proxy: Path  # played where a browser does not play the video; there may be none


def write_episode_report(
    jsonl: Path,
    video: str | Path | None,
    target: Path,
    thumbnails: Path | None = None,
    speed: EpisodeSpeed | None = None,
    proxy: Path | None = None,
    *,
    poster: Path | None = None,
    views: Path | None = None,
    final_place: Path | None = None,
    archive: ArchiveFiles | None = None,
) -> EpisodeSummary:
    """Write the report of a finished result; the same arguments give the same bytes.

    Args:
        jsonl: the result.
        video: the tracked video. A file is linked relative to the report, a web URL as in the result without its
            secrets. For None, or a URL that browsers cannot open, the page shows boxes without pictures.
        target: the HTML file, replaced if there is one.
        thumbnails: folder of ``<track id>.jpg`` to embed; missing ones are skipped.
        speed: how fast it was tracked, if known.
        proxy: a small MP4 of the video to embed and play instead of ``video``; its time 0 is the first frame of the
            result.
        poster: a JPEG to embed, which the player shows before the video; skipped if it is missing.
        views: views file of the result, from which pictures of the characters are taken; without it, they come from
            the thumbnails. It is skipped if it is missing.
        final_place: where the page will be, if not at ``target``; its links are relative to that.
        archive: files of the archive that the page belongs to; None: it stands alone.

    Returns:
        The figures of the result.

    Raises:
        MediaError: the result, the views or the proxy cannot be read, or is unfinished.
        OutputError: the page cannot be written.
    """
    results = read_results(jsonl)
    columns = gather(results)
    summary = summarize(results, columns)
    place = final_place or target
    rows = character_rows(results.end.characters, columns)
    pictures = Pictures(_thumbnail_values(thumbnails, columns), views if views is not None and views.exists() else None)
    values = {
        "video": _video_values(video, results, place) if proxy is None else {"url": None, "isInside": True},
        "size": list(summary.display_size),
        "duration": summary.duration_seconds,
        "isWhole": results.header.settings.get("start") is None,
        **_column_values(columns, summary.display_size),
        "shots": list(columns.shots),
        "tracks": _track_values(columns),
        "thumbnails": pictures.of_tracks,
        **_character_values(rows, results, summary.source),
    }
    if archive is not None:
        values["video"]["proxy"] = relative_url(archive.proxy, place)
    write_page(
        target,
        "episode.html",
        _SCRIPTS,
        _STYLES,
        title=_title(summary.source),
        summary=summary,
        summary_block=data_block(summary_values(summary)),
        portraits_block=data_block(portraits(rows, columns, summary.display_size, pictures)) if rows else None,
        characters=len(rows),
        data=data_block(values),
        proxy=None if proxy is None else _inside(proxy),
        poster=None if poster is None else _picture_url(poster),
        links={} if archive is None else _links(archive, place),
        settings=_setting_rows(results.header.settings),
        speed=speed,
        waiting=WAITING_STAGES,
    )
    return summary


def _title(source: str) -> str:
    path = unquote(urlsplit(source).path) if "://" in source else source
    return PurePosixPath(path).name or source


def _video_values(video: str | Path | None, results: ResultFile, target: Path) -> dict[str, Any]:
    """The URL of the video, or the reason why there is none."""
    if video is None:
        return {"url": None, "reason": "This report was made without the video."}
    if isinstance(video, str) and "://" in video:
        if _PLAYABLE_URL.match(video):  # as in the result: without user, password and query
            return {"url": quote(os.fsencode(results.header.source), safe=":/%@!$&'()*+,;=~[]")}
        scheme = shown_text(video.partition(":")[0])
        return {"url": None, "reason": f"The video has a {scheme} address, which browsers cannot open."}
    return {"url": relative_url(video, target)}


def _links(archive: ArchiveFiles, page: Path) -> dict[str, str]:
    """URLs by name. The index knows which pages are before and after this one: what its fragment asks for."""
    index = relative_url(archive.index, page)
    own = quote(relative_url(page, archive.index), safe="")
    return {
        "index": index,
        "before": f"{index}#before={own}",
        "after": f"{index}#after={own}",
        "results": relative_url(archive.results, page),
    }


def _column_values(columns: EpisodeColumns, display_size: tuple[int, int]) -> dict[str, Any]:
    steps = _BOX_STEPS
    while steps > 1 and max(display_size) * steps * 1.5 > _LARGEST_WHOLE:
        steps //= 2
    boxes = np.clip(np.rint(columns.boxes_xyxy * steps), -_LARGEST_WHOLE, _LARGEST_WHOLE)
    return {
        "times": _packed(columns.seconds, "<f8"),
        "firstFace": _packed(columns.first_face, "<u4"),
        "boxSteps": steps,
        "boxes": _packed(boxes, "<i2"),
        "trackOf": _packed(columns.track, "<u4"),
        "isFilled": _packed(columns.is_filled, "u1"),
        "scores": _packed(np.rint(columns.scores * 10**SCORE_DECIMALS), "<u2"),
    }


def _packed(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode("ascii")


def _track_values(columns: EpisodeColumns) -> list[dict[str, Any]]:
    return [
        {
            "id": track.id,
            "spans": [list(span) for span in track.spans],
            "frames": track.frames,
            "filled": track.filled,
            "seconds": round(track.seconds, 3),
            "size": round(track.size, 1),
            "score": round(track.score, 3),
            "bestScore": round(track.best_score, 3),
        }
        for track in columns.tracks
    ]


def _character_values(rows: Sequence[CharacterRow], results: ResultFile, source: str) -> dict[str, Any]:
    if not rows:
        return {}
    return {
        "source": source,
        "numbering": numbering_key(source, results.end.characters),
        "sceneGap": SCENE_GAP_SECONDS,
        "characters": [
            {"number": row.number, "name": row.name, "tracks": row.tracks, "confidence": round(row.confidence, 2)}
            for row in rows
        ],
    }


def _thumbnail_values(folder: Path | None, columns: EpisodeColumns) -> dict[str, str]:
    """Track ID → data URL of its picture."""
    found: dict[str, str] = {}
    for track in columns.tracks if folder is not None else ():
        picture = _picture_url(Path(folder or "", f"{track.id}.jpg"))
        if picture is not None:
            found[str(track.id)] = picture
    return found


def _picture_url(path: Path) -> str | None:
    """The data URL of a JPEG; None if it is missing."""
    try:
        return data_url("image/jpeg", path.read_bytes())
    except OSError:
        return None


def _inside(proxy: Path) -> str:
    try:
        return base64.b64encode(proxy.read_bytes()).decode("ascii")
    except OSError as error:
        raise MediaError(f"{proxy}: cannot be read: {error.strerror}") from error


def _setting_rows(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """(name, value) of every setting with a value; groups become prefixes."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _setting_rows(value, f"{prefix}{name}.")
        elif value is not None and value != []:
            rows.append((f"{prefix}{name}", shown_text(str(value))))
    return rows
