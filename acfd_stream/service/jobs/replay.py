"""Results of a job on their way back: lines that were kept become the messages of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from acfd_stream.outputs.jsonl import frame_of, gaps_of
from acfd_stream.recording.lines import Lines
from acfd_stream.v1 import stream_pb2
from acfd_stream.wire.messages import fraction_of, gaps_pb, result_pb

PAGE_BYTES = 64 * 2**10
"""Lines that are read at once; a message of their frames is smaller."""


class Replay:
    """The results of one job from a frame on; asked again and again while there may be more."""

    def __init__(self, lines: Lines, start: stream_pb2.TrackStart, first_index: int) -> None:
        self._lines, self._first_index = lines, first_index
        self._time_base = fraction_of(start.info.time_base)
        self._offset = self._offset_of(first_index)
        self.end: stream_pb2.TrackEnd | None = None

    def pages(self) -> Iterator[stream_pb2.FrameResults]:
        """What is there now and was not given yet, in order; behind the last frame ``end`` is set."""
        while True:
            begin, lines = self._lines.read(self._offset, PAGE_BYTES)
            if not lines:
                return
            self._offset = begin + len(lines)
            page = stream_pb2.FrameResults()
            for line in lines.splitlines():
                values = json.loads(line)
                if values["type"] == "end":
                    self.end = _end_pb(values)
                elif values["type"] == "frame" and values["index"] >= self._first_index:
                    page.frames.append(result_pb(frame_of(values, self._time_base)))
            if page.frames:
                yield page

    def _offset_of(self, index: int) -> int:
        """An offset that is not behind the frame, and not far before it: lines are in order, so halves are tried."""
        low, high = 0, self._lines.size
        while high - low > PAGE_BYTES:
            middle = (low + high) // 2
            begin, line = self._lines.read(middle, 1)
            values: dict[str, Any] = json.loads(line) if line else {}
            if values.get("index", index) < index:
                low = begin
            else:
                high = middle
        return low


def _end_pb(values: dict[str, Any]) -> stream_pb2.TrackEnd:
    return stream_pb2.TrackEnd(
        frame_count=values["frames"],
        track_count=values["tracks"],
        is_complete=values["complete"],
        error=values.get("error", ""),
        warnings=values.get("warnings", []),
        gaps=gaps_pb(gaps_of(values)),
    )
