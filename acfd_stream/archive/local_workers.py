"""Workers on this machine: a process each, so that a video that brings one down takes nothing with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from acfd_stream.archive.worker import RUN_SIGNALS, Opener, Stop, Work, open_for, serve
from acfd_stream.archive.worker_pool import Hand, Hands
from acfd_stream.archive.workers import CrewEvent
from acfd_stream.errors import AcfdError
from acfd_stream.recording.episode import work_on
from acfd_stream.recording.task import EpisodeTask

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy threads' locks and a device's state
_GRACE_SECONDS = 2.0


@dataclass
class _Process(Hand):
    """One worker."""

    environment: Mapping[str, str]
    process: SpawnProcess
    connection: Connection


class LocalCrew(Hands[_Process]):
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
        super().__init__(stall_seconds)
        self._work, self._open = work, open_detector
        try:
            for number in range(workers):
                self._hands.append(self._started(f"local-{number}", environments[number % len(environments)]))
        except BaseException:
            self.close()
            raise

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

    def _started(self, name: str, environment: Mapping[str, str]) -> _Process:
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
        return _Process(name, environment, process, ours)

    def _read(self, hand: _Process, events: list[CrewEvent]) -> None:
        """Take all that has come from one worker."""
        try:
            while hand.connection.poll():
                self._heard(hand, hand.connection.recv(), events)
        except AcfdError:
            raise
        except Exception:  # EOFError, or a message of which only a part was sent
            self._lost(hand, events)

    def _send(self, hand: _Process, task: EpisodeTask) -> None:
        with contextlib.suppress(OSError):  # it is gone: ``events`` finds out, and says that the task was lost
            hand.connection.send(task)

    def _kill(self, hand: _Process) -> None:
        hand.process.kill()

    def _restarted(self, hand: _Process) -> _Process:
        return self._started(hand.name, hand.environment)

    def _lost(self, hand: _Process, events: list[CrewEvent]) -> None:
        """Replace a worker that is gone."""
        hand.connection.close()
        hand.process.join(_GRACE_SECONDS)
        if hand.process.is_alive():
            hand.process.kill()
            hand.process.join()
        reason = _how_it_ended(hand.process.exitcode)
        hand.process.close()
        self._replace(hand, reason, events)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return f"ended by itself with code {code}"
