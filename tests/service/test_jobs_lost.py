"""Results that the job store does not know are moved away, not deleted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from acfd_stream.errors import OutputError
from acfd_stream.service.jobs.results import JobResults
from acfd_stream.types import JobState
from tests.service.job_fixture import CountingWork, JobFixture


def test_what_no_job_knows_is_set_aside_and_never_replaces_anything(tmp_path: Path) -> None:
    lost = "0123456789abcdef01234567"
    for text in (b"first", b"second"):
        results_folder = tmp_path / "results"
        results_folder.mkdir(exist_ok=True)
        (results_folder / f"{lost}.jsonl").write_bytes(text)
        (results_folder / "season1.jsonl").write_bytes(b"a user's own")
        JobFixture(CountingWork(), tmp_path).close()
    found = {path.name: path.read_bytes() for path in (tmp_path / "lost+found").iterdir()}
    assert found == {f"{lost}.jsonl": b"first", f"{lost}.1.jsonl": b"second"}
    assert [path.name for path in results_folder.iterdir()] == ["season1.jsonl"]


def test_results_that_cannot_be_set_aside_stay_and_the_server_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results" / "0123456789abcdef01234567.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"0\n")
    (tmp_path / "lost+found").write_bytes(b"no folder")
    with closing(JobFixture(CountingWork(), tmp_path)) as fixture:
        assert fixture.end_of(fixture.submit()).state is JobState.DONE
    assert path.read_bytes() == b"0\n"
    assert "stay where they are" in caplog.text


def test_forgetting_what_cannot_be_removed_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        JobResults(tmp_path, 100).forget("a")
