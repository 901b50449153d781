"""Progress of tracking on stderr, and what is said at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from acfd_stream.cli.exits import print_note, print_path
from acfd_stream.progress import WorkProgress

if TYPE_CHECKING:
    from acfd_stream.types import FrameResult, Gap


class TrackProgress:
    """Counts frames and tracks, and shows them on stderr.

    Args:
        expected_frames: number of frames to come; None: unknown.
        is_quiet: show neither progress nor a summary.
        is_screen_free: False if the results themselves go to the terminal.
    """

    def __init__(self, expected_frames: int | None, *, is_quiet: bool, is_screen_free: bool = True) -> None:
        self.frames = 0
        self.reused = 0  # frames with the faces of the drawing before
        self._detected = 0
        self.tracks = 0  # the highest id so far: ids count from 1 and are never used twice
        self._is_quiet = is_quiet
        self._started = time.perf_counter()
        self._shown = WorkProgress(expected_frames, "frames", "fps", is_shown=is_screen_free and not is_quiet)

    def __enter__(self) -> TrackProgress:
        self._shown.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._shown.__exit__(kind, error, at)

    def advance(self, result: FrameResult) -> None:
        """Count a frame with its final result."""
        self.frames += 1
        self.reused += result.reused
        self._detected += not result.reused and result.verdict.outcome.value in ("ok", "late")
        self.tracks = max([self.tracks, *(face.track_id for face in result.faces)])
        self._shown.update(self.frames, count(self.tracks, "track"))

    def summarize(self, tracks: int, paths: list[str], gaps: Sequence[Gap] = (), note: str = "") -> None:
        """Print counts and speed in one line, the share of repeated frames in another, ``note``, and then each path."""
        if self._is_quiet:
            return
        seconds = max(time.perf_counter() - self._started, 1e-9)
        found = f"{count(tracks, 'track')} in {count(self.frames, 'frame')}"
        if gaps:
            missing = sum(gap.missing_seconds for gap in gaps)
            found += f", {count(len(gaps), 'gap')}" + (f" of {missing:.3f} s in all" if missing > 0 else "")
        print_note(f"{found}; {self.frames / seconds:.1f} fps")
        if self.reused:
            share = f"{self.reused} of {count(self.frames, 'frame')} repeat the drawing before"
            print_note(f"{share} ({self.reused / self.frames:.0%}): detection ran {count(self._detected, 'time')}")
        if note:
            print_note(note)
        for path in paths:
            print_path(path)


def count(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
