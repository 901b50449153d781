"""The workers of the job service: threads that take waiting jobs, record them, and store how they ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from acfd_stream.errors import AcfdError, OutputError
from acfd_stream.metrics import Metrics
from acfd_stream.places import NEWCOMERS
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.checkpoint import CheckpointStore
from acfd_stream.recording.lines import Lines
from acfd_stream.recording.record import Recording
from acfd_stream.recording.task import RecordingProgress, RecordingState
from acfd_stream.service.jobs.by_caller import LimitsOf, OpenLimits, no_limits
from acfd_stream.service.jobs.checkpoint import JobCheckpoint
from acfd_stream.service.jobs.record import Job, JobEnd
from acfd_stream.service.jobs.results import JobResults
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.settings import JobSettings
from acfd_stream.types import FrameResult, JobState

_log = logging.getLogger(__name__)
_INTERNAL = 13  # google.rpc.Code
_RESOURCE_EXHAUSTED = 8
_DATA_LOSS = 15
_SWEEP_SECONDS = 60.0
_TURN_CHECK_SECONDS = 1.0
_TOO_LARGE = "its results were dropped: those of its caller exceed their share of jobs.kept_bytes; run fewer at once"


@dataclass
class JobContext:
    """What the recording of one running job is given."""

    job: Job
    lines: Lines
    checkpoints: CheckpointStore
    describe: Callable[[bytes, int | None], None]
    """Takes, before the first result, the message that its readers get first, and the expected frames."""
    on_progress: Callable[[RecordingProgress, FrameResult], None]
    cancellation: Cancellation = field(default_factory=Cancellation)


@dataclass
class _Running:
    """A job that runs."""

    caller: str
    cancellation: Cancellation
    began_at: float = field(default_factory=time.monotonic)
    gives_way: bool = False  # it was cancelled to wait again


RecordJob = Callable[[JobContext], Recording]
"""Records the video of a job, from its checkpoint if it has one. Raises AcfdError where that fails."""


class JobRunner:
    """Workers over a store; a context manager. Give it a thread with ``start``."""

    def __init__(
        self,
        store: JobStore,
        results: JobResults,
        record_job: RecordJob,
        settings: JobSettings,
        *,
        code_of: Callable[[BaseException], int] = lambda error: _INTERNAL,
        metrics: Metrics | None = None,
        limits_of: LimitsOf = no_limits,
        newcomers: float = NEWCOMERS,
    ) -> None:
        self.store, self.results, self.settings, self._record_job = store, results, settings, record_job
        self._code_of, self._metrics = code_of, metrics or Metrics.none()
        self._limits_of, self._newcomers = limits_of, newcomers
        self._changed = threading.Condition()
        self._version = 0  # of everything that a waiting reader may look at
        self.is_closing = False  # no job begins any more
        self._running: dict[str, _Running] = {}
        self._too_large: set[str] = set()  # running jobs that end because of their share
        self._progress: dict[str, RecordingProgress] = {}  # of running jobs
        self._threads: list[threading.Thread] = []
        self._swept_at = -_SWEEP_SECONDS

    def start(self) -> None:
        """Take up what was left, clear what nobody knows any more, and begin to work."""
        self.store.recover()
        for job_id in self.results.ids() - self.store.ids():
            self.results.forget(job_id)
        self.sweep(is_due=True)
        self._note()
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
        with self._changed:
            progress = self._progress.get(job.job_id)
        return job if progress is None or job.state is not JobState.RUNNING else replace(job, progress=progress)

    def _note(self) -> None:
        """Wake whoever waits, and tell the gauges."""
        with self._changed:
            for state, count in self.store.counts().items():
                self._metrics.jobs.of(state).set(count)
        self.stir()

    def stir(self) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def _serve(self) -> None:
        while not self.is_closing:
            version = self.version()
            try:
                job = self.store.claim(self._limits_of)
                self.sweep()
            except Exception:
                _log.exception("jobs wait")
                job = None
            if job is None:
                self.wait(version, _SWEEP_SECONDS)
            else:
                self._run(job)

    def _run(self, job: Job) -> None:
        context = self._context(job)
        with self._changed:
            self._running[job.job_id] = _Running(job.caller, context.cancellation)
            is_late = self.is_closing
        if is_late or self.store.get(job.job_id).is_cancel_asked:
            context.cancellation.cancel()  # it was asked for before the job was in ``_running``
        self._note()
        try:
            self._settle(context, self._outcome(context))
        except Exception:
            _log.exception("job %s: its end cannot be noted; it runs again when the server does", job.job_id)
        finally:
            context.lines.close()
            with self._changed:
                del self._running[job.job_id]
                self._progress.pop(job.job_id, None)
                self._too_large.discard(job.job_id)
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
            try:
                oldest.gives_way = self.store.is_awaited(oldest.caller, self._limits_of)
            except Exception:
                _log.exception("no job gives way")
            if oldest.gives_way:
                oldest.cancellation.cancel()

    def _context(self, job: Job) -> JobContext:
        def describe(start: bytes, expected_frames: int | None) -> None:
            if expected_frames is not None and not 0 <= expected_frames < 2**63:
                expected_frames = None  # a container may claim anything
            show(RecordingProgress(expected_frames=expected_frames))
            self.store.describe(job.job_id, start, expected_frames)

        def on_progress(progress: RecordingProgress, result: FrameResult) -> None:
            show(replace(progress, expected_frames=self._progress[job.job_id].expected_frames))
            self._metrics.job_frames.inc(1)
            self._metrics.damaged.inc(result.is_damaged)
            self.stir()
            self.sweep()

        def show(progress: RecordingProgress) -> None:
            with self._changed:
                self._progress[job.job_id] = progress

        show(job.progress)
        checkpoints = JobCheckpoint(self.store, job, self.settings.checkpoint_seconds)
        return JobContext(job, self.results.lines_of(job.job_id), checkpoints, describe, on_progress)

    def _outcome(self, context: JobContext) -> JobEnd | None:
        """How the job ended; None: it continues another time."""
        job = context.job
        if job.attempts > self.settings.attempts:
            return JobEnd(
                JobState.FAILED, f"the server ended {job.attempts - 1} times while it ran this job", _INTERNAL
            )
        try:
            recording = self._record_job(context)
        except OutputError as error:
            return JobEnd(JobState.FAILED, str(error), _RESOURCE_EXHAUSTED)
        except AcfdError as error:
            return JobEnd(JobState.FAILED, str(error), self._code_of(error))
        except Exception as error:
            _log.exception("job %s failed", job.job_id)
            return JobEnd(JobState.FAILED, f"{type(error).__name__}: {error}", _INTERNAL)
        end = recording.end
        if recording.state is RecordingState.CANCELLED:
            return None
        if recording.state is RecordingState.BROKEN:
            return JobEnd(JobState.FAILED, end.error or "the video is incomplete", _DATA_LOSS, end.warnings)
        self._metrics.gaps(end.gaps)
        return JobEnd(JobState.DONE, warnings=end.warnings, gaps=end.gaps)

    def _settle(self, context: JobContext, end: JobEnd | None) -> None:
        job_id = context.job.job_id
        if end is None and self.store.get(job_id).is_cancel_asked:
            end = JobEnd(JobState.CANCELLED)
        if end is None and job_id in self._too_large:
            end = JobEnd(JobState.FAILED, _TOO_LARGE, _RESOURCE_EXHAUSTED)
            context.lines.truncate(0)  # else the job itself would have to go, and nobody could read why
        if end is None:
            self.store.put_back(job_id)
        else:
            self.store.finish(job_id, end, replace(self._progress[job_id], result_bytes=context.lines.size))
            self.sweep(is_due=True)

    def sweep(self, is_due: bool = False) -> None:
        """Forget finished jobs that are beyond the bounds."""
        if not is_due and time.monotonic() - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        settings = self.settings
        surplus = self.store.surplus(settings.kept, settings.result_bytes, settings.kept_seconds, self._limits_of)
        self.store.forget(surplus.forgotten)
        for job_id in surplus.forgotten:
            self.results.forget(job_id)
        with self._changed:
            ended = {job_id: self._running[job_id] for job_id in surplus.ended if job_id in self._running}
            self._too_large |= ended.keys()
        for running in ended.values():
            running.cancellation.cancel()
        if surplus.forgotten:
            self._note()
