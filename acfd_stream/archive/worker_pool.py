"""What crews of every kind have in common: hands with a task each, what is heard from them, and when they are lost."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from acfd_stream.archive.worker import Beginning, FromWorker
from acfd_stream.archive.workers import Began, CrewEvent, Ended, Lost, Progressed
from acfd_stream.errors import AcfdError, ConfigError, RunnerError
from acfd_stream.recording.task import EpisodeOutcome, EpisodeProgress, EpisodeTask

_STILLBORN = 3  # workers in a row that end before they begin anything: none will


@dataclass
class Hand:
    """One worker, from outside."""

    name: str
    task: EpisodeTask | None = field(default=None, init=False)
    heard_at: float = field(default=0.0, init=False)  # time.monotonic() of the last sign of life during a task
    has_begun: bool = field(default=False, init=False)
    kill_reason: str = field(default="", init=False)

    @property
    def label(self) -> str:
        """What events call it."""
        return self.name


H = TypeVar("H", bound=Hand)


class Hands(ABC, Generic[H]):
    """The part of a ``Crew`` that does not depend on where its workers are; a context manager.

    Args:
        stall_seconds: a worker that shows no progress for so long in a task that it has begun is killed.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._is_stopping = False
        self._stillborn = 0
        self._hands: list[H] = []

    @property
    def workers(self) -> int:
        """How many tasks can be under way at once."""
        return len(self._hands)

    @property
    def free(self) -> int:
        """How many tasks can be given now."""
        return 0 if self._is_stopping else sum(hand.task is None for hand in self._hands)

    def give(self, task: EpisodeTask) -> None:
        """Hand ``task`` to a free worker; see ``Crew``."""
        for hand in self._hands:
            if hand.task is None and not self._is_stopping:
                hand.task, hand.has_begun, hand.kill_reason = task, False, ""
                self._send(hand, task)
                return
        raise ConfigError("every worker has a task; wait for one to end")

    @abstractmethod
    def close(self) -> None:
        """End the workers; see ``Crew``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # What a kind of crew does in its own way.

    @abstractmethod
    def _send(self, hand: H, task: EpisodeTask) -> None:
        """Have the worker begin; it may be gone already."""

    @abstractmethod
    def _kill(self, hand: H) -> None:
        """End the worker at once; that it is gone is found out as for any other."""

    @abstractmethod
    def _restarted(self, hand: H) -> H:
        """Another worker in its place."""

    # What all do alike.

    def _heard(self, hand: H, message: FromWorker, events: list[CrewEvent]) -> None:
        """Make an event of what a worker says."""
        if isinstance(message, AcfdError):
            raise message
        if hand.task is None:
            return
        hand.heard_at = time.monotonic()
        if isinstance(message, Beginning):
            hand.has_begun, self._stillborn = True, 0
            events.append(Began(hand.task, hand.label))
        elif isinstance(message, EpisodeProgress):
            events.append(Progressed(hand.task, hand.label, message))
        elif isinstance(message, EpisodeOutcome):
            events.append(Ended(hand.task, hand.label, message))
            hand.task = None

    def _replace(self, hand: H, reason: str, events: list[CrewEvent]) -> None:
        """Put another worker in the place of one that is gone, unless the crew stops."""
        place = self._hands.index(hand)
        del self._hands[place]
        reason = hand.kill_reason or reason
        if not hand.has_begun:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise RunnerError(f"workers end before they begin ({reason}); try 'acfd-stream track' on one video")
        if hand.task is not None:
            events.append(Lost(hand.task, hand.label, reason))
        if not self._is_stopping:
            self._hands.insert(place, self._restarted(hand))

    def _kill_stalled(self) -> None:
        now = time.monotonic()
        for hand in self._hands:
            is_at_work = hand.task is not None and hand.has_begun
            if is_at_work and not hand.kill_reason and now - hand.heard_at > self._stall_seconds:
                hand.kill_reason = f"no progress for {self._stall_seconds:g} s"
                self._kill(hand)
