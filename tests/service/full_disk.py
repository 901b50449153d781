"""Jobs on a disk that fills up at a moment and has room again later: a program that prints what came of it.

python -m tests.service.full_disk FOLDER MOMENT
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.metrics import JobWait
from acfd_stream.recording.record import Recording
from acfd_stream.service.jobs import waiting
from acfd_stream.service.jobs.attempts import JobContext
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.jobs.waiting import StoreTrouble
from acfd_stream.types import JobState
from tests.service.job_fixture import EAGER, CountingWork, JobFixture

DISK_BYTES = 8 * 2**20
MOMENTS = ("submit", "line", "finish", "start")
LINES = b"300"
WHOLE = b"".join(b"%d\n" % number for number in range(int(LINES)))
_LARGE = b"0" * 6 * 2**20  # a request that surely takes room


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """The disk of ``folder`` has no room inside."""
    path = folder / "filled"
    with path.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(b"x" * 4096)
    yield
    path.unlink()


class Work(CountingWork):
    """Counts, and stops at a moment until the disk is full."""

    def __init__(self, moment: str) -> None:
        super().__init__(held=2 if moment == "line" else 10**9)
        self.moment, self.reached, self.may_end = moment, threading.Event(), threading.Event()

    def __call__(self, context: JobContext) -> Recording:
        recording = super().__call__(context)
        if self.moment == "finish":
            self.reached.set()
            self.may_end.wait(20)
        return recording


def main(folder: Path, moment: str) -> None:
    """Run two jobs, the second of which is submitted when the disk has room again."""
    waiting.FIRST_PAUSE_SECONDS, waiting.LONGEST_PAUSE_SECONDS = 0.05, 0.2
    log = _Log()
    logging.getLogger().addHandler(log)
    logging.getLogger().setLevel(logging.INFO)
    fixture, first = _started(folder) if moment == "start" else _ran(folder, moment)
    with closing(fixture):
        jobs = [first, fixture.submit(LINES)]
        states = [fixture.end_of(job_id).state.value for job_id in jobs]
        stored = [fixture.results.lines_of(job_id).read(0, 10**6)[1] == WHOLE for job_id in jobs]
    print(json.dumps({"states": states, "are_whole": stored, "waits": log.waits, "tracebacks": log.tracebacks}))


def _started(folder: Path) -> tuple[JobFixture, str]:
    """A server that started while the disk was full, and the job that it found."""
    with JobStore(folder) as before:
        first = before.submit("ann", "", LINES, 10)[0].job_id
    with full(folder):
        fixture = JobFixture(CountingWork(), folder, replace(EAGER, state_dir=folder))
        _require_refusal(fixture)
    return fixture, first


def _ran(folder: Path, moment: str) -> tuple[JobFixture, str]:
    """A server whose disk was full when its first job was at ``moment``, and that job."""
    work = Work(moment)
    fixture = JobFixture(work, folder, replace(EAGER, state_dir=folder))
    first = fixture.submit(LINES)
    if moment == "line":
        fixture.until(first, lambda job: job.progress.frames == 2)
    elif moment == "finish":
        work.reached.wait(20)
    else:
        fixture.end_of(first)
    with full(folder):
        work.gate.release(10**6)
        work.may_end.set()
        if moment == "submit":
            _require_refusal(fixture)
        elif moment == "line":
            fixture.until(first, lambda job: job.waiting == f"waiting: no room left in {folder}")
        else:  # the store may find room in what it has
            fixture.until(first, lambda job: bool(job.waiting) or job.state is JobState.DONE)
    return fixture, first


def _require_refusal(fixture: JobFixture) -> None:
    with pytest.raises(StoreTrouble) as caught:
        fixture.submit(_LARGE)
    assert caught.value.reason is JobWait.NO_ROOM


class _Log(logging.Handler):
    """Counts waits that began, less those that ended, and tracebacks."""

    waits = tracebacks = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.waits += "waiting:" in record.getMessage()
        self.waits -= "goes on after" in record.getMessage()
        self.tracebacks += record.exc_info is not None


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
