"""The workers of the job service: threads that take waiting jobs, record them, and store how they ended.

Where the disk is full, the store is locked or the machine lacks something, a worker waits and tries again: with its
job from the last checkpoint, or with the one statement that failed. Nothing of it ends a job.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from acfd_stream.errors import OutputError
from acfd_stream.metrics import JobWait, Metrics
from acfd_stream.places import NEWCOMERS
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.jobs.attempts import INTERNAL, RESOURCE_EXHAUSTED, JobAttempts, JobContext, RecordJob
from acfd_stream.service.jobs.by_caller import LimitsOf, OpenLimits, no_limits
from acfd_stream.service.jobs.record import Job, JobEnd
from acfd_stream.service.jobs.results import JobResults
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.jobs.waiting import StoreTrouble, Waits, is_of_store, pauses, wait_reason
from acfd_stream.service.settings import JobSettings
from acfd_stream.types import FINAL_STATES, JobState

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SWEEP_SECONDS = 60.0
_TURN_CHECK_SECONDS = 1.0
_TOO_LARGE = "its results were dropped: those of its caller exceed their share of jobs.kept_bytes; run fewer at once"
_HELD_SECONDS = 60.0  # a worker waits so long with a job that lacks what another job may not need
_QUEUE = ""  # stands for a job's id where no job is known yet


@dataclass
class _Running:
    """A job that runs."""

    caller: str
    cancellation: Cancellation
    began_at: float = field(default_factory=time.monotonic)
    gives_way: bool = False  # it was cancelled to wait again


class JobRunner:
    """Workers over a store; a context manager. Give it a thread with ``start``."""

    def __init__(
        self,
        store: JobStore,
        results: JobResults,
        record_job: RecordJob,
        settings: JobSettings,
        *,
        code_of: Callable[[BaseException], int] = lambda error: INTERNAL,
        metrics: Metrics | None = None,
        limits_of: LimitsOf = no_limits,
        newcomers: float = NEWCOMERS,
        is_memory_short: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.results, self.settings = store, results, settings
        self._metrics = metrics or Metrics.none()
        self._limits_of, self._newcomers = limits_of, newcomers
        self._is_memory_short = is_memory_short
        self._changed = threading.Condition()
        self._version = 0  # of everything that a waiting reader may look at
        self.is_closing = False  # no job begins any more
        self._running: dict[str, _Running] = {}
        self._too_large: set[str] = set()  # running jobs that end because of their share
        self._progress: dict[str, RecordingProgress] = {}  # of running jobs
        self._threads: list[threading.Thread] = []
        self._swept_at = -_SWEEP_SECONDS
        self._waits = Waits(settings.state_dir, self._metrics)
        self._attempts = JobAttempts(
            store,
            results,
            record_job,
            settings,
            code_of,
            self._metrics,
            on_start=self._show,
            on_frame=self._note_frame,
            on_saved=self._waits.end,
        )
        self._taking_up, self._is_taken_up = threading.Lock(), False

    def start(self) -> None:
        """Requeue jobs that ran, set aside results of unknown jobs, and start the workers.

        Where the store is in trouble, a worker does the first two later.
        """
        try:
            self._take_up()
        except StoreTrouble as trouble:
            self._waits.begin(_QUEUE, trouble.reason, trouble)
        workers = [(self._serve, f"acfd-job-{number}") for number in range(self.settings.workers)]
        for target, name in [*workers, (self._end_turns, "acfd-job-turns")]:
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, patience_seconds: float = 10.0) -> bool:
        """Stop all jobs at their last checkpoint, to go on when a server starts; whether all stopped in time."""
        with self._changed:
            self.is_closing = True
            running = list(self._running.values())
        self.stir()
        for each in running:
            each.cancellation.cancel()
        until = time.monotonic() + patience_seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> JobRunner:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def submit(self, owner: str, key: str, request: bytes, caller: str | None = None) -> Job:
        """The job of ``request``, new or known by its key; see ``JobStore.submit``."""
        most_queued = self._limits_of(owner if caller is None else caller).queued_jobs
        limits = OpenLimits(self.settings.result_bytes, most_queued, self._newcomers)
        job, is_new = self.store.submit(owner, key, request, self.settings.open, caller, limits)
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
            running = self._running.get(job_id)
        if running is not None and job.is_cancel_asked:
            running.cancellation.cancel()
        self._note()
        return self._fresh(job)

    def version(self) -> int:
        """Rises with every change; take it before looking, then ``wait`` for a later one."""
        with self._changed:
            return self._version

    def wait(self, version: int, timeout_seconds: float) -> None:
        """Return when something has changed since ``version``, or after ``timeout_seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version or self.is_closing, timeout_seconds)

    def _fresh(self, job: Job) -> Job:
        """``job`` with the progress of this moment, and what it waits for."""
        if job.state in FINAL_STATES:
            return job
        with self._changed:
            progress = self._progress.get(job.job_id)
        if progress is not None and job.state is JobState.RUNNING:
            job = replace(job, progress=progress)
        waiting = self._waits.text(job.job_id)
        if job.state is JobState.QUEUED:
            waiting = waiting or self._waits.text(_QUEUE)
        return replace(job, waiting=waiting)

    def _note(self) -> None:
        """Wake whoever waits, and tell the gauges."""
        with suppress(StoreTrouble):
            counts = self.store.counts()
            with self._changed:
                for state, count in counts.items():
                    self._metrics.jobs.of(state).set(count)
        self.stir()

    def stir(self) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def _take_up(self) -> None:
        """Once: jobs that ran wait again, and results of unknown jobs go where nothing deletes them."""
        with self._taking_up:
            if self._is_taken_up:
                return
            self.store.recover()
            unknown = self.results.ids() - self.store.ids()
            try:
                moved = [path for path in map(self.results.set_aside, sorted(unknown)) if path is not None]
            except OutputError as error:
                _log.warning("%d results of jobs that are not known stay where they are: %s", len(unknown), error)
            else:
                if moved:
                    _log.warning("%d results of jobs that are not known are in %s now", len(moved), moved[0].parent)
            self._is_taken_up = True
        self.sweep(is_due=True)
        self._note()

    def _serve(self) -> None:
        while not self.is_closing:
            version = self.version()
            try:
                job = self._patiently(_QUEUE, self._claim)
                if job is not None:
                    self._run(job)
                    continue
            except Exception as error:
                if not isinstance(error, OutputError):  # else the server stops, and has said what it waited for
                    _log.exception("a worker of the job queue tries again")
            self.sweep()
            self.wait(version, _SWEEP_SECONDS)

    def _claim(self) -> Job | None:
        self._take_up()
        if self._is_memory_short() and self.store.counts()[JobState.QUEUED]:
            raise StoreTrouble("the server uses more than its share of memory", JobWait.MEMORY)
        return self.store.claim(self._limits_of)

    def _patiently(self, job_id: str, work: Callable[[], T]) -> T:
        """What ``work`` gives, tried again while the store is in trouble.

        Raises:
            OutputError: the server stops.
        """
        for pause in pauses():
            try:
                done = work()
            except OutputError as trouble:
                reason = wait_reason(trouble)
                if reason is None or self.is_closing:
                    raise
                self._waits.begin(job_id, reason, trouble)
                self.stir()
            else:
                self._waits.end(job_id)
                return done
            with self._changed:
                self._changed.wait_for(lambda: self.is_closing, pause)
        raise AssertionError("pauses do not end")

    def _run(self, job: Job) -> None:
        cancellation = Cancellation()
        with self._changed:
            self._running[job.job_id] = _Running(job.caller, cancellation)
            self._progress[job.job_id] = job.progress
            is_late = self.is_closing
        if is_late:
            cancellation.cancel()
        self._note()
        try:
            self._record(job.job_id, cancellation)
        except OutputError as trouble:
            _log.warning("job %s goes on when the server starts again: %s", job.job_id, trouble)
        except Exception:
            _log.exception("job %s: its end cannot be noted; it runs again when the server does", job.job_id)
        finally:
            with self._changed:
                del self._running[job.job_id]
                self._progress.pop(job.job_id, None)
                self._too_large.discard(job.job_id)
            self._waits.end(job.job_id)
            self._note()

    def _end_turns(self) -> None:
        """Let a job that has had its turn wait again where a job of another caller waits for a worker."""
        until = time.monotonic()
        while not self.is_closing:
            with self._changed:
                until += _TURN_CHECK_SECONDS
                self._changed.wait_for(lambda: self.is_closing, until - time.monotonic())
                running = list(self._running.values())
            if len(running) < self.settings.workers or any(each.gives_way for each in running):
                continue
            oldest = min(running, key=lambda each: each.began_at)
            if time.monotonic() - oldest.began_at < self.settings.turn_seconds:
                continue
            with suppress(StoreTrouble):
                oldest.gives_way = self.store.is_awaited(oldest.caller, self._limits_of)
            if oldest.gives_way:
                oldest.cancellation.cancel()

    def _record(self, job_id: str, cancellation: Cancellation) -> None:
        """Record the job until it ends, is to end, or has waited for too long; store which."""
        context, waited_seconds = None, 0.0
        for pause in pauses():
            try:
                context = self._attempts.context(self.store.get(job_id), cancellation)
                end = self._attempts.outcome(context)
                break
            except Exception as error:
                reason = wait_reason(error)
                if reason is None:
                    raise
                self._waits.begin(job_id, reason, error)
                self.stir()
            if cancellation.wait(pause):
                end = None
                break
            waited_seconds += pause
            if waited_seconds > (self.settings.wait_seconds if is_of_store(reason) else _HELD_SECONDS):
                self._patiently(job_id, lambda: self.store.put_back(job_id, is_deferred=True))
                return
        self._patiently(job_id, lambda: self._settle(job_id, context, end))

    def _show(self, job_id: str, progress: RecordingProgress) -> None:
        with self._changed:
            self._progress[job_id] = progress

    def _note_frame(self, job_id: str, progress: RecordingProgress) -> None:
        self._show(job_id, replace(progress, expected_frames=self._progress[job_id].expected_frames))
        self._waits.end(job_id, is_stored=False)
        self.stir()
        self.sweep()

    def _settle(self, job_id: str, context: JobContext | None, end: JobEnd | None) -> None:
        lines = self.results.lines_of(job_id) if context is None else context.lines
        views = self.results.views_of(job_id)
        if end is None and self.store.get(job_id).is_cancel_asked:
            end = JobEnd(JobState.CANCELLED)
        if end is None and job_id in self._too_large:
            end = JobEnd(JobState.FAILED, _TOO_LARGE, RESOURCE_EXHAUSTED)
            for each in (lines, views):  # else the job itself would have to go, and nobody could read why
                if each.size:
                    each.truncate(0)
                each.close()
        if end is None:
            self.store.put_back(job_id, counts=context is not None and context.is_crashed)
            return
        digests = () if context is None else context.checkpoints.new_digests()
        self.store.finish(job_id, end, replace(self._progress[job_id], result_bytes=lines.size), digests, views.size)
        self.sweep(is_due=True)

    def sweep(self, is_due: bool = False) -> None:
        """Forget finished jobs that are beyond the bounds; another time, where the store is in trouble."""
        if not is_due and time.monotonic() - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        settings = self.settings
        try:
            surplus = self.store.surplus(settings.kept, settings.result_bytes, settings.kept_seconds, self._limits_of)
            for job_id in surplus.forgotten:  # first the results: they make room, and none is left that no job knows
                self.results.forget(job_id)
            self.store.forget(surplus.forgotten)
            self.store.note_uptime()
        except OutputError as error:
            _log.debug("finished jobs are forgotten later: %s", error)
            return
        with self._changed:
            ended = {job_id: self._running[job_id] for job_id in surplus.ended if job_id in self._running}
            self._too_large |= ended.keys()
        for running in ended.values():
            running.cancellation.cancel()
        if surplus.forgotten:
            self._note()
