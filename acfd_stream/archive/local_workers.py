"""Workers on this machine: a process each, so that a video that crashes one does not end the run."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from acfd_stream.archive.worker import RUN_SIGNALS, Opener, Stop, Work, open_for, serve
from acfd_stream.archive.workers import WorkerEvent, WorkerHandle, Workers
from acfd_stream.errors import AcfdError
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.task import RecordingTask

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy threads' locks and a device's state
_GRACE_SECONDS = 2.0


@dataclass
class _Process(WorkerHandle):
    environment: Mapping[str, str]
    process: SpawnProcess
    connection: Connection


class LocalWorkers(Workers[_Process]):
    """Processes of this machine; a context manager.

    Args:
        workers: how many.
        environments: variables of each worker's process, such as its GPU; in turn.
        stall_seconds, work, open_detector: see ``Workers``.
    """

    def __init__(
        self,
        workers: int,
        *,
        environments: Sequence[Mapping[str, str]] = ({},),
        stall_seconds: float = 600.0,
        work: Work = record_episode,
        open_detector: Opener = open_for,
    ) -> None:
        super().__init__(stall_seconds, work, open_detector)
        try:
            for number in range(workers):
                self._workers.append(self._started(f"local-{number}", environments[number % len(environments)]))
        except BaseException:
            self.close()
            raise

    def events(self, timeout_seconds: float) -> list[WorkerEvent]:
        """What has happened; see ``Workers``."""
        events: list[WorkerEvent] = []
        ready = wait([worker.connection for worker in self._workers], timeout_seconds)
        for worker in [*self._workers]:
            if worker.connection in ready:
                self._read(worker, events)
        self._kill_stalled()  # what came while nobody asked is read by now
        return events

    def close(self) -> None:
        """End the processes; see ``Workers``."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.connection.close()  # an idle worker ends by itself
        for worker in workers:
            worker.process.join(_GRACE_SECONDS if worker.task is None else 0)
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.process.close()

    def _started(self, name: str, environment: Mapping[str, str]) -> _Process:
        ours, theirs = _SPAWN.Pipe()
        arguments = (theirs, dict(environment), self._open, self._work)
        process = _SPAWN.Process(target=serve, args=arguments, name=f"acfd-{name}", daemon=True)
        # A Ctrl-C that comes while the new process starts is the run's alone, until the worker ignores it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, RUN_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        return _Process(name, environment, process, ours)

    def _read(self, worker: _Process, events: list[WorkerEvent]) -> None:
        try:
            while worker.connection.poll():
                self._heard(worker, worker.connection.recv(), events)
        except AcfdError:
            raise
        except Exception:  # EOFError, or a message of which only a part was sent
            self._lost(worker, events)

    def _send(self, worker: _Process, task: RecordingTask) -> None:
        with contextlib.suppress(OSError):  # it is gone: ``events`` notices, and reports the task as lost
            worker.connection.send(task)

    def _tell_to_stop(self, worker: _Process) -> None:
        with contextlib.suppress(OSError):
            worker.connection.send(Stop())

    def _kill(self, worker: _Process) -> None:
        worker.process.kill()

    def _restarted(self, worker: _Process) -> _Process:
        return self._started(worker.name, worker.environment)

    def _lost(self, worker: _Process, events: list[WorkerEvent]) -> None:
        worker.connection.close()
        worker.process.join(_GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        reason = _how_it_ended(worker.process.exitcode)
        worker.process.close()
        self._replace(worker, reason, events)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return f"ended by itself with code {code}"
