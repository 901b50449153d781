"""What the service remembers of one job, and what may be asked of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acfd_stream.config import require
from acfd_stream.errors import AcfdError
from acfd_stream.types import JobState

"""Nothing of a job changes any more."""


class JobConflict(AcfdError):
    """The idempotency key belongs to a job with another request."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"idempotency key {key!r} belongs to job {job_id}, whose request is another one")
        self.key = key
        self.job_id = job_id


class JobNotFound(AcfdError):
    """There is no such job, or it was too old to keep."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job has come."""

    frames: int = 0
    tracks: int = 0
    result_bytes: int = 0  # whole lines of results
    expected_frames: int | None = None  # as the container claims


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended."""

    state: JobState
    error: str = ""
    code: int = 0  # a google.rpc.Code; 0 without an error
    warnings: tuple[str, ...] = ()


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
    progress: JobProgress
    is_cancel_asked: bool
    attempts: int  # starts since a checkpoint was last saved
    checkpoint: bytes | None
    start: bytes | None  # what was known before the first result, as it is sent; None: nothing yet
    error: str
    error_code: int
    warnings: tuple[str, ...]


MEMORY_BYTES = 256 * 2**20
"""Most bytes of results that are kept without a folder for them."""


@dataclass(frozen=True)
class JobSettings:
    """How many jobs run, and how long their results are kept."""

    state_dir: Path | None = None
    """Folder for jobs and their results, created if missing; None: in memory, lost with the process."""
    workers: int = 1
    """Jobs that run concurrently, 1 … 64."""
    open: int = 1000
    """Maximum jobs that wait or run, >= 1; further ones are refused."""
    kept: int = 10_000
    """Maximum finished jobs that are kept, >= 1; the oldest are deleted first."""
    kept_bytes: int = 4 * 2**30
    """Maximum bytes of results, >= 1 MiB, in memory at most 256 MiB; the oldest finished jobs are deleted first."""
    kept_seconds: float = 30 * 86400.0
    """Age at which a finished job is deleted, seconds, > 0."""
    checkpoint_seconds: float = 10.0
    """Time between checkpoints of a running job, seconds, > 0; a killed server repeats at most this much work."""
    attempts: int = 3
    """Starts of a job without a new checkpoint before it fails, >= 1."""
    result_streams: int = 8
    """Maximum concurrent streams of results, >= 1."""

    def __post_init__(self) -> None:
        require(1 <= self.workers <= 64, "workers", self.workers, "in 1 … 64")
        for name in ("open", "kept", "attempts", "result_streams"):
            require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        require(self.kept_bytes >= 2**20, "kept_bytes", self.kept_bytes, ">= 1048576")
        for name in ("kept_seconds", "checkpoint_seconds"):
            require(getattr(self, name) > 0, name, getattr(self, name), "> 0")

    @property
    def result_bytes(self) -> int:
        """Most bytes of results where they are kept."""
        return self.kept_bytes if self.state_dir is not None else min(self.kept_bytes, MEMORY_BYTES)
