"""Progress of a run: a table in a terminal, or JSON lines for a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.progress import count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from acfd_stream.archive.run_progress import View, Watcher

_LOG_SECONDS = 10.0  # between two progress lines
_SHOWN_AT_WORK = 16
_SHOWN_FAILURES = 3
_BAR = 16  # characters


@contextmanager
def open_watcher(is_log_json: bool, is_quiet: bool) -> Iterator[Watcher]:
    """The observer of a run: a table on stderr if that is a terminal, else JSON lines on stdout; quiet: none."""
    from acfd_stream.archive.run_progress import Unwatched

    if is_quiet and not is_log_json:
        yield Unwatched()
    elif is_log_json or not sys.stderr.isatty():
        yield LogWatcher()
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
            yield TableWatcher(live)


class LogWatcher:
    """JSON lines on stdout: every event, and the progress every ten seconds."""

    def __init__(self) -> None:
        self._shown_at = time.monotonic()

    def show(self, view: View) -> None:
        """Write the progress, unless a line was written within ten seconds."""
        if time.monotonic() - self._shown_at >= _LOG_SECONDS:
            self._shown_at = time.monotonic()
            self.note("progress", **view_values(view))

    def note(self, event: str, **about: Any) -> None:
        """Write an event."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **about})
        print(line, flush=True)


class TableWatcher:
    """A table in a terminal; ``live`` is Rich's display."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, view: View) -> None:
        """Draw the table anew."""
        self._live.update(table(view), refresh=True)

    def note(self, event: str, **about: Any) -> None:
        """Print retries above the table."""
        if event in ("retry", "lost"):
            from rich.markup import escape

            self._live.console.print(escape(f"{about['name']}: {about['reason']}; it will be retried"), style="yellow")


def table(view: View) -> RenderableType:
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
        ProgressBar(total=max(view.total, 1), completed=view.settled, width=_BAR),
        f"{view.settled} / {view.total}",
        _speed(view.frames_per_second),
        f"{_factor(view)}{_left(view.seconds_left)}",
    )
    for work in view.at_work[:_SHOWN_AT_WORK]:
        progress = work.progress
        total = None if progress is None else progress.expected_frames
        frames = 0 if progress is None else progress.frames
        fps = None if progress is None or not progress.seconds else progress.new_frames / progress.seconds
        rows.add_row(
            Text(work.name, no_wrap=True, overflow="ellipsis"),
            ProgressBar(total=max(total or 1, 1), completed=min(frames, total or 0), width=_BAR),
            f"{frames} / {total or '?'}",
            _speed(fps),
            "" if progress is None else f"{count(progress.tracks, 'track')}, {progress.stage.value}",
        )
    lines: list[RenderableType] = [rows, Text(_states(view), style="dim")]
    for name, reason in view.failures[-_SHOWN_FAILURES:]:
        said = reason if name in reason else f"{name}: {reason}"
        lines.append(Text(said, style="red", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


def summary(view: View) -> str:
    """The finished run in one line."""
    speed = view.frames / view.seconds if view.seconds > 0 else 0.0
    what = f"; {count(view.frames, 'frame')} in {duration(view.seconds)}, {speed:.1f} fps" if view.frames else ""
    return f"{_states(view)} of {count(view.total, 'video')}{what}"


def view_values(view: View) -> dict[str, Any]:
    """The progress of the run for JSON."""
    return {
        "videos": {state.value: number for state, number in view.counts.items()},
        "frames": view.frames,
        "fps": _rounded(view.frames_per_second),
        "real_time_factor": _rounded(view.real_time_factor),
        "seconds": round(view.seconds, 1),
        "seconds_left": _rounded(view.seconds_left),
        "workers": view.workers,
        "at_work": [work.name for work in view.at_work],
    }


def duration(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _states(view: View) -> str:
    return ", ".join(f"{number} {state.value}" for state, number in view.counts.items() if number) or "nothing"


def _speed(fps: float | None) -> str:
    return "– fps" if fps is None else f"{fps:.1f} fps"


def _factor(view: View) -> str:
    return "" if view.real_time_factor is None else f"{view.real_time_factor:.1f} × real time"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", {duration(seconds)} left"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
