"""Jobs are found by key and page, end once, outlive the process, and are forgotten by bounds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, OverloadedError
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.jobs.database import DATABASE
from acfd_stream.service.jobs.record import Job, JobConflict, JobEnd, JobNotFound
from acfd_stream.service.jobs.servicer import job_pb
from acfd_stream.service.jobs.shares import Surplus
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.types import Gap, GapCause, JobState
from acfd_stream.wire.messages import seconds_of

DONE = JobEnd(JobState.DONE)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobStore]:
    wall, uptime = count(1000), count(0)
    folder = None if request.param == "memory" else tmp_path
    with JobStore(folder, clock=lambda: next(wall), monotonic=lambda: next(uptime)) as opened:
        yield opened


def submit(store: JobStore, request: bytes = b"a", *, owner: str = "ann", key: str = "") -> Job:
    return store.submit(owner, key, request, most_open=100)[0]


def finish(store: JobStore, job: Job, *, result_bytes: int = 0) -> None:
    store.claim()
    store.finish(job.job_id, DONE, RecordingProgress(result_bytes=result_bytes))


def test_gaps_are_kept_also_in_a_store_of_before(tmp_path: Path) -> None:
    gaps = (Gap(1.0, 0.25, GapCause.LOST_PACKETS), Gap(1.5, 0.5, GapCause.TIME_HOLE))
    with JobStore(tmp_path) as before:
        first = submit(before)
    with sqlite3.connect(tmp_path / DATABASE) as database:
        for column in ("gaps", "missing_seconds"):
            database.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    with JobStore(tmp_path) as store:
        second = submit(store, b"")
        ended = store.finish(second.job_id, JobEnd(JobState.DONE, gaps=gaps), RecordingProgress())
        assert (ended.gaps, ended.missing_seconds) == (2, 0.75)
        assert store.get(first.job_id).gaps == 0
    assert (job_pb(ended).gap_count, seconds_of(job_pb(ended).missing)) == (2, 0.75)


def test_the_same_key_and_request_find_the_same_job(store: JobStore) -> None:
    first, is_first_new = store.submit("ann", "k", b"a", 10)
    again, is_again_new = store.submit("ann", "k", b"a", 10)
    assert (first.job_id, is_first_new, is_again_new) == (again.job_id, True, False)


def test_the_same_key_with_another_request_is_refused_by_name(store: JobStore) -> None:
    known = submit(store, b"a", key="k")
    with pytest.raises(JobConflict, match=known.job_id):
        submit(store, b"b", key="k")


def test_keys_and_jobs_of_others_do_not_meet(store: JobStore) -> None:
    anns, bobs = submit(store, b"a", key="k"), submit(store, b"b", key="k", owner="bob")
    assert anns.job_id != bobs.job_id
    assert [job.job_id for job in store.page("bob")] == [bobs.job_id]
    with pytest.raises(JobNotFound):
        store.get(anns.job_id, "bob")
    with pytest.raises(JobNotFound):
        store.ask_cancel(anns.job_id, "bob")


def test_without_a_key_every_submission_is_a_job(store: JobStore) -> None:
    assert submit(store).job_id != submit(store).job_id


def test_more_open_jobs_than_allowed_are_refused_but_a_known_key_is_not(store: JobStore) -> None:
    store.submit("ann", "k", b"a", most_open=1)
    with pytest.raises(OverloadedError, match="1 jobs wait"):
        store.submit("ann", "", b"a", most_open=1)
    assert store.submit("ann", "k", b"a", most_open=1)[1] is False


def test_pages_do_not_move_under_new_jobs(store: JobStore) -> None:
    jobs = [submit(store).job_id for _ in range(5)]
    first = store.page("ann", count=2)
    submit(store)
    second = store.page("ann", before=first[-1].sequence, count=10)
    assert [job.job_id for job in [*first, *second]] == jobs[::-1]


def test_pages_hold_the_wanted_states_only(store: JobStore) -> None:
    done, waiting = submit(store), submit(store)
    finish(store, done)
    assert [job.job_id for job in store.page("ann", [JobState.DONE])] == [done.job_id]
    assert [job.job_id for job in store.page("ann", [JobState.QUEUED])] == [waiting.job_id]


def test_jobs_are_claimed_once_each_oldest_first(store: JobStore) -> None:
    jobs = [submit(store).job_id for _ in range(3)]
    claimed = [store.claim() for _ in range(4)]
    assert [job and job.job_id for job in claimed] == [*jobs, None]
    assert store.counts()[JobState.RUNNING] == 3


def test_cancelling_ends_a_waiting_job_marks_a_running_one_and_leaves_an_ended_one(store: JobStore) -> None:
    running, waiting, ended = submit(store), submit(store), submit(store)
    store.claim()
    store.finish(ended.job_id, DONE, RecordingProgress())
    for _ in range(2):  # idempotent
        assert store.ask_cancel(waiting.job_id).state is JobState.CANCELLED
        asked = store.ask_cancel(running.job_id)
        assert (asked.state, asked.is_cancel_asked) == (JobState.RUNNING, True)
        assert store.ask_cancel(ended.job_id).state is JobState.DONE


def test_an_end_keeps_progress_and_drops_the_checkpoint(store: JobStore) -> None:
    job = submit(store)
    store.claim()
    store.describe(job.job_id, b"start", 100)
    store.save(job.job_id, RecordingProgress(5, tracks=1, result_bytes=50), b"state")
    assert store.get(job.job_id).checkpoint == b"state"
    ended = store.finish(
        job.job_id, JobEnd(JobState.FAILED, "broke", 15, ("odd",)), RecordingProgress(9, tracks=2, result_bytes=90)
    )
    assert (ended.progress, ended.checkpoint) == (RecordingProgress(9, 100, 2, result_bytes=90), None)
    assert (ended.error, ended.error_code, ended.warnings) == ("broke", 15, ("odd",))


def test_attempts_count_starts_since_the_last_checkpoint_but_no_stop_of_the_server(store: JobStore) -> None:
    job = submit(store)
    for _ in range(2):
        store.claim()
        store.recover()
    assert store.get(job.job_id).attempts == 2
    store.claim()
    store.put_back(job.job_id)
    assert store.get(job.job_id).attempts == 2
    store.claim()
    store.save(job.job_id, RecordingProgress(), b"state")
    assert store.get(job.job_id).attempts == 0


@pytest.mark.parametrize(
    ("kept", "kept_bytes", "kept_seconds", "left"),
    [(2, 1000, 1e6, 2), (9, 25, 1e6, 2), (9, 1000, 2, 2), (9, 1000, 1e6, 4)],
    ids=["number", "bytes", "age", "none"],
)
def test_the_oldest_finished_jobs_go_beyond_a_bound(
    store: JobStore, kept: int, kept_bytes: int, kept_seconds: float, left: int
) -> None:
    jobs = [submit(store, key=str(number)) for number in range(4)]
    for job in jobs:  # each ends a second after the one before; bounds are held a second after the last
        finish(store, job, result_bytes=10)
    surplus = store.surplus(kept, kept_bytes, kept_seconds)
    assert surplus == Surplus([job.job_id for job in jobs[: 4 - left]], ended=[])
    store.forget(surplus.forgotten)
    assert store.ids() == {job.job_id for job in jobs[4 - left :]}


def test_what_waits_or_runs_is_never_forgotten(store: JobStore) -> None:
    running, waiting = submit(store), submit(store)
    store.claim()
    assert store.surplus(1, 2, 1e-6) == Surplus([], [])
    store.forget([running.job_id, waiting.job_id])
    assert store.ids() == {running.job_id, waiting.job_id}


def test_a_folder_remembers_and_a_job_that_ran_waits_again(tmp_path: Path) -> None:
    with JobStore(tmp_path) as store:
        done, running, asked = submit(store), submit(store), submit(store)
        finish(store, done)
        store.claim()
        store.claim()
        store.save(running.job_id, RecordingProgress(5, tracks=1, result_bytes=50), b"state")
        store.ask_cancel(asked.job_id)
    with JobStore(tmp_path) as store:
        assert store.recover() == 1
        assert store.get(done.job_id).state is JobState.DONE
        assert store.get(asked.job_id).state is JobState.CANCELLED
        again = store.get(running.job_id)
        assert (again.state, again.checkpoint, again.progress.frames) == (JobState.QUEUED, b"state", 5)


def test_a_folder_serves_one_server_at_a_time(tmp_path: Path) -> None:
    with JobStore(tmp_path), pytest.raises(ConfigError, match="another server"):
        JobStore(tmp_path)
    JobStore(tmp_path).close()


class Clocks:
    """The clock on the wall and the monotonic one."""

    def __init__(self) -> None:
        self.wall, self.uptime = 1e9, 1000.0

    def open(self, folder: Path) -> JobStore:
        return JobStore(folder, clock=lambda: self.wall, monotonic=lambda: self.uptime)


@pytest.mark.parametrize("jump_seconds", [40 * 86400, -40 * 86400])
def test_a_clock_that_jumps_makes_no_job_old(tmp_path: Path, jump_seconds: float) -> None:
    clocks = Clocks()
    for number in range(3):  # also over restarts
        with clocks.open(tmp_path) as store:
            finish(store, submit(store))
            clocks.wall += jump_seconds
            clocks.uptime += 10
            assert store.surplus(100, 10**9, 86400.0).forgotten == []
            store.note_uptime()
            assert len(store.ids()) == number + 1
            clocks.wall -= jump_seconds


def test_a_job_is_old_when_the_service_has_run_for_so_long(tmp_path: Path) -> None:
    clocks = Clocks()
    with clocks.open(tmp_path) as store:
        job = submit(store)
        finish(store, job)
        clocks.uptime += 6
        assert store.surplus(100, 10**9, 10.0).forgotten == []
        store.note_uptime()
    clocks.uptime = 0.0  # the machine has started again
    with clocks.open(tmp_path) as store:
        clocks.uptime += 3
        assert store.surplus(100, 10**9, 10.0).forgotten == []
        clocks.uptime += 2
        assert store.surplus(100, 10**9, 10.0).forgotten == [job.job_id]


def test_the_oldest_go_first_also_where_the_clock_was_ahead(tmp_path: Path) -> None:
    clocks = Clocks()
    with clocks.open(tmp_path) as store:
        first = submit(store)
        clocks.wall = 3e9
        finish(store, first)
        clocks.wall, clocks.uptime = 1e9, 1001.0
        finish(store, submit(store))
        assert store.surplus(1, 10**9, 1e9).forgotten == [first.job_id]


def test_the_age_of_what_an_earlier_program_finished_begins_at_the_start(tmp_path: Path) -> None:
    clocks = Clocks()
    with clocks.open(tmp_path) as before:
        jobs = [submit(before) for _ in range(2)]
        for job in jobs:
            clocks.wall += 1
            finish(before, job)
    with sqlite3.connect(tmp_path / DATABASE) as database:
        for column in ("ended_uptime", "worked_seconds", "deferrals"):
            database.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        for table in ("digests", "uptime"):
            database.execute(f"DROP TABLE {table}")
    database.close()
    with clocks.open(tmp_path) as store:
        assert store.surplus(1, 10**9, 10.0).forgotten == [jobs[0].job_id]
        clocks.uptime += 11
        assert len(store.surplus(100, 10**9, 10.0).forgotten) == 2


def test_a_deferred_job_waits_behind_all_others(store: JobStore) -> None:
    first, second, third = submit(store), submit(store), submit(store)
    store.claim()
    store.put_back(first.job_id, is_deferred=True)
    order = [store.claim() for _ in range(3)]
    assert [job and job.job_id for job in order] == [second.job_id, third.job_id, first.job_id]
    assert store.get(first.job_id).attempts == 1
