"""Results of a job on their way back: lines that were kept become the messages of a stream.

Lines say of characters what was known when they were written. Once a job has ended, its closing line decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from acfd_stream.outputs.jsonl import ROUNDING_SECONDS, characters_of, frame_of, gaps_of
from acfd_stream.outputs.settle import FinalCharacters
from acfd_stream.recording.lines import Lines
from acfd_stream.service.jobs.results import ResultsDamaged
from acfd_stream.v1 import stream_pb2
from acfd_stream.wire.messages import characters_pb, fraction_of, gaps_pb, rational_pb, result_pb

PAGE_BYTES = 64 * 2**10
"""Lines that are read at once; a message of their frames is smaller."""
_BEHIND_ALL = 2**63  # index of no frame


class Replay:
    """The results of one job from a frame on; asked again and again while there may be more.

    Args:
        lines: of the job.
        start: what its readers get first.
        first_index: of the frame.
        is_over: no line will follow; frames have the final characters.
    """

    def __init__(self, lines: Lines, start: stream_pb2.TrackStart, first_index: int, *, is_over: bool = False) -> None:
        self._lines, self._first_index = lines, first_index
        self._time_base = fraction_of(start.info.time_base)
        self._frame_rate = fraction_of(start.info.frame_rate) if start.info.HasField("frame_rate") else None
        self._last_pts = 0
        self._offset = self._offset_of(first_index)
        self._final = self._final_characters() if is_over and start.HasField("character_model") else None
        self.end: stream_pb2.TrackEnd | None = None

    def pages(self) -> Iterator[stream_pb2.FrameResults]:
        """What is there now and was not given yet, in order; behind the last frame ``end`` is set.

        Raises:
            ResultsDamaged: the lines are not those that were written.
            StoreTrouble: they cannot be read now.
        """
        while True:
            begin, lines = self._lines.read(self._offset, PAGE_BYTES)
            if not lines:
                return
            self._offset = begin + len(lines)
            try:
                page = self._page(lines)
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # of lines without digests
                raise ResultsDamaged(f"the results are damaged behind byte {begin}: {error}") from error
            if page.frames:
                yield page

    def _page(self, lines: bytes) -> stream_pb2.FrameResults:
        page = stream_pb2.FrameResults()
        for line in lines.splitlines():
            values = json.loads(line)
            if values["type"] == "end":
                self.end = _end_pb(values, self._last_seconds(values))
                continue
            if values["type"] == "frame":
                self._last_pts = values["pts"]
            if values["type"] == "frame" and values["index"] >= self._first_index:
                result = frame_of(values, self._time_base)
                page.frames.append(result_pb(result if self._final is None else self._final.result(result)))
        return page

    def _final_characters(self) -> FinalCharacters | None:
        """Who is who according to the closing line; None without one."""
        offset = self._offset_of(_BEHIND_ALL)
        while True:
            begin, lines = self._lines.read(offset, PAGE_BYTES)
            if not lines:
                return None
            offset = begin + len(lines)
            values = _values_of(lines.splitlines()[-1])
            if values.get("type") == "end":
                return FinalCharacters(characters_of(values))

    def _last_seconds(self, end: dict[str, Any]) -> Fraction | None:
        """How long the last frame is on screen; None: one frame at the rate."""
        _, header = self._lines.read(0, 1)
        first = json.loads(self._lines.read(len(header), 1)[1])
        shown = (self._last_pts - first.get("pts", 0)) * self._time_base
        last = Fraction(str(end["duration"])) - shown
        is_one_frame = abs(last - (1 / self._frame_rate if self._frame_rate else 0)) <= ROUNDING_SECONDS
        return None if is_one_frame or last <= 0 else last

    def _offset_of(self, index: int) -> int:
        """An offset that is not behind the frame, and not far before it: lines are in order, so halves are tried."""
        low, high = 0, self._lines.size
        while high - low > PAGE_BYTES:
            middle = (low + high) // 2
            begin, line = self._lines.read(middle, 1)
            if _index_of(line, index) < index:
                low = begin
            else:
                high = middle
        return low


def _index_of(line: bytes, default: int) -> int:
    """The index in a line; ``default`` of a line without one, or of one that ``pages`` will find damaged."""
    index = _values_of(line).get("index", default)
    return index if isinstance(index, int) else default


def _values_of(line: bytes) -> dict[str, Any]:
    """The values of a line; none of one that ``pages`` will find damaged."""
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _end_pb(values: dict[str, Any], last_seconds: Fraction | None) -> stream_pb2.TrackEnd:
    return stream_pb2.TrackEnd(
        frame_count=values["frames"],
        track_count=values["tracks"],
        is_complete=values["complete"],
        error=values.get("error", ""),
        warnings=values.get("warnings", []),
        gaps=gaps_pb(gaps_of(values)),
        last_frame=None if last_seconds is None else rational_pb(last_seconds),
        characters=characters_pb(characters_of(values)),
    )
