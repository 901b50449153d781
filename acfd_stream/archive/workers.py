"""The protocol of the workers of a run: processes of this machine, or actors of a cluster.

A run gives tasks while a worker is idle, and reads events. The run alone has the manifest, the order and the tries: a
lost task comes back as an event, and the run gives it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingTask


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


class Workers(Protocol):
    """Workers, each with one model, one task at a time. One thread uses them; always close them.

    Of every task that was given comes exactly one ``Ended`` or ``Lost``, unless they are closed before. Events of
    one task come in order: ``Began`` (unless it is lost before), any number of ``Progressed``, the end.
    """

    @property
    def count(self) -> int:
        """How many tasks can run at once; may change as machines join and leave."""

    @property
    def idle(self) -> int:
        """How many tasks can be given now."""

    def give(self, task: RecordingTask) -> None:
        """Hand ``task`` to an idle worker; does not wait for it.

        Raises:
            ConfigError: no worker is idle, or they were told to stop.
        """

    def events(self, timeout_seconds: float) -> list[WorkerEvent]:
        """What has happened since the last call; waits for something at most ``timeout_seconds``, then [].

        Raises:
            AcfdError: no worker can work at all: no such model, no such device, no cluster. The run ends with it.
        """

    def stop(self) -> None:
        """Have every worker save a checkpoint and end its task as ``CANCELLED``; returns at once.

        The task of a worker that does not react is lost. A second call does nothing.
        """

    def close(self) -> None:
        """End the workers, also in mid-task; their checkpoints stay. Waits until they are gone."""
