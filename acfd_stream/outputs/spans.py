"""When each track is on screen, as subtitles need it: one span per uninterrupted stay, in order of the starts.

A span ends at the first frame without the track's face. Subtitles must be in order of their start, so an ended span
waits while an older one is still on screen. Times are those of the source in milliseconds; those before 0 are cut off,
because subtitles cannot have them. The text of a span names the character, as far as it was known at its end.
"""

from __future__ import annotations

import heapq
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

from acfd_stream.outputs.jsonl import JsonlLines
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.printable import printable
from acfd_stream.types import Face, FrameResult


class Span(NamedTuple):
    """One stay of a track on screen; spans sort by their start."""

    begin_seconds: Fraction
    track_id: int
    number: int  # of the track's spans, from 1
    first: int  # milliseconds, >= 0
    last: int  # milliseconds, > first
    text: str  # one line


class TrackSpans:
    """Collects the spans of one result, frame by frame."""

    def __init__(self, header: ResultHeader) -> None:
        self.lines = JsonlLines(header)
        """Counts the frames, for the closing line."""
        self._time_base = header.time_base
        self._on_screen: dict[int, Fraction] = {}  # track → start of its span, seconds
        self._texts: dict[int, str] = {}  # of the tracks on screen
        self._numbers: Counter[int] = Counter()  # track → spans so far
        self._ended: list[Span] = []  # a heap

    def push(self, result: FrameResult) -> list[Span]:
        """The spans that no older one can precede any more."""
        self.lines.count(result)
        now = result.pts * self._time_base
        visible = {face.track_id: _text(face) for face in result.faces}
        gone = [track for track in self._on_screen if track not in visible]
        for track in gone:
            self._finish(track, now)
        for track in sorted(visible.keys() - self._on_screen.keys()):
            self._on_screen[track] = now
        self._texts = visible
        return self._ready() if gone else []

    def flush(self, end: ResultEnd) -> list[Span]:
        """The remaining spans, those of tracks that last until the end included."""
        for track in list(self._on_screen):
            self._finish(track, self.lines.end_seconds(end))
        return self._ready()

    def _finish(self, track: int, until_seconds: Fraction) -> None:
        begin, text = self._on_screen.pop(track), self._texts[track]
        if until_seconds <= 0:
            return
        first = max(0, round(begin * 1000))
        last = max(first + 1, round(until_seconds * 1000))
        self._numbers[track] += 1
        heapq.heappush(self._ended, Span(begin, track, self._numbers[track], first, last, text))

    def _ready(self) -> list[Span]:
        """Ended spans up to the oldest that is still on screen."""
        oldest = min(((begin, track) for track, begin in self._on_screen.items()), default=None)
        ready = []
        while self._ended and (oldest is None or self._ended[0][:2] < oldest):
            ready.append(heapq.heappop(self._ended))
        return ready


def _text(face: Face) -> str:
    if face.name:
        return printable(" ".join(face.name.split()))
    return f"character {face.character}" if face.character else f"face {face.track_id}"


def clock(milliseconds: int, decimal_sign: str) -> str:
    """A time of a subtitle, such as ``00:01:02.345``."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal_sign}{milliseconds:03d}"
