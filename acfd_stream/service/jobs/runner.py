"""Jobs at work: a few threads that take what waits, save how far it is, and go on where it was broken off.

What a job does is the ``Work`` that the runner is given: it writes its results to a ``Desk``, offers checkpoints
to it, and looks there whether it should stop. A work that tracks one file is in ``track_file.py``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from acfd_stream.errors import AcfdError, OutputError
from acfd_stream.metrics import Metrics
from acfd_stream.service.jobs.record import Job, JobEnd, JobProgress
from acfd_stream.service.jobs.results import ResultLog
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.settings import JobSettings
from acfd_stream.types import JobState

_log = logging.getLogger(__name__)
_INTERNAL = 13  # google.rpc.Code
_RESOURCE_EXHAUSTED = 8
_SWEEP_SECONDS = 60.0


class Stopped(Exception):
    """The work was told to stop, and has; not a fault."""


class Desk:
    """Where one running job lays its results down and hears that it should stop. One thread writes."""

    def __init__(self, job: Job, runner: JobRunner) -> None:
        self.job = job
        self.progress = job.progress
        self._runner = runner
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._on_stop: Callable[[], None] | None = None
        self._saved_at = time.monotonic()

    @property
    def is_stopped(self) -> bool:
        """Whether the work should offer a last checkpoint and raise ``Stopped``."""
        return self._stop.is_set()

    def is_stopped_within(self, seconds: float) -> bool:
        """Wait for the word to stop, at most ``seconds``."""
        return self._stop.wait(seconds)

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() - self._saved_at >= self._runner.settings.checkpoint_seconds

    def write(self, lines: bytes, frames: int, tracks: int) -> None:
        """Lay down the whole lines of ``frames`` more frames; ``tracks`` have begun so far.

        Raises:
            OutputError: no room, or more than may be kept.
        """
        size, most = self.progress.result_bytes + len(lines), self._runner.settings.result_bytes
        if size > most:
            raise OutputError(f"the results are above the limit, jobs.kept_bytes = {most}")
        self._runner.results.append(self.job.job_id, lines)
        self.progress = replace(self.progress, frames=self.progress.frames + frames, tracks=tracks, result_bytes=size)
        self._runner.note_frames(frames)

    def describe(self, start: bytes, expected_frames: int | None) -> None:
        """Note what is known before the first result; ``start`` is what readers of the results get first."""
        if expected_frames is not None and not 0 <= expected_frames < 2**63:
            expected_frames = None  # a container may claim anything
        self.progress = replace(self.progress, expected_frames=expected_frames)
        self._runner.store.describe(self.job.job_id, start, expected_frames)

    def save(self, checkpoint: bytes) -> None:
        """Keep the results so far, and ``checkpoint``, from which their rest can be made."""
        self._runner.results.sync(self.job.job_id)
        self._runner.store.save(self.job.job_id, self.progress, checkpoint)
        self._runner.sweep()
        self._saved_at = time.monotonic()

    def restart(self) -> None:
        """Forget the results so far: the work begins at the beginning."""
        self._runner.results.cut(self.job.job_id, 0)
        self.job = replace(self.job, checkpoint=None)
        self.progress = JobProgress()

    def on_stop(self, callback: Callable[[], None] | None) -> None:
        """Call ``callback``, on another thread, when the work should stop; at once where it should already."""
        with self._turn:
            self._on_stop = callback
        if callback is not None and self._stop.is_set():
            callback()

    def stop(self) -> None:
        """Tell the work to stop."""
        self._stop.set()
        with self._turn:
            callback = self._on_stop
        if callback is not None:
            callback()


class Work(Protocol):
    """What a job does: one file, or whatever else a request may ask for."""

    def __call__(self, desk: Desk) -> JobEnd:
        """Do the job of ``desk`` to its end, from its checkpoint where it has one.

        Raises:
            Stopped: the desk said so.
            AcfdError: the job failed.
        """


class JobRunner:
    """Workers over a store; a context manager. Give it a thread with ``start``."""

    def __init__(
        self,
        store: JobStore,
        results: ResultLog,
        work: Work,
        settings: JobSettings,
        *,
        code_of: Callable[[BaseException], int] = lambda error: _INTERNAL,
        metrics: Metrics | None = None,
    ) -> None:
        self.store, self.results, self.settings, self._work = store, results, settings, work
        self._code_of, self._metrics = code_of, metrics or Metrics.none()
        self._changed = threading.Condition()
        self._version = 0  # of everything that a waiting reader may look at
        self._is_closing = False
        self._desks: dict[str, Desk] = {}
        self._threads: list[threading.Thread] = []
        self._swept_at = -_SWEEP_SECONDS

    def start(self) -> None:
        """Take up what was left, clear what nobody knows any more, and begin to work."""
        self.store.recover()
        for job_id in self.results.ids() - self.store.ids():
            self.results.forget(job_id)
        self.sweep(is_due=True)
        self._note()
        for number in range(self.settings.workers):
            thread = threading.Thread(target=self._serve, name=f"acfd-job-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, patience_seconds: float = 10.0) -> bool:
        """Stop all jobs at their last checkpoint, to go on when a server starts; whether all stopped in time."""
        with self._changed:
            self._is_closing = True
            desks = list(self._desks.values())
        self.stir()
        for desk in desks:
            desk.stop()
        until = time.monotonic() + patience_seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> JobRunner:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def is_closing(self) -> bool:
        """No job begins any more."""
        return self._is_closing

    def submit(self, owner: str, key: str, request: bytes) -> Job:
        """The job of ``request``, new or known by its key; see ``JobStore.submit``."""
        job, is_new = self.store.submit(owner, key, request, self.settings.open)
        if is_new:
            self._note()
        return job

    def get(self, job_id: str, owner: str | None) -> Job:
        """The job with the progress of this moment; see ``JobStore.get``."""
        return self._fresh(self.store.get(job_id, owner))

    def page(self, owner: str | None, states: tuple[JobState, ...], before: int | None, count: int) -> list[Job]:
        """Jobs, newest first; see ``JobStore.page``."""
        return [self._fresh(job) for job in self.store.page(owner, states, before, count)]

    def cancel(self, job_id: str, owner: str | None) -> Job:
        """The job, which will stop; see ``JobStore.ask_cancel``."""
        job = self.store.ask_cancel(job_id, owner)
        with self._changed:
            desk = self._desks.get(job_id)
        if desk is not None and job.is_cancel_asked:
            desk.stop()
        self._note()
        return self._fresh(job)

    def version(self) -> int:
        """Rises with every change; take it before looking, then ``wait`` for a later one."""
        with self._changed:
            return self._version

    def wait(self, version: int, timeout_seconds: float) -> None:
        """Return when something has changed since ``version``, or after ``timeout_seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version or self._is_closing, timeout_seconds)

    def _fresh(self, job: Job) -> Job:
        with self._changed:
            desk = self._desks.get(job.job_id)
        return job if desk is None or job.state is not JobState.RUNNING else replace(job, progress=desk.progress)

    def _note(self) -> None:
        """Wake whoever waits, and tell the gauges."""
        with self._changed:
            for state, count in self.store.counts().items():
                self._metrics.job_counted(state, count)
        self.stir()

    def note_frames(self, frames: int) -> None:
        """Count results that were laid down, and wake whoever waits for them."""
        self._metrics.job_frames(frames)
        self.stir()

    def stir(self) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def _serve(self) -> None:
        while not self._is_closing:
            version = self.version()
            try:
                job = self.store.claim()
                self.sweep()
            except Exception:
                _log.exception("jobs wait")
                job = None
            if job is None:
                self.wait(version, _SWEEP_SECONDS)
            else:
                self._run(job)

    def _run(self, job: Job) -> None:
        desk = Desk(job, self)
        with self._changed:
            self._desks[job.job_id] = desk
            is_late = self._is_closing
        if is_late or self.store.get(job.job_id).is_cancel_asked:
            desk.stop()  # who asked did so before the desk was there
        self._note()
        try:
            self._settle(desk, self._outcome(desk))
        except Exception:
            _log.exception("job %s: its end cannot be noted; it runs again when the server does", job.job_id)
        finally:
            with self._changed:
                del self._desks[job.job_id]
            self._note()

    def _outcome(self, desk: Desk) -> JobEnd | None:
        """How the job ended; None: it goes on another time."""
        job = desk.job
        if job.attempts > self.settings.attempts:
            return JobEnd(
                JobState.FAILED, f"the server ended {job.attempts - 1} times while it ran this job", _INTERNAL
            )
        try:
            if not self.results.cut(job.job_id, job.progress.result_bytes) or job.checkpoint is None:
                desk.restart()
            return self._work(desk)
        except Stopped:
            return None
        except OutputError as error:
            return JobEnd(JobState.FAILED, str(error), _RESOURCE_EXHAUSTED)
        except AcfdError as error:
            return JobEnd(JobState.FAILED, str(error), self._code_of(error))
        except Exception as error:
            _log.exception("job %s failed", job.job_id)
            return JobEnd(JobState.FAILED, f"{type(error).__name__}: {error}", _INTERNAL)

    def _settle(self, desk: Desk, end: JobEnd | None) -> None:
        job_id = desk.job.job_id
        if end is None and self.store.get(job_id).is_cancel_asked:
            end = JobEnd(JobState.CANCELLED)
        if end is None:
            self.store.put_back(job_id)
        else:
            self.store.finish(job_id, end, desk.progress)
            self.sweep(is_due=True)

    def sweep(self, is_due: bool = False) -> None:
        """Forget finished jobs that are beyond the bounds."""
        if not is_due and time.monotonic() - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        settings = self.settings
        surplus = self.store.surplus(settings.kept, settings.result_bytes, settings.kept_seconds)
        self.store.forget(surplus)
        for job_id in surplus:
            self.results.forget(job_id)
        if surplus:
            self._note()
