"""A worker process of this machine: one model, one episode after the other; its run sends tasks over a pipe.

It ends when the pipe is closed, also because the run was killed: another run may want the episode.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from acfd_stream.errors import AcfdError, BackendUnavailable, ConfigError, RunnerError
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingState, RecordingTask

if TYPE_CHECKING:
    from acfd_stream.detect.detector import Detector

RUN_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""A terminal or a supervisor sends them to all processes; only the run reacts."""
_ORPHAN_SECONDS = 5.0


Work = Callable[[RecordingTask, Any, Callable[[RecordingProgress], None], Cancellation], RecordingOutcome]
"""What a worker does with a task and its detector: ``record_episode``, or what stands in for it."""
Opener = Callable[[RecordingTask], Any]
"""What opens the detector of a task; the caller closes it."""


class Stop:
    """To a worker: save a checkpoint and end the task."""


class Beginning:
    """From a worker: the model is open, the work begins."""


FromWorker = Beginning | RecordingProgress | RecordingOutcome | AcfdError
"""An AcfdError says that the worker cannot work at all."""


def serve(connection: Connection, environment: Mapping[str, str], open_detector: Opener, work: Work) -> None:
    """Take tasks from ``connection`` until it is closed; the main function of a worker's process."""
    for number in RUN_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, RUN_SIGNALS)
    os.environ.update(environment)
    inbox = _Inbox(connection)
    detectors = DetectorCache(open_detector)
    try:
        while (task := inbox.next_task()) is not None:
            answer = answer_to(task, detectors, work, connection.send, inbox.cancellation)
            connection.send(answer)
            if isinstance(answer, AcfdError):
                return
    except (BrokenPipeError, ConnectionResetError):  # the run is gone
        return
    finally:
        detectors.close()


def open_for(task: RecordingTask) -> Detector:
    """The detector that a task asks for."""
    from acfd_stream.detect.detector import Detector

    return Detector.open(task.model, task.device, task.detect)


def answer_to(
    task: RecordingTask,
    detectors: DetectorCache,
    work: Work,
    send: Callable[[Any], None],
    cancellation: Cancellation,
) -> RecordingOutcome | AcfdError:
    """What a worker on any machine answers to a task; ``send`` takes its messages before that."""
    try:
        detector = detectors.detector_for(task)
    except (BackendUnavailable, ConfigError, RunnerError) as error:
        return error
    send(Beginning())
    try:
        return work(task, detector, send, cancellation)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except MemoryError:
        return RecordingOutcome(RecordingState.FAILED, error=f"{task.name}: there was not enough memory")
    except AcfdError as error:
        return RecordingOutcome(RecordingState.FAILED, error=str(error))
    except Exception as error:
        message = f"{task.name}: this is a defect of the program: {type(error).__name__}: {error}"
        return RecordingOutcome(RecordingState.FAILED, error=message)


class DetectorCache:
    """The detector of this process, opened once for all tasks with the same model, device and settings."""

    def __init__(self, open_detector: Opener) -> None:
        self._open = open_detector
        self._opened_for: object = None
        self._detector: Detector | None = None

    def detector_for(self, task: RecordingTask) -> Detector:
        """The detector of ``task``; a different one that was open is closed."""
        wanted = (task.model, task.device, task.detect)
        if self._detector is None or self._opened_for != wanted:
            self.close()
            self._detector = self._open(task)
            self._opened_for = wanted
        return self._detector

    def close(self) -> None:
        """Close the detector; a second call does nothing."""
        if self._detector is not None:
            self._detector.close()
            self._detector = None


class _Inbox:
    """Reads messages while the main thread works."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks: queue.SimpleQueue[RecordingTask | None] = queue.SimpleQueue()
        self.cancellation = Cancellation()
        threading.Thread(target=self._listen, name="acfd-inbox", daemon=True).start()

    def next_task(self) -> RecordingTask | None:
        """The next task; None: there will be none."""
        return self._tasks.get()

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Stop):
                    self.cancellation.cancel()
                else:
                    self._tasks.put(message)
        except (EOFError, OSError):
            self.cancellation.cancel()
            self._tasks.put(None)
            threading.Event().wait(_ORPHAN_SECONDS)  # usually the process ends before
            sys.stderr.flush()
            os._exit(1)
