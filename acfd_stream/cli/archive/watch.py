"""Progress of a run: a table in a terminal, or JSON lines for a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.exits import print_error
from acfd_stream.cli.names import Name
from acfd_stream.cli.progress import count
from acfd_stream.printable import printable
from acfd_stream.progress import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from acfd_stream.archive.run_progress import RunObserver, RunSnapshot

_LOG_SECONDS = 10.0  # between two progress lines
_SHOWN_AT_WORK = 16
_SHOWN_FAILURES = 3
_BAR = 16  # characters
PAUSE_EVENTS = ("paused", "resumed")


@contextmanager
def open_observer(is_log_json: bool, is_quiet: bool) -> Iterator[RunObserver]:
    """The observer of a run: a table on stderr if that is a terminal, else JSON lines on stdout; quiet: pauses only."""
    if is_quiet and not is_log_json:
        yield QuietObserver()
    elif is_log_json or not sys.stderr.isatty():
        yield LogObserver()
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
            yield TableObserver(live)


class QuietObserver:
    """One line on stderr while a run waits; nothing else."""

    def show(self, snapshot: RunSnapshot) -> None:
        """Show nothing."""

    def note(self, event: str, **about: Any) -> None:
        """Print why the run waits, and when it goes on."""
        if event in PAUSE_EVENTS:
            print_error(pause_line(event, **about))


class LogObserver:
    """JSON lines on stdout: every event, and the progress every ten seconds."""

    def __init__(self) -> None:
        self._shown_at = time.monotonic()

    def show(self, snapshot: RunSnapshot) -> None:
        """Write the progress, unless a line was written within ten seconds."""
        if time.monotonic() - self._shown_at >= _LOG_SECONDS:
            self._shown_at = time.monotonic()
            self.note("progress", **snapshot_values(snapshot))

    def note(self, event: str, **about: Any) -> None:
        """Write an event."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **about})
        print(line, flush=True)


class TableObserver:
    """A table in a terminal; ``live`` is Rich's display."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, snapshot: RunSnapshot) -> None:
        """Draw the table anew."""
        self._live.update(table(snapshot), refresh=True)

    def note(self, event: str, **about: Any) -> None:
        """Print retries and pauses above the table."""
        if event in ("retry", "lost"):
            self._print(f"{about['name']}: {about['reason']}; it will be retried")
        elif event in PAUSE_EVENTS:
            self._print(pause_line(event, **about))

    def _print(self, line: str) -> None:
        from rich.markup import escape

        self._live.console.print(escape(printable(line)), style="yellow")


def table(snapshot: RunSnapshot) -> RenderableType:
    """The run as a table: a row for all videos, a row per active video, and the last failures."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    rows = Table.grid(padding=(0, 2))
    rows.add_column()  # names are shortened first
    rows.add_column(no_wrap=True)
    for _ in range(3):
        rows.add_column(justify="right", no_wrap=True)
    rows.add_row(
        Text("all", style="bold"),
        ProgressBar(total=max(snapshot.total, 1), completed=snapshot.settled, width=_BAR),
        f"{snapshot.settled} / {snapshot.total}",
        _speed(snapshot.frames_per_second),
        f"{_factor(snapshot)}{_left(snapshot.seconds_left)}",
    )
    for work in snapshot.at_work[:_SHOWN_AT_WORK]:
        progress = work.progress
        total = None if progress is None else progress.expected_frames
        frames = 0 if progress is None else progress.frames
        fps = None if progress is None or not progress.seconds else progress.new_frames / progress.seconds
        rows.add_row(
            Name(printable(work.name)),
            ProgressBar(total=max(total or 1, 1), completed=min(frames, total or 0), width=_BAR),
            f"{frames} / {total or '?'}",
            _speed(fps),
            "" if progress is None else f"{count(progress.tracks, 'track')}, {progress.stage.value}",
        )
    lines: list[RenderableType] = [rows, Text(_states(snapshot), style="dim")]
    if snapshot.pause:
        lines.append(Text(printable(f"waits: {snapshot.pause}"), style="yellow", no_wrap=True, overflow="ellipsis"))
    failures = Table.grid(padding=(0, 1))
    for name, reason in snapshot.failures[-_SHOWN_FAILURES:]:
        where, colon, why = printable(reason if name in reason else f"{name}: {reason}").partition(": ")
        failures.add_row(Name(where + colon.strip()), Text(why, no_wrap=True, overflow="ellipsis"), style="red")
    return Group(*lines, failures)


def summary(snapshot: RunSnapshot) -> str:
    """The finished run in one line."""
    speed = snapshot.frames / snapshot.seconds if snapshot.seconds > 0 else 0.0
    what = (
        f"; {count(snapshot.frames, 'frame')} in {duration(snapshot.seconds)}, {speed:.1f} fps"
        if snapshot.frames
        else ""
    )
    return f"{_states(snapshot)} of {count(snapshot.total, 'video')}{what}"


def snapshot_values(snapshot: RunSnapshot) -> dict[str, Any]:
    """The progress of the run for JSON."""
    return {
        "videos": {state.value: number for state, number in snapshot.counts.items()},
        "frames": snapshot.frames,
        "fps": _rounded(snapshot.frames_per_second),
        "real_time_factor": _rounded(snapshot.real_time_factor),
        "seconds": round(snapshot.seconds, 1),
        "seconds_left": _rounded(snapshot.seconds_left),
        "workers": snapshot.workers,
        "at_work": [work.name for work in snapshot.at_work],
        **({"pause": snapshot.pause} if snapshot.pause else {}),
    }


def pause_line(event: str, reason: str = "") -> str:
    """What is said when a run pauses, or goes on."""
    return f"the run waits: {reason}" if event == "paused" else "the run goes on"


def _states(snapshot: RunSnapshot) -> str:
    return ", ".join(f"{number} {state.value}" for state, number in snapshot.counts.items() if number) or "nothing"


def _speed(fps: float | None) -> str:
    return "– fps" if fps is None else f"{fps:.1f} fps"


def _factor(snapshot: RunSnapshot) -> str:
    return "" if snapshot.real_time_factor is None else f"{snapshot.real_time_factor:.1f} × real time"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", {duration(seconds)} left"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
