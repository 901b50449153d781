"""Workers do jobs in order, stop when told, and go on where they were broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.errors import MediaError
from acfd_stream.outputs import ResultEnd
from acfd_stream.recording.checkpoint import Checkpoint
from acfd_stream.recording.record import Recording
from acfd_stream.recording.stats import RecordingStats
from acfd_stream.recording.task import RecordingProgress, RecordingState
from acfd_stream.service.jobs.attempts import JobContext
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.settings import MEMORY_BYTES, JobSettings
from acfd_stream.types import Gap, GapCause, JobState
from tests.service.job_fixture import ANY_RESULT, CANCELLED, DONE, EAGER, CountingWork, JobFixture, packed


@pytest.fixture
def opened() -> Iterator[Callable[..., JobFixture]]:
    fixtures: list[JobFixture] = []

    def open_fixture(*arguments: object, **named: object) -> JobFixture:
        fixtures.append(JobFixture(*arguments, **named))  # type: ignore[arg-type]
        return fixtures[-1]

    yield open_fixture
    for fixture in fixtures:
        fixture.close()


def progress(frames: int, result_bytes: int) -> RecordingProgress:
    return RecordingProgress(frames=frames, result_bytes=result_bytes)


def written(folder: Path, job_id: str, lines: bytes) -> None:
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / f"{job_id}.jsonl").write_bytes(lines)


def lines_of(fixture: JobFixture, job_id: str) -> bytes:
    return fixture.results.lines_of(job_id).read(0, 100)[1]


def test_a_job_is_done_and_counted(opened: Callable[..., JobFixture]) -> None:
    fixture = opened(CountingWork())
    job = fixture.end_of(fixture.submit())
    assert (job.state, job.progress) == (JobState.DONE, progress(3, 6))
    assert lines_of(fixture, job.job_id) == b"0\n1\n2\n"
    assert fixture.registry.get_sample_value("acfd_job_frames_total") == 3
    fixture.close()
    assert [fixture.gauge(state) for state in ("queued", "running", "done")] == [0, 0, 1]


def test_a_job_whose_video_has_gaps_is_done_and_says_so(opened: Callable[..., JobFixture]) -> None:
    gaps = (Gap(1.0, 0.25, GapCause.LOST_PACKETS), Gap(1.5, 0.5, GapCause.TIME_HOLE))
    end = ResultEnd(0, is_complete=False, gaps=gaps)
    fixture = opened(lambda context: Recording(RecordingState.DONE, end))
    job = fixture.end_of(fixture.submit())
    assert (job.state, job.error, job.gaps, job.missing_seconds) == (JobState.DONE, "", 2, 0.75)
    count = fixture.registry.get_sample_value("acfd_media_gaps_total", {"cause": "lost packets"})
    assert (count, fixture.registry.get_sample_value("acfd_media_missing_seconds_total")) == (1, 0.75)


def test_progress_is_seen_while_a_job_runs(opened: Callable[..., JobFixture]) -> None:
    work = CountingWork(held=2)
    fixture = opened(work)
    job_id = fixture.submit(b"4")
    job = fixture.until(job_id, lambda job: job.progress.frames == 2)
    assert job.state is JobState.RUNNING
    assert fixture.gauge("running") == 1
    work.gate.release(2)
    assert fixture.end_of(job_id).progress.frames == 4


def test_a_running_job_can_be_cancelled_and_keeps_what_it_has(opened: Callable[..., JobFixture]) -> None:
    fixture = opened(CountingWork(held=2))
    job_id = fixture.submit(b"4")
    fixture.until(job_id, lambda job: job.progress.frames == 2)
    for _ in range(2):
        fixture.runner.cancel(job_id, "ann")
    job = fixture.end_of(job_id)
    assert (job.state, job.progress.frames) == (JobState.CANCELLED, 2)
    assert fixture.runner.cancel(job_id, "ann").state is JobState.CANCELLED


def test_a_cancelled_job_that_waited_never_runs(opened: Callable[..., JobFixture]) -> None:
    work = CountingWork(held=0)
    fixture = opened(work)
    first, second = fixture.submit(b"1"), fixture.submit(b"1")
    assert fixture.runner.cancel(second, "ann").state is JobState.CANCELLED
    work.gate.release()
    fixture.end_of(first)
    assert work.began_at == [0]


def test_a_stopped_server_goes_on_from_the_checkpoint(tmp_path: Path, opened: Callable[..., JobFixture]) -> None:
    before = opened(CountingWork(held=2), tmp_path)
    job_id = before.submit(b"4")
    before.until(job_id, lambda job: job.progress.frames == 2)
    before.close()
    work = CountingWork()
    after = opened(work, tmp_path)
    job = after.end_of(job_id)
    assert (work.began_at, job.progress.frames, job.attempts) == ([2], 4, 0)
    assert lines_of(after, job_id) == b"0\n1\n2\n3\n"


def test_what_a_killed_server_wrote_after_its_checkpoint_is_made_again(tmp_path: Path) -> None:
    with JobStore(tmp_path) as store:
        job = store.submit("ann", "", b"4", 10)[0]
        store.claim()
        written(tmp_path, job.job_id, b"0\n1\n2\n2 to")  # killed in the middle of a line
        store.save(job.job_id, progress(2, 4), packed(2))
    fixture = JobFixture(CountingWork(), tmp_path)
    assert fixture.end_of(job.job_id).progress == progress(4, 8)
    assert lines_of(fixture, job.job_id) == b"0\n1\n2\n3\n"
    fixture.close()


def test_a_job_that_ends_the_server_again_and_again_fails(tmp_path: Path) -> None:
    with JobStore(tmp_path) as store:
        job = store.submit("ann", "", b"4", 10)[0]
        for _ in range(3):
            store.claim()
            store.recover()
    fixture = JobFixture(CountingWork(), tmp_path, replace(EAGER, attempts=3))
    ended = fixture.end_of(job.job_id)
    assert (ended.state, ended.error) == (JobState.FAILED, "the server ended 3 times while it ran this job")
    fixture.close()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(MediaError("no video"), 3, "no video"), (ZeroDivisionError("oh"), 13, "ZeroDivisionError: oh")],
)
def test_a_fault_fails_the_job_and_not_the_worker(
    opened: Callable[..., JobFixture], error: Exception, code: int, message: str
) -> None:
    def work(context: JobContext) -> Recording:
        if context.job.request == b"bad":
            raise error
        return DONE

    fixture = opened(work)
    job = fixture.end_of(fixture.submit(b"bad"))
    assert (job.state, job.error_code, job.error) == (JobState.FAILED, code, message)
    assert fixture.end_of(fixture.submit(b"good")).state is JobState.DONE


def test_results_above_the_bound_fail_the_job(opened: Callable[..., JobFixture]) -> None:
    def work(context: JobContext) -> Recording:
        context.lines.append(b"x" * (2**20 + 1))
        return DONE

    fixture = opened(work, settings=JobSettings(kept_bytes=2**20))
    job = fixture.end_of(fixture.submit())
    assert (job.state, job.error_code, job.progress.frames) == (JobState.FAILED, 8, 0)


def test_jobs_beyond_the_bounds_are_forgotten_with_their_results(
    tmp_path: Path, opened: Callable[..., JobFixture]
) -> None:
    before = opened(CountingWork(), tmp_path)
    jobs = [before.submit() for _ in range(3)]
    before.end_of(jobs[-1])
    before.close()
    after = opened(CountingWork(), tmp_path, replace(EAGER, kept=1))
    assert after.store.ids() == after.results.ids() == {jobs[-1]}
    assert after.gauge("done") == 1  # of a job that this server never ran


def test_a_job_that_ends_makes_the_oldest_go(opened: Callable[..., JobFixture]) -> None:
    fixture = opened(CountingWork(), settings=replace(EAGER, kept=2))
    jobs = [fixture.submit() for _ in range(4)]
    fixture.end_of(jobs[-1])
    fixture.close()
    assert fixture.results.ids() == set(jobs[2:])


def test_without_a_folder_results_are_bounded_by_memory(tmp_path: Path) -> None:
    assert JobSettings().result_bytes == MEMORY_BYTES < JobSettings(state_dir=tmp_path).result_bytes
    assert JobSettings(kept_bytes=2**20).result_bytes == 2**20


def test_a_job_that_had_its_turn_waits_for_the_job_of_another_caller(opened: Callable[..., JobFixture]) -> None:
    work = CountingWork(held=1)
    fixture = opened(work, settings=replace(EAGER, turn_seconds=0.1))
    long = fixture.submit(b"5")
    fixture.until(long, lambda job: job.progress.frames == 1)
    short = fixture.runner.submit("bob", "", b"1").job_id
    assert fixture.end_of(short).state is JobState.DONE
    assert fixture.runner.get(long, None).state is not JobState.DONE
    work.gate.release(9)
    job = fixture.end_of(long)
    assert (job.state, job.progress.frames, job.attempts, work.began_at) == (JobState.DONE, 5, 0, [0, 0, 1])


def test_running_jobs_above_their_share_end_and_results_of_others_stay(opened: Callable[..., JobFixture]) -> None:
    def work(context: JobContext) -> Recording:
        size = 2**19 if context.job.owner == "ann" else 2**20 - 2**10
        context.lines.append(b"x" * size)
        if context.job.owner == "ann":
            return DONE
        context.on_progress(RecordingProgress(result_bytes=size), ANY_RESULT)
        context.checkpoints.save(Checkpoint({}, {}, size, RecordingStats()))
        fixture.runner.sweep(is_due=True)
        assert context.cancellation.wait(10)
        return CANCELLED

    fixture = opened(work, settings=replace(EAGER, kept_bytes=2**20))
    hers = fixture.submit()
    fixture.end_of(hers)
    his = fixture.end_of(fixture.runner.submit("bob", "", b"1").job_id)
    assert (his.state, his.error_code, "kept_bytes" in his.error) == (JobState.FAILED, 8, True)
    assert fixture.results.lines_of(hers).size == 2**19
