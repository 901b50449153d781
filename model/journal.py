"""What a training says of itself: a line a look on stdout and in ``curve.jsonl``, a bar on a terminal, TensorBoard.

Only one process of several keeps a journal.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Journal:
    """Rows of figures by iteration; ``progress`` goes from 0 to 1."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._curve = folder / "curve.jsonl"
        self._board = _open_board(folder / "board")
        self._bar = Progress(
            TextColumn("[progress.description]{task.description}"), BarColumn(), TaskProgressColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar.disable = not self._bar.console.is_terminal
        self._task = self._bar.add_task("training", total=1.0)

    def __enter__(self) -> Journal:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._board is not None:
            self._board.close()

    def move(self, progress: float, text: str) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=min(1.0, progress), description=text)

    def log(self, iteration: int, seconds: float, row: dict[str, Any]) -> None:
        """Keep a row; ``seconds`` of training so far."""
        line = json.dumps({"iteration": iteration, "minutes": round(seconds / 60, 2), **row})
        with self._curve.open("a") as file:
            file.write(line + "\n")
        if self._bar.disable:
            print(line, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False)
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, iteration)


def _open_board(folder: Path) -> Any:
    """A TensorBoard writer, or None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
