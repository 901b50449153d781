"""Workers on this machine: a process each, so that a video that brings one down takes nothing with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from acfd_stream.archive.crew import Began, CrewEvent, Ended, Lost, Progressed
from acfd_stream.archive.episode import work_on
from acfd_stream.archive.task import EpisodeOutcome, EpisodeProgress, EpisodeTask
from acfd_stream.archive.worker import RUN_SIGNALS, Beginning, FromWorker, Opener, Stop, Work, open_for, serve
from acfd_stream.errors import AcfdError, ConfigError, RunnerError

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy threads' locks and a device's state
_STILLBORN = 3  # workers in a row that end before they begin anything: none will
_GRACE_SECONDS = 2.0


@dataclass
class _Hand:
    """One worker, from outside."""

    name: str
    environment: Mapping[str, str]
    process: SpawnProcess
    connection: Connection
    task: EpisodeTask | None = None
    heard_at: float = 0.0  # time.monotonic() of the last sign of life during a task
    has_begun: bool = False
    kill_reason: str = ""


class LocalCrew:
    """Processes of this machine behind the ``Crew`` protocol; a context manager.

    Args:
        workers: how many.
        environments: variables of each worker's process, such as the one GPU that it may see; in turn.
        stall_seconds: a worker that shows no progress for so long in a task that it has begun is killed.
        work: what they do with a task; importable by name.
        open_detector: what gives them their detector; importable by name.
    """

    def __init__(
        self,
        workers: int,
        *,
        environments: Sequence[Mapping[str, str]] = ({},),
        stall_seconds: float = 600.0,
        work: Work = work_on,
        open_detector: Opener = open_for,
    ) -> None:
        self._stall_seconds, self._work, self._open = stall_seconds, work, open_detector
        self._is_stopping = False
        self._stillborn = 0
        self._hands: list[_Hand] = []
        try:
            for number in range(workers):
                self._hands.append(self._started(f"local-{number}", environments[number % len(environments)]))
        except BaseException:
            self.close()
            raise

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
                with contextlib.suppress(OSError):  # it is gone: ``events`` finds out, and says that the task was lost
                    hand.connection.send(task)
                return
        raise ConfigError("every worker has a task; wait for one to end")

    def events(self, timeout_seconds: float) -> list[CrewEvent]:
        """What has happened; see ``Crew``."""
        events: list[CrewEvent] = []
        self._kill_stalled()
        ready = wait([hand.connection for hand in self._hands], timeout_seconds)
        for hand in [*self._hands]:
            if hand.connection in ready:
                self._read(hand, events)
        return events

    def stop(self) -> None:
        """Have every worker save a checkpoint and let go; see ``Crew``."""
        self._is_stopping = True
        for hand in self._hands:
            with contextlib.suppress(OSError):
                hand.connection.send(Stop())

    def close(self) -> None:
        """End the processes; see ``Crew``."""
        hands, self._hands = self._hands, []
        for hand in hands:
            hand.connection.close()  # an idle worker ends by itself
        for hand in hands:
            hand.process.join(_GRACE_SECONDS if hand.task is None else 0)
            if hand.process.is_alive():
                hand.process.kill()
            hand.process.join()
            hand.process.close()

    def __enter__(self) -> LocalCrew:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _started(self, name: str, environment: Mapping[str, str]) -> _Hand:
        ours, theirs = _SPAWN.Pipe()
        arguments = (theirs, dict(environment), self._open, self._work)
        process = _SPAWN.Process(target=serve, args=arguments, name=f"acfd-{name}", daemon=True)
        # A Ctrl-C that comes while the new process starts is the run's alone, until the worker ignores it by itself.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, RUN_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        return _Hand(name, environment, process, ours)

    def _read(self, hand: _Hand, events: list[CrewEvent]) -> None:
        """Take all that has come from one worker."""
        try:
            while hand.connection.poll():
                self._heard(hand, hand.connection.recv(), events)
        except AcfdError:
            raise
        except Exception:  # EOFError, or a message of which only a part was sent
            self._lost(hand, events)

    def _heard(self, hand: _Hand, message: FromWorker, events: list[CrewEvent]) -> None:
        if isinstance(message, AcfdError):
            raise message
        if hand.task is None:
            return
        hand.heard_at = time.monotonic()
        if isinstance(message, Beginning):
            hand.has_begun, self._stillborn = True, 0
            events.append(Began(hand.task, hand.name))
        elif isinstance(message, EpisodeProgress):
            events.append(Progressed(hand.task, hand.name, message))
        elif isinstance(message, EpisodeOutcome):
            events.append(Ended(hand.task, hand.name, message))
            hand.task = None

    def _lost(self, hand: _Hand, events: list[CrewEvent]) -> None:
        """Replace a worker that is gone."""
        place = self._hands.index(hand)
        self._hands.remove(hand)
        hand.connection.close()
        hand.process.join(_GRACE_SECONDS)
        if hand.process.is_alive():
            hand.process.kill()
            hand.process.join()
        reason = hand.kill_reason or _how_it_ended(hand.process.exitcode)
        hand.process.close()
        if not hand.has_begun:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise RunnerError(f"workers end before they begin ({reason}); try 'acfd-stream track' on one video")
        if hand.task is not None:
            events.append(Lost(hand.task, hand.name, reason))
        if not self._is_stopping:
            self._hands.insert(place, self._started(hand.name, hand.environment))

    def _kill_stalled(self) -> None:
        now = time.monotonic()
        for hand in self._hands:
            is_at_work = hand.task is not None and hand.has_begun
            if is_at_work and not hand.kill_reason and now - hand.heard_at > self._stall_seconds:
                hand.kill_reason = f"no progress for {self._stall_seconds:g} s"
                hand.process.kill()


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return f"ended by itself with code {code}"
