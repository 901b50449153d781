"""The jobs that are known, in SQLite: in a file that outlives the server, or in memory.

Every method may be called from any thread; one connection serves them in turn. A change is on disk when its
method returns, as far as a crash of the process goes; a power cut may lose the last moments, never the order. Every
method raises StoreTrouble where the disk is full, the file is locked for too long or the storage fails; it has changed
nothing then.

A finished job's age is the time for which the service has run since, by the monotonic clock. The clock on the wall may
jump, so it is stored to be shown and decides nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acfd_stream.errors import ConfigError
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.jobs import by_caller
from acfd_stream.service.jobs.by_caller import OPEN, LimitsOf, OpenLimits, no_limits
from acfd_stream.service.jobs.database import Database
from acfd_stream.service.jobs.digests import Segment
from acfd_stream.service.jobs.record import Job, JobConflict, JobEnd, JobNotFound
from acfd_stream.service.jobs.shares import Surplus, Turns, surplus_of
from acfd_stream.service.jobs.tables import prepare
from acfd_stream.types import Closeable, JobState

_SAME_COLUMNS = (  # fields of a Job
    "job_id", "sequence", "owner", "request", "attempts", "checkpoint", "start", "error", "error_code", "gaps",
    "missing_seconds", "worked_seconds",
)  # fmt: skip
_PROGRESS_COLUMNS = ("frames", "expected_frames", "tracks", "result_bytes")
_NO_LIMITS = OpenLimits()


class JobStore(Closeable):
    """Jobs by their id, in the order in which they were submitted; a context manager."""

    def __init__(
        self,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the jobs of ``folder``; None: none yet, in memory. Where the disk is full, later calls open them.

        Raises:
            ConfigError: the folder is in use by another server, cannot be used, is damaged, or holds another format.
        """
        self._clock, self._monotonic, self._opened_at = clock, monotonic, monotonic()
        self._uptime_before: float | None = None
        self._turns = Turns()
        self._database = Database(folder, self._prepare)
        try:
            self._database.open()
        except ConfigError:
            self._database.close()
            raise

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        self._database.close()

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
        with self._database.writing() as database:
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
            return self._get(database, job_id), True

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """The job; ``owner`` None: whoever it belongs to.

        Raises:
            JobNotFound: no such job, or another owner's.
        """
        with self._database.reading() as database:
            return self._get(database, job_id, owner)

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
        with self._database.reading() as database:
            return [_job(row) for row in database.execute(query, (*values, count))]

    def claim(self, limits_of: LimitsOf = no_limits) -> Job | None:
        """The next job, which runs from now on; None: none may run.

        Callers take turns, each with the head of its queue, as far as ``limits_of`` them lets their jobs run.
        """
        with self._database.writing() as database:
            running = by_caller.count_by_caller(database, JobState.RUNNING)
            waiting = _ready(database, running, limits_of)
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
        with self._database.reading() as database:
            running = by_caller.count_by_caller(database, JobState.RUNNING)
            own = running.get(caller, 0)
            ready = _ready(database, running, limits_of)
            return any(running.get(other, 0) < own for other in ready if other != caller)

    def describe(self, job_id: str, start: bytes, expected_frames: int | None) -> None:
        """Note what is known of a running job before its first result."""
        with self._database.writing() as database:
            database.execute(
                "UPDATE jobs SET start = ?, expected_frames = ? WHERE job_id = ?", (start, expected_frames, job_id)
            )

    def save(
        self,
        job_id: str,
        progress: RecordingProgress,
        checkpoint: bytes | None,
        digests: Sequence[Segment] = (),
        worked_seconds: float = 0.0,
    ) -> None:
        """Note how far a running job has come, and from where it can go on; None: from the beginning.

        Args:
            job_id: of the job.
            progress: of its recording.
            checkpoint: state of the recording.
            digests: of its results, as far as they are new.
            worked_seconds: for which the job has run, in all.
        """
        with self._database.writing() as database:
            if checkpoint is None:
                database.execute("DELETE FROM digests WHERE job_id = ?", (job_id,))
            _save_digests(database, job_id, digests)
            database.execute(
                "UPDATE jobs SET frames = ?, tracks = ?, result_bytes = ?, checkpoint = ?, worked_seconds = ?,"
                " attempts = CASE WHEN ? IS NULL THEN attempts ELSE 0 END WHERE job_id = ? AND state = ?",
                (*_progress_values(progress), checkpoint, worked_seconds)
                + (checkpoint, job_id, JobState.RUNNING.value),
            )

    def finish(
        self,
        job_id: str,
        end: JobEnd,
        progress: RecordingProgress,
        digests: Sequence[Segment] = (),
        view_bytes: int = 0,
    ) -> Job:
        """Note how a job ended; a checkpoint is needed no more. ``digests`` as in ``save``; its views have bytes."""
        with self._database.writing() as database:
            if not progress.result_bytes:
                database.execute("DELETE FROM digests WHERE job_id = ?", (job_id,))
            _save_digests(database, job_id, digests)
            database.execute(
                "UPDATE jobs SET state = ?, ended = ?, ended_uptime = ?, error = ?, error_code = ?, warnings = ?,"
                " gaps = ?, missing_seconds = ?, checkpoint = NULL, frames = ?, tracks = ?, result_bytes = ?,"
                " view_bytes = ? WHERE job_id = ?",
                (end.state.value, *self._now(database), end.error, end.code, json.dumps(end.warnings), len(end.gaps))
                + (sum(gap.missing_seconds for gap in end.gaps), *_progress_values(progress), view_bytes, job_id),
            )
            return self._get(database, job_id)

    def put_back(self, job_id: str, *, is_deferred: bool = False, counts: bool = False) -> None:
        """A running job waits again, ``is_deferred``: at the end of the queue. ``counts``: the attempt has failed."""
        behind = f"(SELECT 1 + MAX(deferrals) FROM jobs WHERE state IN {OPEN})" if is_deferred else "deferrals"
        with self._database.writing() as database:
            database.execute(
                f"UPDATE jobs SET state = ?, attempts = MAX(attempts - ?, 0), deferrals = {behind}"
                " WHERE job_id = ? AND state = ?",
                (JobState.QUEUED.value, not counts, job_id, JobState.RUNNING.value),
            )

    def recover(self) -> int:
        """Let the jobs that ran when the server died wait again, but end those to be cancelled; how many wait."""
        with self._database.writing() as database:
            database.execute(
                "UPDATE jobs SET state = ?, ended = ?, ended_uptime = ?, checkpoint = NULL"
                " WHERE state = ? AND is_cancel_asked",
                (JobState.CANCELLED.value, *self._now(database), JobState.RUNNING.value),
            )
            done = database.execute(
                "UPDATE jobs SET state = ? WHERE state = ?", (JobState.QUEUED.value, JobState.RUNNING.value)
            )
            return int(done.rowcount)

    def digests(self, job_id: str, first: int = 0, last: int = 2**31) -> dict[int, Segment]:
        """The stored digests of a job's results, by number, from ``first`` to ``last``."""
        with self._database.reading() as database:
            rows = database.execute(
                "SELECT number, size, sha256 FROM digests WHERE job_id = ? AND number BETWEEN ? AND ?",
                (job_id, first, last),
            )
            return {row["number"]: Segment(*row) for row in rows}

    def ask_cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Cancel a job that waits, mark one that runs, leave one that has ended.

        Raises:
            JobNotFound: no such job, or another owner's.
        """
        with self._database.writing() as database:
            job = self._get(database, job_id, owner)
            if job.state is JobState.QUEUED:
                database.execute(
                    "UPDATE jobs SET state = ?, ended = ?, ended_uptime = ?, is_cancel_asked = 1, checkpoint = NULL"
                    " WHERE job_id = ?",
                    (JobState.CANCELLED.value, *self._now(database), job_id),
                )
            elif job.state is JobState.RUNNING:
                database.execute("UPDATE jobs SET is_cancel_asked = 1 WHERE job_id = ?", (job_id,))
            return self._get(database, job_id)

    def surplus(self, kept: int, kept_bytes: int, kept_seconds: float, limits_of: LimitsOf = no_limits) -> Surplus:
        """The jobs that are beyond a bound: too many, too large together, or too old; see ``surplus_of``."""
        with self._database.reading() as database:
            jobs, aged = by_caller.stored_jobs(database, self._uptime(database) - kept_seconds)
        found = surplus_of(jobs, kept, kept_bytes, limits_of)
        return Surplus(aged + found.forgotten, found.ended)

    def usage(self) -> dict[str, Counter[str]]:
        """Caller → what its jobs hold, under the names of its limits."""
        with self._database.reading() as database:
            return by_caller.usage(database)

    def note_uptime(self) -> None:
        """Note for how long the service has run: a kill loses the time since it was last noted."""
        with self._database.writing() as database:
            self._now(database)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Remove finished jobs; their keys are free again."""
        with self._database.writing() as database:
            for job_id in job_ids:
                done = database.execute(f"DELETE FROM jobs WHERE job_id = ? AND state NOT IN {OPEN}", (job_id,))
                if done.rowcount:
                    database.execute("DELETE FROM digests WHERE job_id = ?", (job_id,))

    def ids(self) -> set[str]:
        """All jobs that are known."""
        with self._database.reading() as database:
            return {row["job_id"] for row in database.execute("SELECT job_id FROM jobs")}

    def counts(self) -> dict[JobState, int]:
        """Jobs by state, with zeros."""
        with self._database.reading() as database:
            rows = database.execute("SELECT state, COUNT(*) AS jobs FROM jobs GROUP BY state").fetchall()
        return dict.fromkeys(JobState, 0) | {JobState(row["state"]): row["jobs"] for row in rows}

    def _prepare(self, database: sqlite3.Connection) -> None:
        prepare(database, lambda: self._uptime(database))

    def _now(self, database: sqlite3.Connection) -> tuple[float, float]:
        """The time on the wall, to be shown, and for how long the service has run in all, which is noted."""
        uptime = self._uptime(database)
        database.execute("INSERT OR REPLACE INTO uptime (id, seconds) VALUES (0, ?)", (uptime,))
        return self._clock(), uptime

    def _uptime(self, database: sqlite3.Connection) -> float:
        if self._uptime_before is None:
            row = database.execute("SELECT seconds FROM uptime").fetchone()
            self._uptime_before = 0.0 if row is None else row["seconds"]
        return self._uptime_before + self._monotonic() - self._opened_at

    def _get(self, database: sqlite3.Connection, job_id: str, owner: str | None = None) -> Job:
        row = database.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if row is None or owner not in (None, row["owner"]):
            raise JobNotFound(f"there is no job {job_id!r}; finished jobs are kept for a limited time")
        return _job(row)


def _ready(database: sqlite3.Connection, running: Mapping[str, int], limits_of: LimitsOf) -> dict[str, int]:
    """Callers of whom another job may run, beside the ``running`` ones → the sequence of the head of their queue."""
    return {
        caller: sequence
        for caller, sequence in by_caller.next_by_caller(database).items()
        if running.get(caller, 0) < (limits_of(caller).running_jobs or math.inf)
    }


def _save_digests(database: sqlite3.Connection, job_id: str, digests: Sequence[Segment]) -> None:
    database.executemany(
        "INSERT OR REPLACE INTO digests (job_id, number, size, sha256) VALUES (?, ?, ?, ?)",
        [(job_id, segment.number, segment.size, segment.sha256) for segment in digests],
    )


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
