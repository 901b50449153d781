"""Results that changed on the disk are not given out, and no job continues behind them."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from acfd_stream.errors import ResumeError
from acfd_stream.recording.lines import Limit
from acfd_stream.service.jobs import digests, results
from acfd_stream.service.jobs.digests import RunningDigests, Segment
from acfd_stream.service.jobs.results import JobLines, ResultsDamaged
from acfd_stream.types import JobState
from tests.service.job_fixture import CountingWork, JobFixture

LIMIT = Limit(10**6, "jobs.kept_bytes")
SIZE = 64


@pytest.fixture(autouse=True)
def has_small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (digests, results):
        monkeypatch.setattr(module, "SEGMENT_BYTES", SIZE)


def opened(path: Path, known: list[Segment] | None = None) -> JobLines:
    def between(first: int, last: int) -> dict[int, Segment]:
        return {each.number: each for each in known or [] if first <= each.number <= last}

    return JobLines(path, "the results", LIMIT, None if known is None else between)


def written(path: Path) -> list[Segment]:
    with closing(opened(path)) as lines:
        lines.truncate(0)
        for number in range(40):
            lines.append(b"%d %s\n" % (number, b"x" * (number % 7)))
        return lines.digests.segments()


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE, 5 * SIZE + 3])
def test_digests_are_those_of_the_bytes_however_they_came(size: int) -> None:
    data = random.Random(size).randbytes(size)
    at_once, in_parts = RunningDigests(), RunningDigests()
    at_once.add(data)
    for begin in range(0, size, 7):
        in_parts.add(data[begin : begin + 7])
    assert at_once.segments() == in_parts.segments()
    assert sum(segment.size for segment in at_once.segments()) == at_once.size == size
    assert all(segment.is_of(data[segment.number * SIZE :]) for segment in at_once.segments())


def test_digests_follow_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    whole = written(path)
    data = path.read_bytes()
    for size in (0, 10, SIZE, 2 * SIZE + 5):
        with closing(opened(path)) as lines:
            path.write_bytes(data)
            lines.truncate(size)
            lines.append(data[size:])
            assert lines.digests.segments() == whole


@pytest.mark.parametrize("at", [0, 5, SIZE, 3 * SIZE + 1, -1])
def test_a_byte_that_changed_is_found_where_it_is_read(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.jsonl"
    known = written(path)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] ^= 1
    path.write_bytes(data)
    reader, seen = opened(path, known), bytearray()

    def read_all() -> None:
        while lines := reader.read(len(seen), 16)[1]:
            seen.extend(lines)

    with pytest.raises(ResultsDamaged, match="damaged: bytes"):
        read_all()
    assert data.startswith(seen)
    assert len(seen) <= at // SIZE * SIZE  # of the damaged segment nothing


@pytest.mark.parametrize("left", [0, 1, SIZE, 3 * SIZE + 1])
def test_a_file_that_is_cut_off_or_gone_is_found(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.jsonl"
    known = written(path)
    path.write_bytes(path.read_bytes()[:left]) if left else path.unlink()
    with pytest.raises(ResultsDamaged):
        opened(path, known).read(left, 16)


def test_lines_without_digests_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    written(path)
    assert opened(path, []).read(0, 4)[1] == b"0 \n"


def test_lines_that_are_written_anew_meanwhile_are_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    before = written(path)
    path.write_bytes(b"other\n")
    answers = [before[:1], []]  # the store has forgotten the digests when it is asked again
    lines = JobLines(path, "the results", LIMIT, lambda first, last: {each.number: each for each in answers.pop(0)})
    assert lines.read(0, 16) == (0, b"other\n")


@pytest.mark.parametrize("change", [lambda data: b"9" + data[1:], lambda data: data[:-1] + b"9"])
def test_a_job_does_not_go_on_behind_damage(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.jsonl"
    known = written(path)
    size = path.stat().st_size
    path.write_bytes(change(path.read_bytes()))
    with closing(opened(path)) as lines:
        lines.expected = {each.number: each for each in known}
        with pytest.raises(ResumeError, match="damaged: bytes"):
            lines.truncate(size)
        lines.truncate(0)


def test_a_damaged_checkpoint_makes_a_job_begin_again_with_the_same_bytes(tmp_path: Path) -> None:
    with closing(JobFixture(CountingWork(held=5), tmp_path)) as before:
        job_id = before.submit(b"60")
        before.until(job_id, lambda job: job.progress.frames == 5)
    path = tmp_path / "results" / f"{job_id}.jsonl"
    path.write_bytes(b"7" + path.read_bytes()[1:])
    work = CountingWork()
    with closing(JobFixture(work, tmp_path)) as after:
        assert after.end_of(job_id).state is JobState.DONE
        assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(60))
        assert work.began_at == [0]
        known = after.store.digests(job_id)
    assert [known[number].is_of(path.read_bytes()[number * SIZE :]) for number in sorted(known)] == [True] * 3


def test_digests_of_a_job_are_stored_while_it_runs_and_forgotten_with_it(tmp_path: Path) -> None:
    with closing(JobFixture(CountingWork(held=50), tmp_path)) as fixture:
        job_id = fixture.submit(b"60")
        fixture.until(job_id, lambda job: job.progress.frames == 50)
        fixture.until(job_id, lambda job: len(fixture.store.digests(job_id)) == 3)
        fixture.runner.cancel(job_id, "ann")
        fixture.end_of(job_id)
        covered = sum(segment.size for segment in fixture.store.digests(job_id).values())
        assert covered == (tmp_path / "results" / f"{job_id}.jsonl").stat().st_size
        fixture.store.forget([job_id])
        assert fixture.store.digests(job_id) == {}
