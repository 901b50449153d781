"""Results as WebVTT: one cue per time span of a track on screen, so that any player shows which tracks are visible.

A span ends at the first frame without the track's face; a track that returns after a gap gets another cue. WebVTT
requires cues in order of their start, so an ended cue waits while an older one is still on screen. Times are those of
the source in milliseconds. Times before 0 are cut off, because WebVTT does not allow them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from acfd_stream.outputs.jsonl import JsonlLines
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import FrameResult


class VttEncoder:
    """An ``Encoder`` of WebVTT. The header line and the closing line become notes."""

    def __init__(self, header: ResultHeader) -> None:
        self._time_base = header.time_base
        self._lines = JsonlLines(header)
        self._on_screen: dict[int, Fraction] = {}  # track → start of its span, seconds
        self._spans: Counter[int] = Counter()  # track → spans so far
        self._ended: list[tuple[Fraction, int, bytes]] = []  # begin, track, cue; a heap

    def header(self) -> bytes:
        """The format's name, and the header line."""
        return b"WEBVTT\n\n" + _note(self._lines.header())

    def frame(self, result: FrameResult) -> bytes:
        """The cues that no older cue can precede any more."""
        self._lines.count(result)
        now = result.pts * self._time_base
        visible = {face.track_id for face in result.faces}
        gone = [track for track in self._on_screen if track not in visible]
        for track in gone:
            self._finish(track, now)
        for track in sorted(visible - self._on_screen.keys()):
            self._on_screen[track] = now
        return self._ready_cues() if gone else b""

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """The cues of tracks that last until the end, and the closing line."""
        for track in list(self._on_screen):
            self._finish(track, self._lines.end_seconds(end))
        yield self._ready_cues()
        yield _note(self._lines.end(end))

    def _finish(self, track: int, until_seconds: Fraction) -> None:
        begin = self._on_screen.pop(track)
        first = max(0, round(begin * 1000))
        last = max(first + 1, round(until_seconds * 1000))
        if until_seconds <= 0:
            return
        self._spans[track] += 1
        cue = f"{track}.{self._spans[track]}\n{_clock(first)} --> {_clock(last)}\nface {track}\n\n"
        heapq.heappush(self._ended, (begin, track, cue.encode("ascii")))

    def _ready_cues(self) -> bytes:
        """Ended cues up to the oldest that is still on screen."""
        oldest = min(((begin, track) for track, begin in self._on_screen.items()), default=None)
        cues = []
        while self._ended and (oldest is None or self._ended[0][:2] < oldest):
            cues.append(heapq.heappop(self._ended)[2])
        return b"".join(cues)


def _clock(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"


def _note(line: bytes) -> bytes:
    """A line of JSON as a comment block, which must not contain an arrow."""
    return b"NOTE\n" + line.replace(b">", b"\\u003e") + b"\n"
