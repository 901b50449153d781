"""One contract for result lines in files and in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.service.jobs.results import FileResults, MemoryResults, ResultLog


@pytest.fixture(params=["memory", "files"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> ResultLog:
    return MemoryResults() if request.param == "memory" else FileResults(tmp_path / "results")


def test_pages_hold_whole_lines_up_to_a_size_but_at_least_one(results: ResultLog) -> None:
    results.append("a", b"one\ntwo\n")
    results.append("a", b"a longer line\n")
    assert results.read("a", 0, 9) == (0, b"one\ntwo\n")
    assert results.read("a", 8, 5) == (8, b"a longer line\n")
    assert results.read("a", 22, 100) == (22, b"")
    assert results.size("a") == 22


@pytest.mark.parametrize(("offset", "begin"), [(0, 0), (1, 4), (3, 4), (4, 4), (5, 8), (7, 8), (8, 8)])
def test_reading_begins_where_the_next_line_does(results: ResultLog, offset: int, begin: int) -> None:
    results.append("a", b"one\ntwo\n")
    assert results.read("a", offset, 100) == (begin, b"one\ntwo\n"[begin:])


@pytest.mark.parametrize("offset", [0, 3, 4, 6, 7, 100])
def test_a_line_that_is_not_whole_is_not_read(results: ResultLog, offset: int) -> None:
    results.append("a", b"one\ntw")
    assert results.read("a", offset, 100)[1] == (b"one\n" if offset == 0 else b"")


def test_lines_are_cut_back_to_what_was_kept(results: ResultLog) -> None:
    results.append("a", b"one\ntwo\n")
    assert results.cut("a", 4)
    assert results.read("a", 0, 100) == (0, b"one\n")
    assert not results.cut("a", 99)
    assert results.size("a") == 0


def test_jobs_are_apart_and_can_be_forgotten(results: ResultLog) -> None:
    results.append("a", b"one\n")
    results.append("b", b"two\n")
    results.sync("a")
    results.forget("a")
    results.forget("never there")
    assert (results.ids(), results.size("a"), results.read("b", 0, 100)[1]) == ({"b"}, 0, b"two\n")


def test_nothing_is_there_at_first(results: ResultLog) -> None:
    results.sync("a")
    assert (results.cut("a", 0), results.size("a"), results.read("a", 0, 100)) == (True, 0, (0, b""))


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot make"):
        FileResults(tmp_path / "file" / "results")


def test_lines_that_cannot_be_written_are_an_output_error(tmp_path: Path) -> None:
    results = FileResults(tmp_path)
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(OutputError, match="job a cannot be written"):
        results.append("a", b"one\n")
