"""Those who work on the episodes of a run, wherever they are: processes of this machine, or actors of a cluster.

A run gives a crew tasks while it has a free worker and reads the events that come back. A crew knows nothing of the
manifest, of order or of tries: whatever is lost comes back as an event, and the run gives the task again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from acfd_stream.recording.task import EpisodeOutcome, EpisodeProgress, EpisodeTask


@dataclass(frozen=True)
class Began:
    """A worker took the task up: its model is there."""

    task: EpisodeTask
    worker: str


@dataclass(frozen=True)
class Progressed:
    """How far the task is; comes about once a second."""

    task: EpisodeTask
    worker: str
    progress: EpisodeProgress


@dataclass(frozen=True)
class Ended:
    """The task is over, however it went; its worker is free again."""

    task: EpisodeTask
    worker: str
    outcome: EpisodeOutcome


@dataclass(frozen=True)
class Lost:
    """The worker is gone in the middle of the task: it crashed, was killed, or stood still. The crew replaces it."""

    task: EpisodeTask
    worker: str
    reason: str  # "killed by SIGSEGV", "no progress for 600 s"


CrewEvent = Began | Progressed | Ended | Lost


class Crew(Protocol):
    """Workers, each with one model, one task at a time. One thread uses a crew; close it whatever happens.

    Of every task that was given comes exactly one ``Ended`` or ``Lost``, unless the crew is closed before. Events of
    one task come in order: ``Began`` (unless it is lost before), any number of ``Progressed``, the end.
    """

    @property
    def workers(self) -> int:
        """How many tasks can be under way at once; may change as machines come and go."""

    @property
    def free(self) -> int:
        """How many tasks can be given now."""

    def give(self, task: EpisodeTask) -> None:
        """Hand ``task`` to a free worker; does not wait for it.

        Raises:
            ConfigError: no worker is free, or the crew was told to stop.
        """

    def events(self, timeout_seconds: float) -> list[CrewEvent]:
        """What has happened since the last call; waits for something at most ``timeout_seconds``, then [].

        Raises:
            AcfdError: no worker can work at all: no such model, no such device, no cluster. The run ends with it.
        """

    def stop(self) -> None:
        """Have every worker save a checkpoint and let go; returns at once. The tasks end as ``STOPPED``, or are lost
        where a worker does not hear; a second call does nothing.
        """

    def close(self) -> None:
        """End the workers, whatever they are at; their checkpoints stay. Waits until they are gone."""
