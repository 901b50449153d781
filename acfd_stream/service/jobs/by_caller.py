"""What the job store knows of each caller: the queries behind ``shares``."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from acfd_stream.errors import OverloadedError
from acfd_stream.places import NEWCOMERS, has_place
from acfd_stream.service.access.callers import over_limit
from acfd_stream.service.jobs.shares import StoredJob
from acfd_stream.service.settings.callers import CallerLimits
from acfd_stream.types import JobState

LimitsOf = Callable[[str], CallerLimits]
"""The limits of a caller; 0 is none."""
_CALLER = "COALESCE(caller, owner)"  # stores of before had owners only
_BYTES = (  # of a job with all that is stored for it
    "(result_bytes + view_bytes + LENGTH(request) + LENGTH(error) + LENGTH(warnings) - LENGTH('[]')"
    " + COALESCE(LENGTH(start), 0) + COALESCE(LENGTH(checkpoint), 0))"
)
OPEN = f"('{JobState.QUEUED.value}', '{JobState.RUNNING.value}')"
"""The states of jobs that wait or run, in SQL."""
_LIMIT_OF_STATE = {JobState.QUEUED.value: "queued_jobs", JobState.RUNNING.value: "running_jobs"}


def no_limits(caller: str) -> CallerLimits:
    """Limits of every caller where none are set."""
    return CallerLimits()


@dataclass(frozen=True)
class OpenLimits:
    """What jobs that wait or run may hold, besides their number."""

    most_bytes: int = 2**62  # of all callers
    most_queued: int = 0  # jobs of the caller that wait; 0: as many as of all callers
    newcomers: float = NEWCOMERS  # see ``has_place``


def count_by_caller(database: sqlite3.Connection, state: JobState) -> dict[str, int]:
    """Caller → its jobs in ``state``."""
    query = f"SELECT {_CALLER}, COUNT(*) FROM jobs WHERE state = ? GROUP BY 1"
    return {caller: count for caller, count in database.execute(query, (state.value,))}


def next_by_caller(database: sqlite3.Connection) -> dict[str, int]:
    """Caller → the sequence of its job at the head of its queue: the oldest of those that were deferred least."""
    query = f"SELECT {_CALLER}, sequence FROM jobs WHERE state = ? ORDER BY deferrals DESC, sequence DESC"
    return {caller: sequence for caller, sequence in database.execute(query, (JobState.QUEUED.value,))}


def require_place(
    database: sqlite3.Connection, caller: str, request_bytes: int, most_jobs: int, limits: OpenLimits
) -> None:
    """Refuse another job of ``caller``, whose request has ``request_bytes``, beyond ``most_jobs`` and ``limits``.

    Raises:
        OverloadedError: too many jobs wait or run, or they are too large together.
        StatusError: RESOURCE_EXHAUSTED, too many jobs of the caller wait.
    """
    queued = count_by_caller(database, JobState.QUEUED).get(caller, 0)
    if limits.most_queued and queued >= limits.most_queued:
        raise over_limit(caller, "queued_jobs", limits.most_queued)
    totals = f"SELECT COUNT(*), COALESCE(SUM({_BYTES}), 0) FROM jobs WHERE state IN {OPEN}"
    all_jobs, all_bytes = database.execute(totals).fetchone()
    own_jobs, own_bytes = database.execute(f"{totals} AND {_CALLER} = ?", (caller,)).fetchone()
    if not has_place(most_jobs, all_jobs, own_jobs, limits.newcomers):
        raise OverloadedError(f"{all_jobs} jobs wait or run already, which is the limit; try again later")
    if not has_place(limits.most_bytes, all_bytes + request_bytes - 1, own_bytes + request_bytes - 1, limits.newcomers):
        raise OverloadedError(f"jobs that wait or run hold {all_bytes} bytes, which is the limit; try again later")


def stored_jobs(database: sqlite3.Connection, ended_since: float) -> tuple[list[StoredJob], list[str]]:
    """All jobs, oldest first, but for those that ended before ``ended_since`` (of the service's uptime): their ids."""
    query = (
        f"SELECT job_id, {_CALLER}, {_BYTES}, ended_uptime, state FROM jobs"
        " ORDER BY ended_uptime IS NULL, ended_uptime, COALESCE(ended, started), sequence DESC"
    )
    jobs, aged = [], []
    for job_id, caller, byte_count, ended, state in database.execute(query):
        if ended is not None and ended < ended_since:
            aged.append(job_id)
        else:
            is_running = state == JobState.RUNNING.value
            jobs.append(StoredJob(job_id, caller, byte_count, is_finished=ended is not None, is_running=is_running))
    return jobs, aged


def usage(database: sqlite3.Connection) -> dict[str, Counter[str]]:
    """Caller → what its jobs hold, under the names of its limits."""
    query = f"SELECT {_CALLER}, state, COUNT(*), SUM({_BYTES}) FROM jobs GROUP BY 1, 2"
    found: dict[str, Counter[str]] = {}
    for caller, state, count, byte_count in database.execute(query):
        held = found.setdefault(caller, Counter())
        held[_LIMIT_OF_STATE.get(state, "kept_jobs")] += count
        held["kept_bytes"] += byte_count
    return found
