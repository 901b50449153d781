"""Reads a finished JSONL result; every other format is made from it.

``read_results`` reads only both ends of the file. Iteration reads the frames line by line, as often as needed. Writing
them as JSONL again gives the same bytes. Frames have the final characters, also where the file is a stream that was
kept, whose lines say what was known before its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from acfd_stream.errors import MediaError, ShapeError
from acfd_stream.outputs.jsonl import FORMAT_VERSION, ROUNDING_SECONDS, characters_of, frame_of, gaps_of
from acfd_stream.outputs.settle import FinalCharacters
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import FrameResult

if TYPE_CHECKING:
    from acfd_stream.outputs.data_frame import DataFrame

_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True)
class ResultFile:
    """A result with its closing line. Each iteration reads all frames in order."""

    path: Path
    header: ResultHeader  # its frame rate is derived from the duration of the last frame
    end: ResultEnd
    frames: int
    duration_seconds: float

    @property
    def has_characters(self) -> bool:
        """Whether it was tracked with characters; there may be none in it."""
        return bool(self.end.characters) or "characters" in self.header.settings

    def to_pandas(self) -> DataFrame:
        """One row per face and frame, with the columns of the Parquet format.

        Raises:
            BackendUnavailable: pandas is not installed.
            MediaError: the file cannot be read, or a line is invalid.
        """
        from acfd_stream.outputs.data_frame import data_frame

        return data_frame(self, self.header.source, Fraction(str(self.duration_seconds)))

    def __iter__(self) -> Iterator[FrameResult]:
        """The frames.

        Raises:
            MediaError: the file cannot be read, or a line is invalid.
        """
        found, final = 0, FinalCharacters(self.end.characters)
        with _open(self.path) as file:
            file.readline()  # the header
            for number, line in enumerate(file, start=2):
                values = _parsed(self.path, line, f"line {number}")
                if values["type"] == "end":
                    break
                yield final.result(_frame(self.path, values, self.header.time_base, f"line {number}"))
                found += 1
        if found != self.frames:
            raise MediaError(f"{self.path}: has {found} frames where its closing line says {self.frames}; track again")


def read_results(path: str | Path) -> ResultFile:
    """The result at ``path``, with its header and closing line already read.

    Raises:
        MediaError: the file cannot be read, is no JSONL result, or has no closing line.
        ShapeError: ``path`` is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise ShapeError(f"path must be a path, got {type(path).__name__}")
    path = Path(path)
    with _open(path) as file:
        header = _parsed(path, file.readline(), "line 1")
        first = file.readline()
        before, last = _last_two_lines(file)
    if header["type"] != "header" or header.get("version") != FORMAT_VERSION:
        raise MediaError(f"{path}: is not a track result of version {FORMAT_VERSION}")
    end: dict[str, Any] = _parsed(path, last, "the last line") if last.endswith(b"\n") else {}
    if end.get("type") != "end":
        raise MediaError(f"{path}: has no closing line, so the run did not finish; run it again")
    try:
        time_base = Fraction(header["time_base"])
        duration = Fraction(str(end["duration"]))
        shown = Fraction(0)
        if end["frames"]:
            pts = [_parsed(path, line, "a frame line")["pts"] for line in (first, before)]
            shown = (pts[1] - pts[0]) * time_base
        return ResultFile(
            path, _header(header, time_base, duration - shown), _end(end), end["frames"], float(end["duration"])
        )
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise MediaError(f"{path}: its header or closing line is not as written by track: {error!r}") from error


def _header(values: dict[str, Any], time_base: Fraction, last_share: Fraction) -> ResultHeader:
    return ResultHeader(
        source=values["source"],
        display_size=(values["height"], values["width"]),
        time_base=time_base,
        model=values["model"],
        settings=values["settings"],
        frame_rate=1 / last_share if last_share > ROUNDING_SECONDS else None,
        times=values.get("times", ""),
    )


def _end(values: dict[str, Any]) -> ResultEnd:
    warnings = tuple(values.get("warnings", ()))
    return ResultEnd(
        *(values["tracks"], values["complete"], values.get("error"), warnings, gaps_of(values)),
        characters=characters_of(values),
    )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error


def _parsed(path: Path, line: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise MediaError(f"{path}: {where} is not a line of a track result: {error}") from error
    if not isinstance(values, dict) or "type" not in values:
        raise MediaError(f"{path}: {where} is not a line of a track result")
    return values


def _frame(path: Path, values: dict[str, Any], time_base: Fraction, where: str) -> FrameResult:
    try:
        return frame_of(values, time_base)
    except (ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{path}: {where} is not a frame of a track result: {error!r}") from error


def _last_two_lines(file: BinaryIO) -> tuple[bytes, bytes]:
    """The last two lines of ``file`` with their newlines, read backwards."""
    at = file.seek(0, os.SEEK_END)
    tail = b""
    while at > 0 and tail.count(b"\n", 0, -1) < 2:
        step = min(_BLOCK_BYTES, at)
        at = file.seek(at - step)
        tail = file.read(step) + tail
    lines = tail.splitlines(keepends=True)[-2:]
    return (lines[0], lines[1]) if len(lines) == 2 else (b"", tail)
