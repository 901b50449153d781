"""The workers of a run: processes of this machine, or actors of a cluster; and the events that they send.

A run gives tasks while a worker is idle, and reads events. The run alone has the manifest, the order and the tries: a
lost task comes back as an event, and the run gives it again.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from acfd_stream.archive.worker import Beginning, FromWorker, Opener, Work
from acfd_stream.errors import AcfdError, ConfigError, RunnerError
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingTask
from acfd_stream.types import Closeable

_MOST_FAILED_STARTS = 3  # in a row; then no worker is expected to start


@dataclass(frozen=True)
class Began:
    """A worker has opened its model and begins the task."""

    task: RecordingTask
    worker: str


@dataclass(frozen=True)
class Progressed:
    """How far the task is; comes a few times per second."""

    task: RecordingTask
    worker: str
    progress: RecordingProgress


@dataclass(frozen=True)
class Ended:
    """The task is over; its worker is idle again."""

    task: RecordingTask
    worker: str
    outcome: RecordingOutcome


@dataclass(frozen=True)
class Lost:
    """The worker is gone in the middle of the task: it crashed, was killed, or made no progress. It is replaced."""

    task: RecordingTask
    worker: str
    reason: str  # "killed by SIGSEGV", "no progress for 600 s"


WorkerEvent = Began | Progressed | Ended | Lost


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


class Workers(Closeable, Generic[H]):
    """Workers, each with one model and one task at a time; a context manager. One thread uses them.

    Every task that was given ends with exactly one ``Ended`` or ``Lost``, unless the workers are closed before. Events
    of one task come in order: ``Began`` (unless it is lost before), any number of ``Progressed``, the end.

    Args:
        stall_seconds: a worker that shows no progress for this long in a task that it has begun is killed.
        work: records a task; importable by name on every machine.
        open_detector: opens the detector of a task; importable by name.
    """

    def __init__(self, stall_seconds: float, work: Work, open_detector: Opener) -> None:
        self._stall_seconds, self._work, self._open = stall_seconds, work, open_detector
        self._is_stopping = False
        self._failed_starts = 0
        self._workers: list[H] = []

    @property
    def count(self) -> int:
        """How many tasks can run at once; may change as machines join and leave."""
        return len(self._workers)

    @property
    def idle(self) -> int:
        """How many tasks can be given now."""
        return 0 if self._is_stopping else sum(worker.task is None for worker in self._workers)

    def give(self, task: RecordingTask) -> None:
        """Hand ``task`` to an idle worker; does not wait for it.

        Raises:
            ConfigError: no worker is idle, or they were told to stop.
        """
        for worker in self._workers:
            if worker.task is None and not self._is_stopping:
                worker.task, worker.has_begun, worker.kill_reason = task, False, ""
                self._send(worker, task)
                return
        raise ConfigError("every worker has a task; wait for one to end")

    @abstractmethod
    def events(self, timeout_seconds: float) -> list[WorkerEvent]:
        """What has happened since the last call; waits for something at most ``timeout_seconds``, then [].

        Raises:
            AcfdError: no worker can work at all: no such model, no such device, no cluster. The run ends with it.
        """

    def stop(self) -> None:
        """Have every worker save a checkpoint and end its task as ``CANCELLED``; returns at once.

        The task of a worker that does not react is lost. A second call does nothing.
        """
        if not self._is_stopping:
            self._is_stopping = True
            for worker in self._workers:
                self._tell_to_stop(worker)

    @abstractmethod
    def close(self) -> None:
        """End the workers, also in mid-task; their checkpoints stay. Waits until they are gone."""

    # Different for each kind of workers

    @abstractmethod
    def _send(self, worker: H, task: RecordingTask) -> None:
        """Send the task; the worker may be gone already."""

    @abstractmethod
    def _tell_to_stop(self, worker: H) -> None:
        """Have the worker save a checkpoint and end its task; it may be gone already."""

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
