"""A runner of jobs whose work can be held back, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from acfd_stream.metrics import Metrics
from acfd_stream.service.jobs.record import Job, JobEnd
from acfd_stream.service.jobs.results import FileResults, MemoryResults
from acfd_stream.service.jobs.runner import Desk, JobRunner, Stopped, Work
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.settings import JobSettings
from acfd_stream.types import FINAL_STATES, JobState

EAGER = JobSettings(checkpoint_seconds=1e-9)


class CountingWork:
    """Lays down the numbers 0 … request, waiting for ``gate`` before each from ``held`` on."""

    def __init__(self, held: int = 10**9) -> None:
        self.gate = threading.Semaphore(0)
        self.held = held
        self.began_at: list[int] = []

    def __call__(self, desk: Desk) -> JobEnd:
        first = int(desk.job.checkpoint or b"0")
        self.began_at.append(first)
        desk.on_stop(self.gate.release)
        for number in range(first, int(desk.job.request)):
            if number >= self.held:
                self.gate.acquire()
            if desk.is_stopped:
                raise Stopped
            desk.write(b"%d\n" % number, 1, 0)
            if desk.wants_checkpoint:
                desk.save(b"%d" % (number + 1))
        return JobEnd(JobState.DONE)


class Bench:
    """A runner, its store and its metrics, on a folder or in memory."""

    def __init__(self, work: Work, folder: Path | None = None, settings: JobSettings = EAGER) -> None:
        self.registry = CollectorRegistry()
        self.store = JobStore(folder)
        self.results = MemoryResults() if folder is None else FileResults(folder / "results")
        self.runner = JobRunner(
            self.store, self.results, work, settings, code_of=lambda error: 3, metrics=Metrics(self.registry)
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
