"""Real work without a network, importable wherever a worker is started: bright squares are found, and some kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from acfd_stream.recording import episode
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingTask
from tests.pipeline.square_finder import SquareFinder

DEADLY = "deadly"
_FRAMES = 39  # after so many frames a deadly video kills who works on it


def open_finder(task: RecordingTask) -> SquareFinder:
    """The detector of every task."""
    return SquareFinder()


def work(
    task: RecordingTask,
    detector: SquareFinder,
    report: Callable[[RecordingProgress], None],
    cancellation: Cancellation,
) -> RecordingOutcome:
    """Work on an episode; the first who works on one with a deadly name is killed in the middle."""

    def deadly(progress: RecordingProgress) -> None:
        if progress.new_frames >= _FRAMES and DEADLY in task.name and _is_first(task):
            os.kill(os.getpid(), signal.SIGKILL)
        report(progress)

    episode._PROGRESS_SECONDS = 0.0
    return episode.record_episode(task, detector, deadly, cancellation)


def _is_first(task: RecordingTask) -> bool:
    try:
        (task.out / f".{task.name}.killed").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
