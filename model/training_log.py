"""The log of a training: JSON rows on stdout and in ``curve.jsonl``, progress on stderr, and TensorBoard.

Only the first of several processes keeps one.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PROGRESS_SECONDS = 60.0
"""Between two lines of progress where stderr is no terminal."""


class TrainingLog:
    """Rows by iteration, and progress from 0 to 1: a bar on a terminal, elsewhere a line per minute."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._curve = folder / "curve.jsonl"
        self._tensorboard = _open_tensorboard(folder / "board")
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[progress.description]{task.description}"), BarColumn(), TaskProgressColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal, redirect_stdout=sys.stdout.isatty(),
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=1.0)
        self._next_line = 0.0  # monotonic seconds

    def __enter__(self) -> TrainingLog:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def update(self, progress: float, text: str) -> None:
        """Show ``progress`` and ``text``."""
        progress = min(1.0, progress)
        self._bar.update(self._task, completed=progress, description=text)
        if self._bar.disable and time.monotonic() >= self._next_line:
            print(f"{progress:.1%}: {text}", file=sys.stderr, flush=True)
            self._next_line = time.monotonic() + PROGRESS_SECONDS

    def write(self, row: dict[str, Any]) -> None:
        """Append ``row``, whose ``iteration`` is its step in TensorBoard."""
        line = json.dumps(row)
        with self._curve.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)
        if self._tensorboard is not None:
            for name in row.keys() - {"iteration"}:
                self._tensorboard.add_scalar(name, row[name], row["iteration"])


def _open_tensorboard(folder: Path) -> Any:
    """A TensorBoard writer, or None if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
