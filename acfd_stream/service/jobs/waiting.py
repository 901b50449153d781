"""What a job waits for instead of failing: trouble of the machine or of the job store, which passes."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acfd_stream.errors import OutputError, causes
from acfd_stream.metrics import JobWait, Metrics

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
_WORDS = {
    JobWait.NO_ROOM: "no room left",
    JobWait.LOCKED: "another process has locked the job store",
    JobWait.STORAGE: "the storage does not work",
    JobWait.DAMAGED: "the job store is damaged",
    JobWait.DESCRIPTORS: "too many files are open",
    JobWait.MEMORY: "no memory is free",
}
_OF_STORE = (JobWait.NO_ROOM, JobWait.LOCKED, JobWait.STORAGE, JobWait.DAMAGED)
_ANYWHERE = {errno.EMFILE: JobWait.DESCRIPTORS, errno.ENFILE: JobWait.DESCRIPTORS, errno.ENOMEM: JobWait.MEMORY}
ERRNOS = {errno.ENOSPC: JobWait.NO_ROOM, errno.EDQUOT: JobWait.NO_ROOM, **_ANYWHERE}
"""Errors of the file system that pass by themselves; see ``storage_reason``."""
_log = logging.getLogger(__name__)


class StoreTrouble(OutputError):
    """The job store cannot be read or written now; nothing was changed. A later try may succeed."""

    def __init__(self, message: str, reason: JobWait) -> None:
        super().__init__(message)
        self.reason = reason


def wait_reason(error: BaseException) -> JobWait | None:
    """What to wait for before the work that ended with ``error`` is tried again; None: a later try gives the same.

    Descriptors and memory may be missing anywhere. An error of the file system counts where results are written; that
    of a video that cannot be read is the video's.
    """
    is_output = isinstance(error, OutputError)
    for cause in causes(error):
        if isinstance(cause, StoreTrouble):
            return cause.reason
        if isinstance(cause, MemoryError) or "can't start new thread" in str(cause):
            return JobWait.MEMORY
        if isinstance(cause, OSError):
            found = _ANYWHERE.get(cause.errno or 0)
            if found is None and is_output and cause.errno != errno.EFBIG:
                found = storage_reason(cause)
            if found is not None:
                return found
    return None


def storage_reason(error: OSError) -> JobWait:
    """What an error of the file system means for who writes or reads stored results."""
    return ERRNOS.get(error.errno or 0, JobWait.STORAGE)


def is_of_store(reason: JobWait) -> bool:
    """Whether no other job could do better: all write to the same folder."""
    return reason in _OF_STORE


def pauses() -> Iterator[float]:
    """Seconds between tries, longer and longer."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True)
class _Wait:
    reason: JobWait
    began_at: float


class Waits:
    """Which jobs wait, and why: one line in the log when a wait begins and one when it ends, and a gauge.

    They are in memory, because a full disk takes no note of them. Thread-safe.

    Args:
        folder: of the job store; None: it is in memory.
        metrics: with the gauge.
    """

    def __init__(self, folder: Path | None, metrics: Metrics) -> None:
        self._folder, self._metrics = folder, metrics
        self._turn = threading.Lock()
        self._waits: dict[str, _Wait] = {}

    def begin(self, job_id: str, reason: JobWait, error: BaseException) -> None:
        """A job waits; a later reason replaces the one before without a line. The id "" stands for the queue."""
        with self._turn:
            before = self._waits.get(job_id)
            self._waits[job_id] = _Wait(reason, time.monotonic() if before is None else before.began_at)
            self._tell()
        if before is None:
            _log.warning("%s: %s (%s); trying again", _name(job_id), self.text(job_id), error)

    def end(self, job_id: str, *, is_stored: bool = True) -> None:
        """A job goes on; no line where it did not wait.

        Args:
            job_id: of the job.
            is_stored: the store has been written, else it did something without it.
        """
        with self._turn:
            wait = self._waits.get(job_id)
            if wait is None or (is_of_store(wait.reason) and not is_stored):
                return
            del self._waits[job_id]
            self._tell()
        _log.info("%s goes on after %.1f s", _name(job_id), time.monotonic() - wait.began_at)

    def text(self, job_id: str) -> str:
        """Why the job waits, as its callers read it; empty: it does not wait."""
        with self._turn:
            wait = self._waits.get(job_id)
        if wait is None:
            return ""
        where = f" in {self._folder}" if self._folder is not None and wait.reason is JobWait.NO_ROOM else ""
        return f"waiting: {_WORDS[wait.reason]}{where}"

    def _tell(self) -> None:
        reasons = [wait.reason for wait in self._waits.values()]
        for reason in JobWait:
            self._metrics.jobs_waiting.of(reason).set(reasons.count(reason))


def _name(job_id: str) -> str:
    return f"job {job_id}" if job_id else "the job queue"
