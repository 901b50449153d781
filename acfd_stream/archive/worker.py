"""A worker of this machine: one process, one model, one episode after the other, told what to do over a pipe.

It ends when it is told to, and when whoever started it is gone: nobody is left to hear how it went, and another run
may want the episode.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from acfd_stream.errors import AcfdError, BackendUnavailable, ConfigError, RunnerError
from acfd_stream.recording.task import EpisodeOutcome, EpisodeProgress, EpisodeState, EpisodeTask

if TYPE_CHECKING:
    from acfd_stream.detect.detector import Detector

RUN_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""A terminal or a supervisor sends them to all processes; what they mean is the run's to say."""
_ORPHAN_SECONDS = 5.0


class Work(Protocol):
    """What a worker does with a task: ``work_on``, or what stands in for it."""

    def __call__(
        self,
        task: EpisodeTask,
        detector: Detector,
        report: Callable[[EpisodeProgress], None],
        is_stopped: Callable[[], bool],
    ) -> EpisodeOutcome:
        """Work on the task to its end, or until ``is_stopped``."""


class Opener(Protocol):
    """What opens the detector of a task."""

    def __call__(self, task: EpisodeTask) -> Detector:
        """A detector that is the caller's to close."""


class Stop:
    """To a worker: save where you are, and let go."""


class Beginning:
    """From a worker: the model is there, the work begins."""


FromWorker = Beginning | EpisodeProgress | EpisodeOutcome | AcfdError
"""An AcfdError says that the worker cannot work at all."""


def serve(connection: Connection, environment: Mapping[str, str], open_detector: Opener, work: Work) -> None:
    """Take tasks from ``connection`` until it is closed; the main function of a worker's process."""
    for number in RUN_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, RUN_SIGNALS)
    os.environ.update(environment)
    inbox = _Inbox(connection)
    bench = Bench(open_detector)
    try:
        while (task := inbox.next_task()) is not None:
            answer = answer_to(task, bench, work, connection.send, inbox.is_stopped)
            connection.send(answer)
            if isinstance(answer, AcfdError):
                return
    except (BrokenPipeError, ConnectionResetError):  # nobody listens
        return
    finally:
        bench.close()


def open_for(task: EpisodeTask) -> Detector:
    """The detector that a task asks for."""
    from acfd_stream.detect.detector import Detector

    return Detector.open(task.model, task.device, task.detect)


def answer_to(
    task: EpisodeTask,
    bench: Bench,
    work: Work,
    send: Callable[[Any], None],
    is_stopped: Callable[[], bool],
) -> EpisodeOutcome | AcfdError:
    """What a worker, wherever it is, answers to a task; until then ``send`` is told what there is to tell."""
    try:
        detector = bench.detector_for(task)
    except (BackendUnavailable, ConfigError, RunnerError) as error:
        return error
    send(Beginning())
    try:
        return work(task, detector, send, is_stopped)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except MemoryError:
        return EpisodeOutcome(EpisodeState.FAILED_PASSING, error=f"{task.name}: there was not enough memory")
    except AcfdError as error:
        return EpisodeOutcome(EpisodeState.FAILED_PASSING, error=str(error))
    except Exception as error:
        fault = f"{task.name}: this is a fault of the program: {type(error).__name__}: {error}"
        return EpisodeOutcome(EpisodeState.FAILED_PASSING, error=fault)


class Bench:
    """The detector of this process, opened once for all tasks that ask for the same."""

    def __init__(self, open_detector: Opener) -> None:
        self._open = open_detector
        self._asked: object = None
        self._detector: Detector | None = None

    def detector_for(self, task: EpisodeTask) -> Detector:
        """The detector of ``task``; the one of before is closed where it is another."""
        asked = (task.model, task.device, task.detect)
        if self._detector is None or self._asked != asked:
            self.close()
            self._detector = self._open(task)
            self._asked = asked
        return self._detector

    def close(self) -> None:
        """Close the detector; a second call does nothing."""
        if self._detector is not None:
            self._detector.close()
            self._detector = None


class _Inbox:
    """Reads what comes while the main thread works."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks: queue.SimpleQueue[EpisodeTask | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="acfd-inbox", daemon=True).start()

    def is_stopped(self) -> bool:
        """Whether the work should let go."""
        return self._stop.is_set()

    def next_task(self) -> EpisodeTask | None:
        """The next task; None: there will be none."""
        return self._tasks.get()

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Stop):
                    self._stop.set()
                else:
                    self._tasks.put(message)
        except (EOFError, OSError):
            self._stop.set()
            self._tasks.put(None)
            threading.Event().wait(_ORPHAN_SECONDS)  # the process ends before, unless something in it stands still
            sys.stderr.flush()
            os._exit(1)
