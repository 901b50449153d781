"""A worker of a Ray cluster: an actor with one model, one episode after the other.

It uses nothing of Ray: its messages wait until the run fetches them.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace

from acfd_stream.archive.worker import DetectorCache, FromWorker, Opener, Work, answer_to
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.task import RecordingProgress, RecordingTask

LISTEN_SECONDS = 10.0


class RayWorker:
    """One actor. ``work`` runs on one of its threads, ``listen`` and ``stop`` on others.

    Args:
        folder: working directory of the run, for relative paths; every machine must see the same files.
        threads: of the network and the decoder, where a task does not say.
        work: records a task.
        open_detector: opens the detector.
    """

    def __init__(self, folder: str, threads: int, work: Work, open_detector: Opener) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)
        self._threads, self._work = threads, work
        self._detectors = DetectorCache(open_detector)
        self._cancellation = Cancellation()
        self._changed = threading.Condition()
        self._waiting: list[FromWorker] = []

    def work(self, task: RecordingTask) -> None:
        """Work on ``task`` to its end; ``listen`` returns the messages."""
        threads = self._threads
        task = replace(
            task,
            detect=replace(task.detect, threads=task.detect.threads or threads),
            video=replace(task.video, threads=task.video.threads or threads),
        )
        self._say(answer_to(task, self._detectors, self._work, self._say, self._cancellation))

    def listen(self) -> tuple[str, list[FromWorker]]:
        """The name of this machine, and its new messages; waits a limited time for one."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting), LISTEN_SECONDS)
            waiting, self._waiting = self._waiting, []
        return socket.gethostname(), waiting

    def stop(self) -> None:
        """End the task at a checkpoint, and every later one."""
        self._cancellation.cancel()

    def _say(self, message: FromWorker) -> None:
        with self._changed:
            if (
                self._waiting
                and isinstance(message, RecordingProgress)
                and isinstance(self._waiting[-1], RecordingProgress)
            ):
                self._waiting.pop()  # replaced by the newer one
            self._waiting.append(message)
            self._changed.notify_all()
