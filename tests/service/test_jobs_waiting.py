"""A job waits out trouble of the machine and of its store, says so, and ends with the bytes that it would have had."""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.errors import ConfigError, MediaError, OutputError, OverloadedError
from acfd_stream.metrics import JobWait
from acfd_stream.recording import lines
from acfd_stream.recording.record import Recording
from acfd_stream.service.jobs import database, runner, waiting
from acfd_stream.service.jobs.attempts import JobContext
from acfd_stream.service.jobs.database import DATABASE
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.jobs.waiting import StoreTrouble, wait_reason
from acfd_stream.types import JobState
from tests.service.job_fixture import DONE, EAGER, CountingWork, JobFixture

WHOLE = b"".join(b"%d\n" % number for number in range(6))
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


class Disk:
    """The disk of the results, which refuses to be written while ``code`` is set; half of a line gets through."""

    code = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        disk = self

        class File(FileIO):
            def write(self, data: Any) -> int:
                if disk.code:
                    super().write(data[: len(data) // 2])
                    raise OSError(disk.code, "as the test has it")
                return super().write(data)

        monkeypatch.setattr(lines, "FileIO", File)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture(autouse=True)
def is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.5)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[JobFixture]:
    """Six lines, of which two are written at once."""
    fixture = JobFixture(CountingWork(held=2), tmp_path, replace(EAGER, state_dir=tmp_path))
    yield fixture
    fixture.close()


def begun(fixture: JobFixture) -> str:
    job_id = fixture.submit(b"6")
    fixture.until(job_id, lambda job: job.progress.frames == 2)
    return job_id


def let_go(fixture: JobFixture) -> None:
    fixture.runner._attempts.record_job.gate.release(1000)  # type: ignore[attr-defined]


def stored(fixture: JobFixture, job_id: str) -> bytes:
    return fixture.results.lines_of(job_id).read(0, 10**6)[1]


def other_process(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / DATABASE, isolation_level=None)


def gauge(fixture: JobFixture, reason: JobWait) -> float | None:
    return fixture.registry.get_sample_value("acfd_jobs_waiting", {"reason": reason.value})


@pytest.mark.parametrize("code", DISK, ids=lambda code: errno.errorcode[code])
def test_a_line_that_cannot_be_written_is_written_later(disk: Disk, held: JobFixture, code: int) -> None:
    job_id = begun(held)
    disk.code = code
    let_go(held)
    job = held.until(job_id, lambda job: bool(job.waiting))
    assert (job.state, job.waiting.startswith("waiting: ")) == (JobState.RUNNING, True)
    disk.code = 0
    assert (held.end_of(job_id).state, stored(held, job_id)) == (JobState.DONE, WHOLE)


def test_a_wait_is_told_once_in_the_log_and_by_a_gauge(
    disk: Disk, held: JobFixture, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = begun(held)
    disk.code = errno.ENOSPC
    with caplog.at_level(logging.INFO):
        let_go(held)
        job = held.until(job_id, lambda job: bool(job.waiting))
        assert job.waiting == f"waiting: no room left in {tmp_path}"
        tries = len(held.runner._attempts.record_job.began_at)  # type: ignore[attr-defined]
        held.until(job_id, lambda job: len(held.runner._attempts.record_job.began_at) > tries + 3)  # type: ignore[attr-defined]
        assert gauge(held, JobWait.NO_ROOM) == 1
        disk.code = 0
        assert held.end_of(job_id).waiting == ""
    said = [record.getMessage() for record in caplog.records if job_id in record.getMessage()]
    assert [line.partition(":")[0] for line in said] == [f"job {job_id}", said[1]]
    assert "goes on after" in said[1]
    assert gauge(held, JobWait.NO_ROOM) == 0
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("moment", ["describe", "checkpoint", "finish"])
def test_a_store_that_is_locked_for_long_is_waited_for(
    tmp_path: Path, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    at_moment, locked, counting = threading.Event(), threading.Event(), CountingWork()

    def work(context: JobContext) -> Recording:
        if moment != "describe":
            context.describe(b"start", 6)
        at_moment.set()
        locked.wait(20)
        if moment == "describe":
            context.describe(b"start", 6)
        return DONE if moment == "finish" else counting(context)

    with closing(JobFixture(work, tmp_path)) as fixture, closing(other_process(tmp_path)) as other:
        job_id = fixture.submit(b"6")
        assert at_moment.wait(20)
        other.execute("BEGIN IMMEDIATE")
        locked.set()
        fixture.until(job_id, lambda job: bool(job.waiting))
        assert fixture.runner.page("ann", (), None, 5)[0].job_id == job_id  # reading goes on
        other.execute("ROLLBACK")
        assert fixture.end_of(job_id).state is JobState.DONE
        assert stored(fixture, job_id) == (b"" if moment == "finish" else WHOLE)
    assert all(record.exc_info is None for record in caplog.records)


def test_a_store_that_is_locked_refuses_a_new_job_and_takes_it_later(tmp_path: Path) -> None:
    with closing(JobFixture(CountingWork(), tmp_path)) as fixture, closing(other_process(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreTrouble, match="locked") as caught:
            fixture.submit()
        assert (caught.value.reason, fixture.store.ids()) == (JobWait.LOCKED, set())
        other.execute("ROLLBACK")
        assert fixture.end_of(fixture.submit()).state is JobState.DONE


def test_a_store_that_is_locked_at_the_start_is_taken_up_later(tmp_path: Path) -> None:
    with JobStore(tmp_path) as before:
        job_id = before.submit("ann", "", b"6", 10)[0].job_id
        before.claim()  # and the server is killed
    with closing(other_process(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(JobFixture(CountingWork(), tmp_path)) as fixture:
            assert fixture.runner.get(job_id, "ann").state is JobState.RUNNING
            assert gauge(fixture, JobWait.LOCKED) == 1
            other.execute("ROLLBACK")
            assert (fixture.end_of(job_id).state, stored(fixture, job_id)) == (JobState.DONE, WHOLE)
            assert gauge(fixture, JobWait.LOCKED) == 0


def test_too_many_open_files_where_a_video_is_opened_are_waited_out(tmp_path: Path) -> None:
    causes: list[BaseException] = [
        OSError(errno.EMFILE, "too many"),
        MemoryError(),
        RuntimeError("can't start new thread"),
    ]

    def work(context: JobContext) -> Recording:
        if causes:
            raise MediaError("clip.mkv: cannot be opened") from causes.pop()
        return DONE

    with closing(JobFixture(work, tmp_path)) as fixture:
        assert fixture.end_of(fixture.submit()).state is JobState.DONE
    assert not causes


def test_a_job_that_has_waited_for_long_goes_behind_the_others(tmp_path: Path, disk: Disk) -> None:
    work = CountingWork(held=2)
    fixture = JobFixture(work, tmp_path, replace(EAGER, wait_seconds=0.05))
    with closing(fixture):
        first = begun(fixture)
        second = fixture.submit(b"1")
        disk.code = errno.ENOSPC
        let_go(fixture)
        fixture.until(second, lambda job: job.state is JobState.RUNNING)
        assert fixture.store.get(first).state is JobState.QUEUED
        disk.code = 0
        assert [fixture.end_of(job_id).state for job_id in (first, second)] == [JobState.DONE] * 2
        assert (stored(fixture, first), stored(fixture, second)) == (WHOLE, b"0\n")


def test_a_job_that_waits_can_be_cancelled(disk: Disk, held: JobFixture) -> None:
    job_id = begun(held)
    disk.code = errno.ENOSPC
    let_go(held)
    held.until(job_id, lambda job: bool(job.waiting))
    held.runner.cancel(job_id, "ann")
    assert held.end_of(job_id).state is JobState.CANCELLED
    assert stored(held, job_id) == b"0\n1\n"


def test_a_server_that_stops_while_a_job_waits_goes_on_with_it(disk: Disk, tmp_path: Path) -> None:
    before = JobFixture(CountingWork(held=2), tmp_path)
    job_id = begun(before)
    disk.code = errno.ENOSPC
    let_go(before)
    before.until(job_id, lambda job: bool(job.waiting))
    before.close()
    disk.code = 0
    with closing(JobFixture(CountingWork(), tmp_path)) as after:
        assert (after.end_of(job_id).state, stored(after, job_id)) == (JobState.DONE, WHOLE)


def test_results_whose_folder_is_removed_are_made_again(held: JobFixture, tmp_path: Path) -> None:
    job_id = begun(held)
    (tmp_path / "results" / f"{job_id}.jsonl").unlink()
    (tmp_path / "results").rmdir()
    let_go(held)
    assert (held.end_of(job_id).state, stored(held, job_id)) == (JobState.DONE, WHOLE)


def test_a_job_ends_after_its_longest_time_and_keeps_what_it_has(tmp_path: Path) -> None:
    fixture = JobFixture(CountingWork(held=2), tmp_path, replace(EAGER, most_seconds=1.0))
    with closing(fixture):
        job = fixture.end_of(fixture.submit(b"6"))
        assert (job.state, job.error_code, job.progress.frames) == (JobState.FAILED, 4, 2)
        assert "most_seconds = 1" in job.error
        assert stored(fixture, job.job_id) == b"0\n1\n"


def test_the_longest_time_counts_over_restarts(tmp_path: Path) -> None:
    settings = replace(EAGER, most_seconds=3600.0)
    with closing(JobFixture(CountingWork(held=2), tmp_path, settings)) as before:
        job_id = begun(before)
    with JobStore(tmp_path) as store:
        worked = store.get(job_id).worked_seconds
    assert worked > 0
    with closing(JobFixture(CountingWork(held=2), tmp_path, replace(settings, most_seconds=worked))) as after:
        assert after.end_of(job_id).state is JobState.FAILED


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (caused(OutputError("a"), OSError(errno.ENOSPC, "")), JobWait.NO_ROOM),
        (caused(OutputError("a"), OSError(errno.EIO, "")), JobWait.STORAGE),
        (caused(OutputError("a"), OSError(errno.EFBIG, "")), None),
        (OutputError("larger than the limit"), None),
        (caused(MediaError("a"), OSError(errno.EIO, "")), None),
        (caused(MediaError("a"), FileNotFoundError(errno.ENOENT, "")), None),
        (caused(MediaError("a"), OSError(errno.ENFILE, "")), JobWait.DESCRIPTORS),
        (OSError(errno.EMFILE, ""), JobWait.DESCRIPTORS),
        (MemoryError(), JobWait.MEMORY),
        (OverloadedError("the folder is away"), None),
        (StoreTrouble("a", JobWait.DAMAGED), JobWait.DAMAGED),
        (ConfigError("a"), None),
        (ZeroDivisionError(), None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_passes_is_told_from_what_does_not(error: Exception, reason: JobWait | None) -> None:
    assert wait_reason(error) is reason


def test_a_worker_lets_others_go_first_where_they_may_not_lack_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_HELD_SECONDS", 0.05)

    def work(context: JobContext) -> Recording:
        if context.job.request == b"large":
            raise MemoryError
        return DONE

    with closing(JobFixture(work, tmp_path)) as fixture:
        large = fixture.submit(b"large")
        assert fixture.end_of(fixture.submit(b"small")).state is JobState.DONE
        fixture.runner.cancel(large, "ann")
        assert fixture.end_of(large).state is JobState.CANCELLED


def test_a_job_begins_when_memory_is_not_short_any_more(tmp_path: Path) -> None:
    with closing(JobFixture(CountingWork(), tmp_path)) as fixture:
        fixture.is_memory_short = True
        job_id = fixture.submit(b"2")
        waits = fixture.until(job_id, lambda job: bool(job.waiting))
        assert waits.state is JobState.QUEUED
        assert "no memory is free" in waits.waiting
        fixture.is_memory_short = False
        assert fixture.end_of(job_id).state is JobState.DONE
