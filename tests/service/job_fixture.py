"""A runner of jobs whose recording can be held back, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from prometheus_client import CollectorRegistry

from acfd_stream.errors import ResumeError
from acfd_stream.metrics import Metrics
from acfd_stream.outputs import ResultEnd
from acfd_stream.recording.checkpoint import Checkpoint
from acfd_stream.recording.record import Recording
from acfd_stream.recording.stats import RecordingStats
from acfd_stream.recording.task import RecordingProgress, RecordingState
from acfd_stream.service.access import resume_token
from acfd_stream.service.jobs.attempts import JobContext, RecordJob
from acfd_stream.service.jobs.record import Job
from acfd_stream.service.jobs.results import JobResults
from acfd_stream.service.jobs.runner import JobRunner
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.settings import JobSettings
from acfd_stream.types import FINAL_STATES, FrameResult

EAGER = JobSettings(checkpoint_seconds=1e-9)
DONE = Recording(RecordingState.DONE, ResultEnd(0))
CANCELLED = Recording(RecordingState.CANCELLED, ResultEnd(0))
ANY_RESULT = FrameResult(0, 0, Fraction(1, 25), 0.0, ())


def packed(number: int) -> bytes:
    """The checkpoint of ``CountingWork`` after so many lines, as the store has it."""
    return resume_token.pack({"session": {"next": number}, "lines": {}})


class CountingWork:
    """Writes the numbers 0 … request, waiting for ``gate`` before each from ``held`` on."""

    def __init__(self, held: int = 10**9) -> None:
        self.gate = threading.Semaphore(0)
        self.held = held
        self.began_at: list[int] = []

    def __call__(self, context: JobContext) -> Recording:
        saved = context.checkpoints.load()
        try:
            context.lines.truncate(0 if saved is None else saved.size)
        except ResumeError:  # as the recorder does
            saved = None
            context.checkpoints.clear()
            context.lines.truncate(0)
        first = 0 if saved is None else int(saved.session["next"])
        self.began_at.append(first)
        with context.cancellation.on_cancel(self.gate.release):
            for number in range(first, int(context.job.request)):
                if number >= self.held:
                    self.gate.acquire()
                if context.cancellation.is_cancelled:
                    return CANCELLED
                context.lines.append(b"%d\n" % number)
                context.lines.sync()
                size, stats = context.lines.size, RecordingStats(frames=number + 1)
                context.on_progress(RecordingProgress(frames=number + 1, result_bytes=size), ANY_RESULT)
                context.checkpoints.save(Checkpoint({"next": number + 1}, {}, size, stats))
        return DONE


class JobFixture:
    """A runner, its store and its metrics, on a folder or in memory."""

    def __init__(self, work: RecordJob, folder: Path | None = None, settings: JobSettings = EAGER) -> None:
        self.is_memory_short = False
        self.registry = CollectorRegistry()
        self.store = JobStore(folder)
        results = None if folder is None else folder / "results"
        self.results = JobResults(results, settings.result_bytes)
        self.runner = JobRunner(
            self.store,
            self.results,
            work,
            settings,
            code_of=lambda error: 3,
            metrics=Metrics(self.registry),
            is_memory_short=lambda: self.is_memory_short,
        )
        self.runner.start()

    def submit(self, request: bytes = b"3") -> str:
        return self.runner.submit("ann", "", request).job_id

    def until(self, job_id: str, holds: Callable[[Job], bool]) -> Job:
        return reached(self.runner, job_id, holds)

    def end_of(self, job_id: str) -> Job:
        return ended(self.runner, job_id)

    def gauge(self, state: str) -> float | None:
        return self.registry.get_sample_value("acfd_jobs", {"state": state})

    def close(self) -> None:
        assert self.runner.close()
        self.store.close()


def reached(runner: JobRunner, job_id: str, holds: Callable[[Job], bool]) -> Job:
    """The job as soon as it is such."""
    deadline = time.monotonic() + 20
    while True:
        version = runner.version()
        if holds(job := runner.get(job_id, None)):
            return job
        assert time.monotonic() < deadline, job
        runner.wait(version, 1.0)


def ended(runner: JobRunner, job_id: str) -> Job:
    """The job at its end."""
    return reached(runner, job_id, lambda job: job.state in FINAL_STATES)
