"""What the service remembers of one job, and what may be asked of all of them."""

from __future__ import annotations

from dataclasses import dataclass

from acfd_stream.errors import AcfdError
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.types import Gap, JobState


class JobConflict(AcfdError):
    """The idempotency key belongs to a job with another request."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"idempotency key {key!r} belongs to job {job_id}, whose request is another one")
        self.key = key
        self.job_id = job_id


class JobNotFound(AcfdError):
    """There is no such job, or it was too old to keep."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended."""

    state: JobState
    error: str = ""
    code: int = 0  # a google.rpc.Code; 0 without an error
    warnings: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One job as the store knows it."""

    job_id: str
    sequence: int  # rises with every submission, never used twice
    owner: str  # who submitted it; empty: nobody in particular
    request: bytes  # as submitted, without its key
    state: JobState
    created_seconds: float  # since the epoch, as are the other two
    started_seconds: float | None
    ended_seconds: float | None
    progress: RecordingProgress
    is_cancel_asked: bool
    attempts: int  # starts since a checkpoint was last saved
    checkpoint: bytes | None
    start: bytes | None  # what was known before the first result, as it is sent; None: nothing yet
    error: str
    error_code: int
    warnings: tuple[str, ...]
    gaps: int = 0  # holes in its video
    missing_seconds: float = 0.0  # in all of them
    caller: str = ""  # whose share it counts against
    worked_seconds: float = 0.0  # for which it has run, up to its last checkpoint
    waiting: str = ""  # why a job that waits or runs makes no progress; empty: it does
