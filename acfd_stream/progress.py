"""Progress of long work on stderr: a bar with the time left on a terminal, a line per minute elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from acfd_stream.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task

LINE_SECONDS = 60.0
"""Between two lines where stderr is no terminal."""


class WorkProgress:
    """How far work is, shown while it is entered by ``with``.

    Args:
        total: all of the work, in any unit; None: unknown.
        unit: what is counted, as "frames"; empty: only the share is shown.
        rate: unit of the speed, as "fps".
        is_shown: False: nothing is shown.
        says_begin: where stderr is no terminal, a line comes with the first update, too.
    """

    def __init__(
        self,
        total: float | None,
        unit: str = "",
        rate: str = "",
        *,
        is_shown: bool = True,
        says_begin: bool = False,
    ) -> None:
        self._unit, self._rate = unit, rate
        self._bar = _bar(unit, rate) if is_shown else None
        self._next_line = time.monotonic() + (0.0 if says_begin else LINE_SECONDS)
        if self._bar is not None:
            self._bar.add_task("", total=total)

    def __enter__(self) -> WorkProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, text: str = "") -> None:
        """Show that ``done`` of the total is done, and ``text``."""
        if self._bar is None:
            return
        task = self._bar.tasks[0]
        self._bar.update(task.id, completed=done, description=text)
        if self._bar.disable and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            with contextlib.suppress(OSError, ValueError):
                print(printable(self._line(task)), file=sys.stderr, flush=True)

    def step(self, text: str = "") -> None:
        """Show that one more of the total is done, and ``text``."""
        if self._bar is not None:
            self.update(self._bar.tasks[0].completed + 1, text)

    def _line(self, task: Task) -> str:
        parts = [task.description]
        if self._unit:
            total = "" if task.total is None else f" of {task.total:.0f}"
            parts = [f"{task.completed:.0f}{total} {self._unit}", _speed(task, self._rate), *parts]
        share = "" if task.total is None else f"{task.completed / max(task.total, 1e-9):.1%}: "
        left = f"; {duration(task.time_remaining)} left" if task.time_remaining else ""
        return share + ", ".join(filter(None, parts)) + left


def duration(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _speed(task: Task, rate: str) -> str:
    return f"– {rate}" if task.speed is None else f"{task.speed:.1f} {rate}"


def _terminal() -> Console:
    """stderr, with columns left free for the ``^C`` of a terminal: a line that wraps cannot be erased."""
    from rich.console import Console, ConsoleDimensions

    class Terminal(Console):
        @property  # type: ignore[misc]  # no code sets it
        def size(self) -> ConsoleDimensions:
            width, height = super().size
            return ConsoleDimensions(max(width - len("^C"), 1), height)

    return Terminal(stderr=True)


def _bar(unit: str, rate: str) -> Progress:
    """A bar; it is disabled where stderr is no terminal, or one without control sequences."""
    from rich import progress
    from rich.text import Text

    class SpeedColumn(progress.ProgressColumn):
        """The speed of the last seconds."""

        def render(self, task: Task) -> Text:
            return Text(_speed(task, rate), justify="right")

    console = _terminal()
    counts = (progress.MofNCompleteColumn(), progress.TextColumn(unit), SpeedColumn()) if unit else ()
    return progress.Progress(
        progress.BarColumn(bar_width=None),
        progress.TaskProgressColumn(show_speed=False),
        *counts,
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.description}", markup=False),
        console=console,
        get_time=lambda: time.monotonic(),
        redirect_stdout=sys.stdout.isatty(),
        disable=not sys.stderr.isatty() or console.is_dumb_terminal,
        expand=True,
        transient=True,
    )
