"""A worker of a Ray cluster: an actor with one model, one episode after the other.

It needs nothing of Ray: what it has to say waits in it until the run, wherever that is, asks.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace

from acfd_stream.archive.worker import Bench, FromWorker, Opener, Work, answer_to
from acfd_stream.recording.task import EpisodeProgress, EpisodeTask

LISTEN_SECONDS = 10.0


class RayWorker:
    """One actor. ``work`` runs on one of its threads, ``listen`` and ``stop`` on others.

    Args:
        folder: working directory of the run, against which paths are meant; every machine must see the same files.
        threads: what the network and the decoder may use, where a task does not say.
        work: what is done with a task.
        open_detector: what gives the detector.
    """

    def __init__(self, folder: str, threads: int, work: Work, open_detector: Opener) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)
        self._threads, self._work = threads, work
        self._bench = Bench(open_detector)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._waiting: list[FromWorker] = []

    def work(self, task: EpisodeTask) -> None:
        """Work on ``task`` to its end; ``listen`` hears how it goes."""
        threads = self._threads
        task = replace(
            task,
            detect=replace(task.detect, threads=task.detect.threads or threads),
            video=replace(task.video, threads=task.video.threads or threads),
        )
        self._say(answer_to(task, self._bench, self._work, self._say, self._stop.is_set))

    def listen(self) -> tuple[str, list[FromWorker]]:
        """The name of this machine, and what there is to hear; waits for something, but not for ever."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting), LISTEN_SECONDS)
            waiting, self._waiting = self._waiting, []
        return socket.gethostname(), waiting

    def stop(self) -> None:
        """Have the work save where it is and let go, and any that comes later."""
        self._stop.set()

    def _say(self, message: FromWorker) -> None:
        with self._changed:
            if (
                self._waiting
                and isinstance(message, EpisodeProgress)
                and isinstance(self._waiting[-1], EpisodeProgress)
            ):
                self._waiting.pop()  # nobody has heard it, and now it is old
            self._waiting.append(message)
            self._changed.notify_all()
