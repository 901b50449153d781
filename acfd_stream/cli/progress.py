"""Progress of tracking on stderr: a bar in a terminal, and one line at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from acfd_stream.cli.exits import print_note

if TYPE_CHECKING:
    from rich.progress import Progress

    from acfd_stream.types import FrameResult, Gap


class TrackProgress:
    """Counts frames and tracks, and shows them on stderr.

    Args:
        expected_frames: number of frames to come; None: unknown.
        is_quiet: show neither a bar nor a summary.
        has_bar: False if the results themselves go to the terminal.
    """

    def __init__(self, expected_frames: int | None, *, is_quiet: bool, has_bar: bool = True) -> None:
        self.frames = 0
        self.reused = 0  # frames with the faces of the drawing before
        self._detected = 0
        self.tracks = 0  # the highest id so far: ids count from 1 and are never used twice
        self._is_quiet = is_quiet
        self._started = time.perf_counter()
        self._bar = _bar() if has_bar and not is_quiet and sys.stderr.isatty() else None
        self._expected = expected_frames

    def __enter__(self) -> TrackProgress:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task("track", total=self._expected, tracks=count(0, "track"), fps="–")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, result: FrameResult) -> None:
        """Count a frame with its final result."""
        self.frames += 1
        self.reused += result.reused
        self._detected += not result.reused and result.verdict.outcome.value in ("ok", "late")
        self.tracks = max([self.tracks, *(face.track_id for face in result.faces)])
        if self._bar is not None:
            speed = self._bar.tasks[0].speed
            fps = "–" if speed is None else f"{speed:.1f}"
            tracks = count(self.tracks, "track")
            self._bar.update(self._bar.task_ids[0], completed=self.frames, tracks=tracks, fps=fps)

    def summarize(self, tracks: int, paths: list[str], gaps: Sequence[Gap] = ()) -> None:
        """Print the counts and the speed in one line, and the share of repeated frames in another."""
        if self._is_quiet:
            return
        seconds = max(time.perf_counter() - self._started, 1e-9)
        found = f"{count(tracks, 'track')} in {count(self.frames, 'frame')}"
        if gaps:
            missing = sum(gap.missing_seconds for gap in gaps)
            found += f", {count(len(gaps), 'gap')}" + (f" of {missing:.3f} s in all" if missing > 0 else "")
        print_note(f"{found} → {', '.join(paths)}; {self.frames / seconds:.1f} fps")
        if self.reused:
            share = f"{self.reused} of {count(self.frames, 'frame')} repeat the drawing before"
            print_note(f"{share} ({self.reused / self.frames:.0%}): detection ran {count(self._detected, 'time')}")


def count(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _bar() -> Progress:
    from rich.console import Console, ConsoleDimensions
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    class Terminal(Console):
        """Leaves columns free for the ``^C`` of a terminal: a line that wraps cannot be erased."""

        @property  # type: ignore[misc]  # no code sets it
        def size(self) -> ConsoleDimensions:
            width, height = super().size
            return ConsoleDimensions(max(width - len("^C"), 1), height)

    return Progress(
        BarColumn(bar_width=None),
        TaskProgressColumn(show_speed=False),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[fps]} fps", justify="right"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[tracks]}"),
        console=Terminal(stderr=True),
        expand=True,
        transient=True,
    )
