"""Every caller has a share of what jobs keep, and its turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from acfd_stream.errors import OverloadedError
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.jobs.by_caller import OpenLimits
from acfd_stream.service.jobs.database import DATABASE
from acfd_stream.service.jobs.record import JobEnd
from acfd_stream.service.jobs.shares import StoredJob, Surplus, surplus_of
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.settings.callers import CallerLimits
from acfd_stream.service.status import StatusError
from acfd_stream.types import JobState


@pytest.fixture
def store() -> Iterator[JobStore]:
    seconds = count(1000)
    with JobStore(None, clock=lambda: next(seconds)) as opened:
        yield opened


def jobs_of(*entries: tuple[str, str, int], running: Sequence[str] = ()) -> list[StoredJob]:
    return [
        StoredJob(name, caller, size, is_finished=name not in running, is_running=name in running)
        for name, caller, size in entries
    ]


def surplus(jobs: list[StoredJob], most_jobs: int = 99, most_bytes: int = 999, **limits: int) -> Surplus:
    return surplus_of(jobs, most_jobs, most_bytes, lambda caller: CallerLimits(**limits))


def test_whoever_keeps_most_loses_the_oldest() -> None:
    jobs = jobs_of(("a1", "alice", 1), ("b1", "bob", 1), ("b2", "bob", 1), ("b3", "bob", 1))
    assert surplus(jobs, most_jobs=2) == Surplus(["b1", "b2"], [])
    jobs = jobs_of(("a1", "alice", 10), ("b1", "bob", 30), ("b2", "bob", 30))
    assert surplus(jobs, most_bytes=40) == Surplus(["b1"], [])


def test_a_caller_above_its_own_limit_loses_its_own_oldest() -> None:
    jobs = jobs_of(("a1", "alice", 1), ("b1", "bob", 1), ("b2", "bob", 50))
    assert surplus(jobs, kept_jobs=1) == Surplus(["b1"], [])
    assert surplus(jobs, kept_bytes=50) == Surplus(["b1"], [])


def test_running_jobs_that_hold_most_end_before_results_of_others_go() -> None:
    jobs = jobs_of(("a1", "alice", 10), ("b1", "bob", 40), ("b2", "bob", 40), running=["b1", "b2"])
    assert surplus(jobs, most_bytes=60) == Surplus([], ["b2"])


def test_one_caller_cannot_fill_the_queue_of_another(store: JobStore) -> None:
    for _ in range(4):
        store.submit("bob", "", b"a", most_open=4)
    with pytest.raises(OverloadedError, match="4 jobs wait"):
        store.submit("bob", "", b"a", most_open=4)
    assert store.submit("alice", "", b"a", most_open=4)[1]


def test_a_caller_has_its_own_maximum_of_waiting_jobs(store: JobStore) -> None:
    limits = OpenLimits(most_queued=1)
    store.submit("bob", "k", b"a", 99, None, limits)
    with pytest.raises(StatusError, match=r"maximum of 1 waiting jobs \(queued_jobs\)"):
        store.submit("bob", "", b"a", 99, None, limits)
    assert store.submit("bob", "k", b"a", 99, None, limits)[1] is False
    store.claim()
    store.submit("bob", "", b"a", 99, None, limits)


def test_requests_that_wait_take_room_too(store: JobStore) -> None:
    limits = OpenLimits(most_bytes=100)
    store.submit("bob", "", b"x" * 90, 99, None, limits)
    with pytest.raises(OverloadedError, match="hold 90 bytes"):
        store.submit("bob", "", b"x" * 90, 99, None, limits)
    store.submit("alice", "", b"x" * 10, 99, None, limits)
    store.ask_cancel(store.page("bob")[0].job_id)
    assert store.surplus(99, 50, 1e9).forgotten == [store.page("bob")[0].job_id]


def test_callers_take_turns_each_with_its_oldest_job(store: JobStore) -> None:
    names = ["b1", "b2", "b3", "a1", "a2", "c1"]
    jobs = {store.submit(name[0], "", name.encode(), 99)[0].job_id: name for name in names}
    order = []
    for _ in names:
        job = store.claim()
        assert job is not None
        order.append(jobs[job.job_id])
        store.finish(job.job_id, JobEnd(JobState.DONE), RecordingProgress())
    assert order == ["b1", "a1", "c1", "b2", "a2", "b3"]


def test_a_caller_whose_job_just_ran_does_not_come_first_again(store: JobStore) -> None:
    for name in ("a", "b", "b"):
        store.submit(name, "", b"", 99)
    for expected in ("a", "b", "a", "b"):
        job = store.claim()
        assert job is not None
        assert job.owner == expected
        store.finish(job.job_id, JobEnd(JobState.DONE), RecordingProgress())
        store.submit("a", "", b"", 99)


def test_so_many_jobs_of_a_caller_run_at_once(store: JobStore) -> None:
    for name in ("a", "a", "b"):
        store.submit(name, "", b"", 99)
    claimed = [store.claim(lambda caller: CallerLimits(running_jobs=1)) for _ in range(3)]
    assert [job and job.owner for job in claimed] == ["a", "b", None]


def test_a_running_job_is_awaited_by_others_who_run_less(store: JobStore) -> None:
    for name in ("a", "a"):
        store.submit(name, "", b"", 99)
    store.claim()
    assert not store.is_awaited("a")
    store.submit("b", "", b"", 99)
    assert store.is_awaited("a")
    store.claim()
    assert not store.is_awaited("a")


def test_usage_names_what_each_caller_holds(store: JobStore) -> None:
    store.submit("bob", "", b"x" * 90, 99)
    store.submit("", "", b"x", 99, "ip:192.0.2.7")
    store.claim()
    assert store.usage() == {
        "bob": {"running_jobs": 1, "kept_bytes": 90},
        "ip:192.0.2.7": {"queued_jobs": 1, "kept_bytes": 1},
    }


def test_jobs_of_a_store_of_before_belong_to_their_owner(tmp_path: Path) -> None:
    import sqlite3

    with JobStore(tmp_path) as before:
        before.submit("ann", "", b"a", 9)
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("ALTER TABLE jobs DROP COLUMN caller")
    with JobStore(tmp_path) as store:
        assert store.usage() == {"ann": {"queued_jobs": 1, "kept_bytes": 1}}
        job = store.claim()
        assert job is not None
        assert job.caller == "ann"
