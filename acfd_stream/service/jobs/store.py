"""The jobs that are known, in SQLite: in a file that outlives the server, or in memory.

Every method may be called from any thread; one connection serves them in turn. A change is on disk when its
method returns, as far as a crash of the process goes; a power cut may lose the last moments, never the order.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.files import add_columns, lock_file, prepare_tables, transaction
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.jobs import by_caller
from acfd_stream.service.jobs.by_caller import LimitsOf, OpenLimits, no_limits
from acfd_stream.service.jobs.record import Job, JobConflict, JobEnd, JobNotFound
from acfd_stream.service.jobs.shares import Surplus, Turns, surplus_of
from acfd_stream.types import Closeable, JobState

SCHEMA_VERSION = 1
DATABASE = "jobs.sqlite3"
LOCK = "jobs.lock"
_SCHEMA = """
CREATE TABLE jobs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    key TEXT,
    digest BLOB NOT NULL,
    request BLOB NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    frames INTEGER NOT NULL DEFAULT 0,
    tracks INTEGER NOT NULL DEFAULT 0,
    result_bytes INTEGER NOT NULL DEFAULT 0,
    expected_frames INTEGER,
    is_cancel_asked INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    checkpoint BLOB,
    start BLOB,
    error TEXT NOT NULL DEFAULT '',
    error_code INTEGER NOT NULL DEFAULT 0,
    warnings TEXT NOT NULL DEFAULT '[]',
    gaps INTEGER NOT NULL DEFAULT 0,
    missing_seconds REAL NOT NULL DEFAULT 0,
    caller TEXT,
    UNIQUE (owner, key)
);
CREATE INDEX jobs_by_state ON jobs (state, sequence);
CREATE INDEX jobs_by_owner ON jobs (owner, sequence);
"""
# Of tables that were made before there were these columns.
_ADDED_COLUMNS = {
    "gaps": "INTEGER NOT NULL DEFAULT 0",
    "missing_seconds": "REAL NOT NULL DEFAULT 0",
    "caller": "TEXT",
}
_SAME_COLUMNS = (  # fields of a Job
    "job_id", "sequence", "owner", "request", "attempts", "checkpoint", "start", "error", "error_code", "gaps",
    "missing_seconds",
)  # fmt: skip
_PROGRESS_COLUMNS = ("frames", "expected_frames", "tracks", "result_bytes")
_NO_LIMITS = OpenLimits()
_OPEN = f"('{JobState.QUEUED.value}', '{JobState.RUNNING.value}')"


class JobStore(Closeable):
    """Jobs by their id, in the order in which they were submitted; a context manager."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Open the jobs of ``folder``, which must exist; None: none yet, in memory.

        Raises:
            ConfigError: the folder is in use by another server, cannot be written, or holds another format.
        """
        self._clock = clock
        self._turn = threading.Lock()
        self._turns = Turns()
        self._opened = ExitStack()
        try:
            is_ours = folder is None or self._opened.enter_context(lock_file(folder / LOCK, is_required=True))
            if not is_ours:
                raise OSError("another server uses it")  # two servers would run the same jobs twice
            path = ":memory:" if folder is None else os.fspath(folder / DATABASE)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.row_factory = sqlite3.Row
            self._prepare(path)
        except (OSError, OutputError, sqlite3.Error) as error:
            self._release()
            raise ConfigError(f"jobs.state_dir must be a folder of this server's own, got {folder}: {error}") from error
        except ConfigError:
            self._release()
            raise

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with self._turn:
            self._release()

    def submit(
        self,
        owner: str,
        key: str,
        request: bytes,
        most_open: int,
        caller: str | None = None,
        limits: OpenLimits = _NO_LIMITS,
    ) -> tuple[Job, bool]:
        """The new job of ``request``, or the one that was submitted with the same ``key``; and whether it is new.

        Args:
            owner: who asks; keys and jobs of different owners do not meet.
            key: idempotency key; empty: always a new job.
            request: what is asked, in a form in which equal requests have equal bytes.
            most_open: jobs that may wait or run, this one included.
            caller: whose share it counts against; None: the owner's.
            limits: of the jobs that wait or run, this one included.

        Raises:
            JobConflict: the key belongs to another request.
            OverloadedError: too many jobs wait or run.
            StatusError: RESOURCE_EXHAUSTED, too many jobs of the caller wait.
        """
        digest = hashlib.sha256(request).digest()
        with self._transaction() as database:
            if key:
                known = database.execute("SELECT * FROM jobs WHERE owner = ? AND key = ?", (owner, key)).fetchone()
                if known is not None:
                    if known["digest"] != digest:
                        raise JobConflict(key, known["job_id"])
                    return _job(known), False
            caller = owner if caller is None else caller
            by_caller.require_place(database, caller, len(request), most_open, limits)
            job_id = secrets.token_hex(12)
            database.execute(
                "INSERT INTO jobs (job_id, owner, key, digest, request, state, created, caller)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (job_id, owner, key or None, digest, request, JobState.QUEUED.value, self._clock(), caller),
            )
            return self._get(job_id), True

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """The job; ``owner`` None: whoever it belongs to.

        Raises:
            JobNotFound: no such job, or another owner's.
        """
        with self._turn:
            return self._get(job_id, owner)

    def page(
        self, owner: str | None, states: Sequence[JobState] = (), before: int | None = None, count: int = 100
    ) -> list[Job]:
        """At most ``count`` jobs, newest first, that were submitted before the job of sequence ``before``.

        New submissions come in front of the first page and never move what stands on the others.
        """
        wanted: list[str] = ["1"]
        values: list[str | int] = []
        if owner is not None:
            wanted.append("owner = ?")
            values.append(owner)
        if states:
            wanted.append(f"state IN ({', '.join('?' * len(states))})")
            values += [state.value for state in states]
        if before is not None:
            wanted.append("sequence < ?")
            values.append(before)
        query = f"SELECT * FROM jobs WHERE {' AND '.join(wanted)} ORDER BY sequence DESC LIMIT ?"
        with self._turn:
            return [_job(row) for row in self._database.execute(query, (*values, count))]

    def claim(self, limits_of: LimitsOf = no_limits) -> Job | None:
        """The next job, which runs from now on; None: none may run.

        Callers take turns, each with its oldest job, as far as ``limits_of`` them lets their jobs run.
        """
        with self._transaction() as database:
            running, waiting = by_caller.count_by_caller(database, JobState.RUNNING), self._ready(limits_of)
            caller = self._turns.next(waiting, running)
            if caller is None:
                return None
            database.execute(
                "UPDATE jobs SET state = ?, attempts = attempts + 1, started = COALESCE(started, ?) WHERE sequence = ?",
                (JobState.RUNNING.value, self._clock(), waiting[caller]),
            )
            self._turns.note(caller)
            return _job(database.execute("SELECT * FROM jobs WHERE sequence = ?", (waiting[caller],)).fetchone())

    def is_awaited(self, caller: str, limits_of: LimitsOf = no_limits) -> bool:
        """Whether a job waits of another caller, who runs fewer than ``caller``."""
        with self._turn:
            running = by_caller.count_by_caller(self._database, JobState.RUNNING)
            own = running.get(caller, 0)
            return any(running.get(other, 0) < own for other in self._ready(limits_of) if other != caller)

    def _ready(self, limits_of: LimitsOf) -> dict[str, int]:
        """Callers of whom another job may run → the sequence of their oldest that waits."""
        running = by_caller.count_by_caller(self._database, JobState.RUNNING)
        return {
            caller: sequence
            for caller, sequence in by_caller.oldest_by_caller(self._database).items()
            if running.get(caller, 0) < (limits_of(caller).running_jobs or math.inf)
        }

    def describe(self, job_id: str, start: bytes, expected_frames: int | None) -> None:
        """Note what is known of a running job before its first result."""
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET start = ?, expected_frames = ? WHERE job_id = ?", (start, expected_frames, job_id)
            )

    def save(self, job_id: str, progress: RecordingProgress, checkpoint: bytes | None) -> None:
        """Note how far a running job has come, and from where it can go on."""
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET frames = ?, tracks = ?, result_bytes = ?, checkpoint = ?,"
                " attempts = CASE WHEN ? IS NULL THEN attempts ELSE 0 END WHERE job_id = ? AND state = ?",
                (*_progress_values(progress), checkpoint, checkpoint, job_id, JobState.RUNNING.value),
            )

    def finish(self, job_id: str, end: JobEnd, progress: RecordingProgress) -> Job:
        """Note how a job ended; a checkpoint is needed no more."""
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state = ?, ended = ?, error = ?, error_code = ?, warnings = ?, gaps = ?,"
                " missing_seconds = ?, checkpoint = NULL, frames = ?, tracks = ?, result_bytes = ? WHERE job_id = ?",
                (end.state.value, self._clock(), end.error, end.code, json.dumps(end.warnings), len(end.gaps))
                + (sum(gap.missing_seconds for gap in end.gaps), *_progress_values(progress), job_id),
            )
            return self._get(job_id)

    def put_back(self, job_id: str) -> None:
        """A running job waits again: the server stops. Not an attempt that failed."""
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state = ?, attempts = MAX(attempts - 1, 0) WHERE job_id = ? AND state = ?",
                (JobState.QUEUED.value, job_id, JobState.RUNNING.value),
            )

    def recover(self) -> int:
        """Let the jobs that ran when the server died wait again, but end those to be cancelled; how many wait."""
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state = ?, ended = ?, checkpoint = NULL WHERE state = ? AND is_cancel_asked",
                (JobState.CANCELLED.value, self._clock(), JobState.RUNNING.value),
            )
            done = database.execute(
                "UPDATE jobs SET state = ? WHERE state = ?", (JobState.QUEUED.value, JobState.RUNNING.value)
            )
            return done.rowcount

    def ask_cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Cancel a job that waits, mark one that runs, leave one that has ended.

        Raises:
            JobNotFound: no such job, or another owner's.
        """
        with self._transaction() as database:
            job = self._get(job_id, owner)
            if job.state is JobState.QUEUED:
                database.execute(
                    "UPDATE jobs SET state = ?, ended = ?, is_cancel_asked = 1, checkpoint = NULL WHERE job_id = ?",
                    (JobState.CANCELLED.value, self._clock(), job_id),
                )
            elif job.state is JobState.RUNNING:
                database.execute("UPDATE jobs SET is_cancel_asked = 1 WHERE job_id = ?", (job_id,))
            return self._get(job_id)

    def surplus(self, kept: int, kept_bytes: int, kept_seconds: float, limits_of: LimitsOf = no_limits) -> Surplus:
        """The jobs that are beyond a bound: too many, too large together, or too old; see ``surplus_of``."""
        with self._turn:
            jobs, aged = by_caller.stored_jobs(self._database, self._clock() - kept_seconds)
        found = surplus_of(jobs, kept, kept_bytes, limits_of)
        return Surplus(aged + found.forgotten, found.ended)

    def usage(self) -> dict[str, Counter[str]]:
        """Caller → what its jobs hold, under the names of its limits."""
        with self._turn:
            return by_caller.usage(self._database)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Remove finished jobs; their keys are free again."""
        with self._transaction() as database:
            database.executemany(
                f"DELETE FROM jobs WHERE job_id = ? AND state NOT IN {_OPEN}", [(job_id,) for job_id in job_ids]
            )

    def ids(self) -> set[str]:
        """All jobs that are known."""
        with self._turn:
            return {row["job_id"] for row in self._database.execute("SELECT job_id FROM jobs")}

    def counts(self) -> dict[JobState, int]:
        """Jobs by state, with zeros."""
        with self._turn:
            rows = self._database.execute("SELECT state, COUNT(*) AS jobs FROM jobs GROUP BY state").fetchall()
        return dict.fromkeys(JobState, 0) | {JobState(row["state"]): row["jobs"] for row in rows}

    def _prepare(self, path: str) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        version = prepare_tables(self._database, _SCHEMA, SCHEMA_VERSION, "the job store cannot be written")
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{path} must be of format {SCHEMA_VERSION}, got {version}; choose another jobs.state_dir"
            )
        add_columns(self._database, "jobs", _ADDED_COLUMNS)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside, or nothing of it.

        Raises:
            OutputError: the disk is full or the file was damaged.
        """
        with self._turn, transaction(self._database, "the job store cannot be written") as database:
            yield database

    def _get(self, job_id: str, owner: str | None = None) -> Job:
        row = self._database.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if row is None or owner not in (None, row["owner"]):
            raise JobNotFound(f"there is no job {job_id!r}; finished jobs are kept for a limited time")
        return _job(row)

    def _release(self) -> None:
        if hasattr(self, "_database"):
            self._database.close()
        self._opened.close()


def _progress_values(progress: RecordingProgress) -> tuple[int, ...]:
    return progress.frames, progress.tracks, progress.result_bytes


def _job(row: Any) -> Job:
    return Job(
        **{name: row[name] for name in _SAME_COLUMNS},
        caller=row["owner"] if row["caller"] is None else row["caller"],
        state=JobState(row["state"]),
        created_seconds=row["created"],
        started_seconds=row["started"],
        ended_seconds=row["ended"],
        progress=RecordingProgress(**{name: row[name] for name in _PROGRESS_COLUMNS}),
        is_cancel_asked=bool(row["is_cancel_asked"]),
        warnings=tuple(json.loads(row["warnings"])),
    )
