"""A format made of finished JSON lines is the format itself, byte for byte, and no format holds a long film."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.outputs import FORMATS, ResultEnd, convert, open_writer, parquet, read_results
from tests.outputs.made_up import END, HEADER, made_up, write_made_up

every_format = pytest.mark.parametrize("format", FORMATS)


@every_format
@pytest.mark.parametrize("rate", [None, Fraction(24000, 1001), Fraction(24)])
@pytest.mark.parametrize(("count", "first_pts"), [(0, 0), (1, 7), (2, -5000), (90, -1001)])
def test_made_of_json_lines_it_has_the_same_bytes(
    format: str, rate: Fraction | None, count: int, first_pts: int, tmp_path: Path
) -> None:
    header = replace(HEADER, frame_rate=rate)
    at_once = write_made_up(tmp_path / "a", format, count, header, first_pts=first_pts)
    lines = write_made_up(tmp_path / "lines", "jsonl", count, header, first_pts=first_pts)
    convert(read_results(lines), tmp_path / "b", format)
    assert (tmp_path / "b").read_bytes() == at_once.read_bytes()


@every_format
def test_results_that_are_damaged_leave_nothing_under_the_name(format: str, tmp_path: Path) -> None:
    lines = write_made_up(tmp_path / "lines", "jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "lines").write_bytes(b"".join([*lines[:50], b"{}\n", *lines[51:]]))
    with pytest.raises(MediaError, match="lines: line 51 is not"):
        convert(read_results(tmp_path / "lines"), tmp_path / "out", format)
    assert not (tmp_path / "out").exists()


@every_format
def test_results_of_a_broken_video_stay_marked(format: str, tmp_path: Path) -> None:
    end = ResultEnd(3, is_complete=False, error="broke")
    lines = write_made_up(tmp_path / "lines", "jsonl", end=end)
    convert(read_results(lines), tmp_path / "out", format)
    assert (tmp_path / "out").exists() == (format == "jsonl")
    assert (tmp_path / "out.part").exists() == (format != "jsonl")


def test_a_format_that_there_is_not_is_refused(tmp_path: Path) -> None:
    results = read_results(write_made_up(tmp_path / "lines", "jsonl", 2))
    with pytest.raises(ConfigError, match="format must be one of jsonl, parquet"):
        convert(results, tmp_path / "out", "xml")
    assert not (tmp_path / "out").exists()


class Nowhere:
    """Takes bytes and keeps none."""

    name = "nowhere"

    def write(self, piece: bytes) -> int:
        return len(piece)

    def flush(self) -> None:
        """Nothing waits."""


def peak_bytes(format: str, frames: int) -> int:
    """Most that was held while so many frames were written."""
    tracemalloc.start()
    writer = open_writer(Nowhere(), format, HEADER)  # type: ignore[arg-type]
    for result in made_up(frames):
        writer.write(result)
    writer.close(END)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@every_format
def test_memory_does_not_grow_with_the_film(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 500)
    peak_bytes(format, 10)  # what is loaded and built once
    grown = (peak_bytes(format, 2000) - peak_bytes(format, 500)) / 1500
    assert grown < 100  # bytes a frame: held as objects, a frame's faces would be ten times as much
