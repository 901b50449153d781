"""Results as JSON lines, streamed: a header, a line a frame, a closing line.

Rounding is part of the format, so that the same input, model and settings give the same bytes: boxes to 2 decimals
of a pixel, scores to 4, seconds to 6. ``pts_filled`` and ``truncated`` stand in a frame line only when true,
``error`` and ``warnings`` in the closing line only when there are any. Text is UTF-8; a byte of a file name
that is not text comes as a lone surrogate escape, as ``os.fsdecode`` gives it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from acfd_stream.errors import OutputError
from acfd_stream.outputs.target import Target
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import Face, FaceState, FrameResult

FORMAT_VERSION = 1
BOX_DECIMALS = 2
SCORE_DECIMALS = 4
SECONDS_DECIMALS = 6


def rounded(value: float, decimals: int) -> float:
    """``value`` rounded to ``decimals``, never minus zero."""
    return round(float(value), decimals) + 0.0


def rounded_box(box_xyxy: tuple[float, float, float, float]) -> list[float]:
    """[x1, y1, x2, y2] as it stands in a result line, pixels."""
    return [rounded(value, BOX_DECIMALS) for value in box_xyxy]


def json_line(values: Mapping[str, Any]) -> bytes:
    """One UTF-8 line with its newline."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    return text.encode("utf-8", "backslashreplace") + b"\n"


class JsonlLines:
    """Results as lines, one after the other; what it remembers between them can be saved and given to another one."""

    def __init__(self, header: ResultHeader, state: Mapping[str, Any] | None = None) -> None:
        """Begin, or go on behind the line after which ``state`` was taken."""
        self._header = header
        self._frames: int = 0 if state is None else state["frames"]
        self._first_pts: int | None = None if state is None else state["first_pts"]
        self._last_pts: int = 0 if state is None else state["last_pts"]

    def state(self) -> dict[str, Any]:
        """What later lines depend on, ready for ``json.dumps``."""
        return {"frames": self._frames, "first_pts": self._first_pts, "last_pts": self._last_pts}

    def header(self) -> bytes:
        """The first line."""
        return json_line(header_values(self._header))

    def frame(self, result: FrameResult) -> bytes:
        """The line of a frame; frames come in order."""
        self.count(result)
        return json_line(_frame_values(result))

    def end(self, end: ResultEnd) -> bytes:
        """The closing line."""
        return json_line(self.end_values(end))

    def count(self, result: FrameResult) -> None:
        """Take a frame into account without its line: other formats say of their end what the closing line says."""
        self._frames += 1
        self._last_pts = result.pts
        if self._first_pts is None:
            self._first_pts = result.pts

    def end_values(self, end: ResultEnd) -> dict[str, Any]:
        """What stands in the closing line."""
        values: dict[str, Any] = {
            "type": "end",
            "frames": self._frames,
            "tracks": end.tracks,
            "duration": self.duration_seconds,
            "complete": end.is_complete,
        }
        if end.error is not None:
            values["error"] = end.error
        if end.warnings:
            values["warnings"] = list(end.warnings)
        return values

    @property
    def duration_seconds(self) -> float:
        """From the first frame to the last, and one frame more where the rate is known."""
        if self._first_pts is None:
            return 0.0
        shown = (self._last_pts - self._first_pts) * self._header.time_base
        return rounded(float(shown + (1 / self._header.frame_rate if self._header.frame_rate else 0)), SECONDS_DECIMALS)

    @property
    def end_seconds(self) -> Fraction:
        """Presentation time at which the last frame leaves the screen, as exact as the closing line is."""
        begin = (self._first_pts or 0) * self._header.time_base
        return begin + Fraction(str(self.duration_seconds))


class JsonlWriter:
    """Writes to the final name as frames come, one whole line at a time.

    Without its closing line a file is unfinished: that is how ``abort``, a kill or a power cut leaves it.
    """

    def __init__(self, place: str | Path | BinaryIO, header: ResultHeader) -> None:
        """Open ``place`` and write the header line.

        Raises:
            OutputError: it cannot be written.
        """
        self._lines = JsonlLines(header)
        self._target = Target(place, is_streamed=True)
        self._target.write(self._lines.header())

    def write(self, result: FrameResult) -> None:
        """Write the frame's line.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._target.is_open:
            raise OutputError(f"cannot write {self._target.name}: it is closed")
        self._target.write(self._lines.frame(result))

    def close(self, end: ResultEnd) -> None:
        """Write the closing line; an input that broke closes with ``"complete": false``.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._target.is_open:
            return
        self._target.write(self._lines.end(end))
        self._target.finish()

    def abort(self, *, is_failure: bool = False) -> None:
        """Stop without the closing line; whole lines stay, under the final name unless ``is_failure``."""
        if is_failure:
            self._target.set_aside()
        else:
            self._target.leave()


def header_values(header: ResultHeader) -> dict[str, Any]:
    """What stands in the header line."""
    height, width = header.display_size
    return {
        "type": "header",
        "version": FORMAT_VERSION,
        "source": header.source,
        "width": width,
        "height": height,
        "time_base": f"{header.time_base.numerator}/{header.time_base.denominator}",
        "model": dict(header.model),
        "settings": dict(header.settings),
    }


def _frame_values(result: FrameResult) -> dict[str, Any]:
    values: dict[str, Any] = {
        "type": "frame",
        "index": result.index,
        "pts": result.pts,
        "time": rounded(result.pts_seconds, SECONDS_DECIMALS),
        "shot": result.shot,
        "reused": result.reused,
        "faces": [_face_values(face) for face in result.faces],
    }
    if result.is_pts_filled:
        values["pts_filled"] = True
    if result.is_truncated:
        values["truncated"] = True
    return values


def _face_values(face: Face) -> dict[str, Any]:
    return {
        "id": face.track_id,
        "box": rounded_box(face.box_xyxy),
        "score": rounded(face.score, SCORE_DECIMALS),
        "state": face.state.value,
    }


def frame_of(values: Mapping[str, Any], time_base: Fraction) -> FrameResult:
    """The frame of a parsed frame line, as exact as the line is; ``time_base`` stands in the header line."""
    return FrameResult(
        index=values["index"],
        pts=values["pts"],
        time_base=time_base,
        pts_seconds=float(values["pts"] * time_base),
        faces=tuple(
            Face(face["id"], tuple(face["box"]), face["score"], FaceState(face["state"])) for face in values["faces"]
        ),
        shot=values["shot"],
        reused=values["reused"],
        is_pts_filled=values.get("pts_filled", False),
        is_truncated=values.get("truncated", False),
    )
