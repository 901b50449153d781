"""The log of a training: JSON rows on stdout and in ``curve.jsonl``, progress on stderr, and TensorBoard.

Only the first of several processes keeps one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acfd_stream.progress import WorkProgress


class TrainingLog:
    """Rows by iteration, and progress from 0 to 1."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._curve = folder / "curve.jsonl"
        self._tensorboard = _open_tensorboard(folder / "board")
        self._progress = WorkProgress(1.0, says_begin=True)

    def __enter__(self) -> TrainingLog:
        self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.__exit__(*error)
        if self._tensorboard is not None:
            self._tensorboard.close()

    def update(self, progress: float, text: str) -> None:
        """Show ``progress`` and ``text``."""
        self._progress.update(min(1.0, progress), text)

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
