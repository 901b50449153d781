"""What stands in for the work of a worker, by the name of its task; importable where a worker is started anew."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acfd_stream.errors import BackendUnavailable
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingState, RecordingTask

PATIENCE = 60.0
STOPPED = RecordingOutcome(RecordingState.CANCELLED, frames=1)


class Pretender:
    """What is opened in place of a detector: notes that it was, and by which process."""

    def __init__(self, task: RecordingTask) -> None:
        task.out.mkdir(parents=True, exist_ok=True)
        with open(task.out / "opened", "a") as file:
            file.write(f"{os.getpid()}\n")

    def close(self) -> None:
        """Free nothing."""


def no_device(task: RecordingTask) -> Any:
    """An opener on a machine without the device."""
    raise BackendUnavailable("device 'cuda' cannot be used: there is none")


def stillborn(task: RecordingTask) -> Any:
    """An opener that takes its process with it."""
    _crash()


def work(
    task: RecordingTask,
    detector: Pretender,
    report: Callable[[RecordingProgress], None],
    cancellation: Cancellation,
) -> RecordingOutcome:
    """Do what the first part of the task's name says."""
    report(RecordingProgress(1, 2, 0, 0.1, 1, 0.04))
    deed = task.name.split("/")[0]
    if deed == "crash":
        _crash()
    elif deed == "leave":
        os._exit(3)
    elif deed == "fault":
        raise LookupError("no such thing")
    elif deed == "hang":
        _until(lambda: False)
    elif deed == "wait":
        _until(lambda: cancellation.is_cancelled)
        return STOPPED
    elif deed == "deaf":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
    elif deed == "crash_once" and not _is_second_time(task.out / task.name):
        _crash()
    return RecordingOutcome(RecordingState.DONE, frames=2, new_frames=2, seconds=0.1, warnings=(str(os.getpid()),))


def _crash() -> None:
    """End the process; another of its threads may be the one that hears the signal."""
    os.kill(os.getpid(), signal.SIGSEGV)
    _until(lambda: False)


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)


def _is_second_time(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return True
    return False
