"""One attempt at a job: what its recording is given, and how the job ended with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from acfd_stream.errors import AcfdError, DecoderError, DecoderMemoryError, OutputError
from acfd_stream.metrics import Metrics
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.lines import Lines
from acfd_stream.recording.record import Recording
from acfd_stream.recording.task import RecordingProgress, RecordingState
from acfd_stream.service.jobs.checkpoint import JobCheckpoint
from acfd_stream.service.jobs.record import Job, JobEnd
from acfd_stream.service.jobs.results import JobLines, JobResults
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.jobs.waiting import wait_reason
from acfd_stream.service.settings import JobSettings
from acfd_stream.types import FrameResult, JobState

_log = logging.getLogger(__name__)
_DEADLINE_EXCEEDED = 4  # google.rpc.Code
INTERNAL = 13
RESOURCE_EXHAUSTED = 8
_DATA_LOSS = 15


@dataclass
class JobContext:
    """What the recording of one running job is given."""

    job: Job
    lines: Lines
    views: Lines
    """Of tracks, where the request keeps them."""
    checkpoints: JobCheckpoint
    describe: Callable[[bytes, int | None], None]
    """Takes, before the first result, the message that its readers get first, and the expected frames."""
    on_progress: Callable[[RecordingProgress, FrameResult], None]
    cancellation: Cancellation = field(default_factory=Cancellation)
    is_crashed: bool = False
    """The process of its decoder ended; the job runs again, and this counts as an attempt."""


RecordJob = Callable[[JobContext], Recording]
"""Records the video of a job, from its checkpoint if it has one. Raises AcfdError where that fails."""


@dataclass(frozen=True)
class JobAttempts:
    """Makes attempts at the jobs of a store."""

    store: JobStore
    results: JobResults
    record_job: RecordJob
    settings: JobSettings
    code_of: Callable[[BaseException], int]
    """The google.rpc.Code of an error that fails a job."""
    metrics: Metrics
    on_start: Callable[[str, RecordingProgress], None]
    """Called with the job's id and where it begins, and again when its expected frames are known."""
    on_frame: Callable[[str, RecordingProgress], None]
    """Called after every result."""
    on_saved: Callable[[str], None]
    """Called after every checkpoint."""

    def context(self, job: Job, cancellation: Cancellation) -> JobContext:
        """What a recording of ``job`` is given, to begin where the job stands.

        Raises:
            StoreTrouble: the store cannot be read now.
        """
        job_id = job.job_id

        def describe(start: bytes, expected_frames: int | None) -> None:
            if expected_frames is not None and not 0 <= expected_frames < 2**63:
                expected_frames = None  # a container may claim anything
            self.on_start(job_id, RecordingProgress(expected_frames=expected_frames))
            self.store.describe(job_id, start, expected_frames)

        def on_progress(progress: RecordingProgress, result: FrameResult) -> None:
            self.metrics.job_frames.inc(1)
            self.metrics.damaged.inc(result.is_damaged)
            self.metrics.links(result.links)
            self.on_frame(job_id, progress)

        if job.is_cancel_asked:
            cancellation.cancel()  # it was asked for before the job ran
        self.on_start(job_id, job.progress)
        lines = self.results.lines_of(job_id)
        if isinstance(lines, JobLines) and job.checkpoint is not None:
            lines.expected = self.store.digests(job_id)
        interval_seconds = self.settings.checkpoint_seconds
        checkpoints = JobCheckpoint(self.store, job, lines, interval_seconds, lambda: self.on_saved(job_id))
        views = self.results.views_of(job_id)
        return JobContext(job, lines, views, checkpoints, describe, on_progress, cancellation)

    def outcome(self, context: JobContext) -> JobEnd | None:
        """How the job ended; None: it continues another time. Raises what ``wait_reason`` knows."""
        job, most_seconds = context.job, self.settings.most_seconds
        if job.attempts > self.settings.attempts:
            return JobEnd(JobState.FAILED, f"the server ended {job.attempts - 1} times while it ran this job", INTERNAL)
        try:
            with _cancelling_after(most_seconds - job.worked_seconds, context.cancellation) as is_late:
                recording = self.record_job(context)
        except Exception as error:
            if wait_reason(error) is not None:
                raise
            context.is_crashed = _is_crash(error) and job.attempts < self.settings.attempts
            if context.is_crashed:
                _log.warning("job %s runs again: %s", job.job_id, error)
                return None
            return self._failure(job, error)
        finally:
            context.lines.close()
        end = recording.end
        if recording.state is RecordingState.CANCELLED:
            text = f"it ran for longer than jobs.most_seconds = {most_seconds:g}; its results so far are kept"
            return JobEnd(JobState.FAILED, text, _DEADLINE_EXCEEDED) if is_late() else None
        if recording.state is RecordingState.BROKEN:
            return JobEnd(JobState.FAILED, end.error or "the video is incomplete", _DATA_LOSS, end.warnings)
        self.metrics.gaps(end.gaps)
        return JobEnd(JobState.DONE, warnings=end.warnings, gaps=end.gaps)

    def _failure(self, job: Job, error: Exception) -> JobEnd:
        if isinstance(error, OutputError):
            return JobEnd(JobState.FAILED, str(error), RESOURCE_EXHAUSTED)
        if isinstance(error, AcfdError):
            return JobEnd(JobState.FAILED, str(error), self.code_of(error))
        _log.error("job %s failed", job.job_id, exc_info=error)
        return JobEnd(JobState.FAILED, f"{type(error).__name__}: {error}", INTERNAL)


def _is_crash(error: Exception) -> bool:
    return isinstance(error, DecoderError) and not isinstance(error, DecoderMemoryError)


@contextmanager
def _cancelling_after(seconds: float, cancellation: Cancellation) -> Iterator[Callable[[], bool]]:
    """Cancel after ``seconds``; gives a function that says whether it came to that."""
    late = threading.Event()

    def end() -> None:
        late.set()
        cancellation.cancel()

    timer = threading.Timer(min(max(seconds, 0.0), threading.TIMEOUT_MAX), end)
    timer.daemon = True
    timer.start()
    try:
        yield late.is_set
    finally:
        timer.cancel()
