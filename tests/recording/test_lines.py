"""One contract for result lines in files and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from acfd_stream.errors import OutputError, ResumeError
from acfd_stream.recording.lines import FileLines, Limit, Lines, MemoryLines

LIMIT = Limit(40, "jobs.kept_bytes")
Reopen = Callable[[], Lines]


@pytest.fixture(params=["memory", "files"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    """Gives the lines again and again, as every reader gets them."""
    if request.param == "files":
        return lambda: FileLines(tmp_path / "results" / "a.jsonl", limit=LIMIT)
    memory = MemoryLines("the results", LIMIT)
    return lambda: memory


@pytest.fixture
def lines(reader: Reopen) -> Iterator[Lines]:
    """Of the writer."""
    with closing(reader()) as writer:
        yield writer


def test_pages_hold_whole_lines_up_to_a_size_but_at_least_one(lines: Lines, reader: Reopen) -> None:
    lines.append(b"one\ntwo\n")
    lines.append(b"a longer line\n")
    assert reader().read(0, 9) == (0, b"one\ntwo\n")
    assert reader().read(8, 5) == (8, b"a longer line\n")
    assert reader().read(22, 100) == (22, b"")
    assert reader().size == lines.size == 22


@pytest.mark.parametrize(("offset", "begin"), [(0, 0), (1, 4), (3, 4), (4, 4), (5, 8), (7, 8), (8, 8)])
def test_reading_begins_where_the_next_line_does(lines: Lines, reader: Reopen, offset: int, begin: int) -> None:
    lines.append(b"one\ntwo\n")
    assert reader().read(offset, 100) == (begin, b"one\ntwo\n"[begin:])


@pytest.mark.parametrize("offset", [0, 3, 4, 6, 7, 100])
def test_a_line_that_is_not_whole_is_not_read(lines: Lines, offset: int) -> None:
    lines.append(b"one\ntw")
    assert lines.read(offset, 100)[1] == (b"one\n" if offset == 0 else b"")


def test_lines_are_cut_back_to_what_was_kept(lines: Lines) -> None:
    lines.append(b"one\ntwo\n")
    lines.truncate(4)
    assert lines.read(0, 100) == (0, b"one\n")
    with pytest.raises(ResumeError, match="4 bytes, and the checkpoint says 99"):
        lines.truncate(99)
    lines.append(b"three\n")
    assert lines.read(0, 100) == (0, b"one\nthree\n")


def test_a_writer_continues_after_what_another_one_wrote(lines: Lines, reader: Reopen) -> None:
    lines.append(b"one\n")
    lines.sync()
    lines.close()
    with closing(reader()) as later:
        later.append(b"two\n")
        assert later.starts_with(b"one\n")
        assert not later.starts_with(b"two\n")
    assert reader().read(0, 100) == (0, b"one\ntwo\n")


def test_nothing_is_there_at_first(lines: Lines) -> None:
    assert (lines.size, lines.read(0, 100), lines.starts_with(b"one\n")) == (0, (0, b""), False)
    lines.truncate(0)
    lines.sync()


def test_lines_beyond_the_limit_are_refused_and_leave_nothing(lines: Lines) -> None:
    lines.append(b"one\n")
    with pytest.raises(OutputError, match=r"larger than the limit, jobs\.kept_bytes = 40"):
        lines.append(b"x" * 37)
    assert lines.size == 4


def test_lines_that_cannot_be_written_are_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot write the results of job a"):
        FileLines(tmp_path / "a.jsonl", name="the results of job a").append(b"one\n")


def test_half_a_line_on_a_full_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = FileLines(tmp_path / "a.jsonl")
    lines.append(b"one\n")
    file = lines._opened()

    class Full:
        """Takes two bytes, then nothing."""

        def __init__(self) -> None:
            self.is_full = False

        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

        def write(self, data: memoryview) -> int:
            if self.is_full:
                raise OSError(28, "No space left on device")
            self.is_full = True
            return file.write(data[:2]) or 0

    monkeypatch.setattr(lines, "_file", Full())
    with closing(lines), pytest.raises(OutputError, match="No space left on device; make room"):
        lines.append(b"two\n")
    assert (tmp_path / "a.jsonl").read_bytes() == b"one\n"


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_lost_its_name_while_it_was_written_is_noticed(tmp_path: Path, is_replaced: bool) -> None:
    lines = FileLines(tmp_path / "results" / "a.jsonl")
    lines.append(b"one\n")
    lines.sync()
    lines.path.unlink()
    if is_replaced:
        lines.path.write_bytes(b"one\n")
    with pytest.raises(OutputError, match="was removed or replaced"):
        lines.sync()
    lines.close()
