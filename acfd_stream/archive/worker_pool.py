"""What all kinds of workers have in common: a task each, messages that become events, and replacement when lost."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from acfd_stream.archive.worker import Beginning, FromWorker
from acfd_stream.archive.workers import Began, Ended, Lost, Progressed, WorkerEvent
from acfd_stream.errors import AcfdError, ConfigError, RunnerError
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingTask

_MOST_FAILED_STARTS = 3  # in a row; then no worker is expected to start


@dataclass
class WorkerHandle:
    """One worker, from outside."""

    name: str
    task: RecordingTask | None = field(default=None, init=False)
    heard_at: float = field(default=0.0, init=False)  # time.monotonic() of the last message during a task
    has_begun: bool = field(default=False, init=False)
    kill_reason: str = field(default="", init=False)

    @property
    def label(self) -> str:
        """What events call it."""
        return self.name


H = TypeVar("H", bound=WorkerHandle)


class WorkerPool(ABC, Generic[H]):
    """The part of ``Workers`` that does not depend on where they run; a context manager.

    Args:
        stall_seconds: a worker that shows no progress for this long in a task that it has begun is killed.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._is_stopping = False
        self._failed_starts = 0
        self._workers: list[H] = []

    @property
    def count(self) -> int:
        """How many tasks can be under way at once."""
        return len(self._workers)

    @property
    def idle(self) -> int:
        """How many tasks can be given now."""
        return 0 if self._is_stopping else sum(worker.task is None for worker in self._workers)

    def give(self, task: RecordingTask) -> None:
        """Hand ``task`` to an idle worker; see ``Workers``."""
        for worker in self._workers:
            if worker.task is None and not self._is_stopping:
                worker.task, worker.has_begun, worker.kill_reason = task, False, ""
                self._send(worker, task)
                return
        raise ConfigError("every worker has a task; wait for one to end")

    @abstractmethod
    def close(self) -> None:
        """End the workers; see ``Workers``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # Different for each kind of workers

    @abstractmethod
    def _send(self, worker: H, task: RecordingTask) -> None:
        """Send the task; the worker may be gone already."""

    @abstractmethod
    def _kill(self, worker: H) -> None:
        """End the worker at once; ``events`` then finds it gone, as any other."""

    @abstractmethod
    def _restarted(self, worker: H) -> H:
        """A new worker with its name."""

    # Common to all

    def _heard(self, worker: H, message: FromWorker, events: list[WorkerEvent]) -> None:
        """Turn a message of a worker into an event."""
        if isinstance(message, AcfdError):
            raise message
        if worker.task is None:
            return
        worker.heard_at = time.monotonic()
        if isinstance(message, Beginning):
            worker.has_begun, self._failed_starts = True, 0
            events.append(Began(worker.task, worker.label))
        elif isinstance(message, RecordingProgress):
            events.append(Progressed(worker.task, worker.label, message))
        elif isinstance(message, RecordingOutcome):
            events.append(Ended(worker.task, worker.label, message))
            worker.task = None

    def _replace(self, worker: H, reason: str, events: list[WorkerEvent]) -> None:
        """Replace a worker that is gone, unless the workers stop."""
        index = self._workers.index(worker)
        del self._workers[index]
        reason = worker.kill_reason or reason
        if not worker.has_begun:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise RunnerError(f"workers end before they begin ({reason}); try 'acfd-stream track' on one video")
        if worker.task is not None:
            events.append(Lost(worker.task, worker.label, reason))
        if not self._is_stopping:
            self._workers.insert(index, self._restarted(worker))

    def _kill_stalled(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            is_at_work = worker.task is not None and worker.has_begun
            if is_at_work and not worker.kill_reason and now - worker.heard_at > self._stall_seconds:
                worker.kill_reason = f"no progress for {self._stall_seconds:g} s"
                self._kill(worker)
