"""Real work without a network, importable wherever a worker is started: bright squares are found, and some kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from acfd_stream.recording.episode import work_on
from acfd_stream.recording.task import EpisodeOutcome, EpisodeProgress, EpisodeTask
from tests.pipeline.square_finder import SquareFinder

DEADLY = "deadly"
_QUESTIONS = 40  # after so many frames a deadly video kills who works on it


def open_finder(task: EpisodeTask) -> SquareFinder:
    """The detector of every task."""
    return SquareFinder()


def work(
    task: EpisodeTask,
    detector: SquareFinder,
    report: Callable[[EpisodeProgress], None],
    is_stopped: Callable[[], bool],
) -> EpisodeOutcome:
    """Work on an episode; the first who works on one with a deadly name is killed in the middle."""
    asked = 0

    def deadly() -> bool:
        nonlocal asked
        asked += 1
        if asked == _QUESTIONS and DEADLY in task.name and _is_first(task):
            os.kill(os.getpid(), signal.SIGKILL)
        return is_stopped()

    return work_on(task, detector, report, deadly)


def _is_first(task: EpisodeTask) -> bool:
    try:
        (task.out / f".{task.name}.killed").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
