"""A JSONL result read back: what it was written from, or one line that says what is wrong with it."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.errors import MediaError
from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.outputs.reader import read_results
from acfd_stream.types import Face, FaceState, FrameResult

TIME_BASE = Fraction(1, 24000)


def written(
    place: Path, pts: list[int], *, rate: Fraction | None = None, source: str = "clip.mkv", end: ResultEnd | None = None
) -> Path:
    """A result with one moving face, as ``track`` writes it."""
    model = {"name": "acfd-n", "version": "1", "precision": "f32"}
    writer = open_writer(
        place,
        "jsonl",
        ResultHeader(source, (480, 854), TIME_BASE, model, {"start": None, "detect": {"size": 640}}, rate),
    )
    for index, value in enumerate(pts):
        state = FaceState.FILLED if index % 2 else FaceState.DETECTED
        faces = (Face(1, (index + 0.126, 2.0, 30.5 + index, 40.125), 0.87654321, state), Face(2, (0, 0, 1, 1), 1.0))
        writer.write(FrameResult(index, value, TIME_BASE, float(value * TIME_BASE), faces[: index % 3], index // 4))
    writer.close(end or ResultEnd(tracks=2))
    return place


def rewritten(path: Path, place: Path) -> Path:
    results = read_results(path)
    writer = open_writer(place, "jsonl", results.header)
    for result in results:
        writer.write(result)
    writer.close(results.end)
    return place


@pytest.mark.parametrize("rate", [None, Fraction(24000, 1001), Fraction(25), Fraction(1, 3)])
@pytest.mark.parametrize("pts", [[], [7], [-1001, 0], [0, 1001, 2002, 3300, 9000, 9001], list(range(0, 700_000, 700))])
def test_what_is_read_and_written_again_has_the_same_bytes(
    pts: list[int], rate: Fraction | None, tmp_path: Path
) -> None:
    first = written(tmp_path / "a", pts, rate=rate)
    assert rewritten(first, tmp_path / "b").read_bytes() == first.read_bytes()


def test_a_broken_video_s_result_and_any_source_name_come_back(tmp_path: Path) -> None:
    end = ResultEnd(3, is_complete=False, error="broke at 3 s", warnings=("no index", "顔"))
    for source in ("顔.mkv", os.fsdecode(b"latin1-\xe9.avi"), "two\nlines", 'quote"'):
        first = written(tmp_path / "a", [0, 1001], source=source, end=end)
        results = read_results(first)
        assert (results.header.source, results.end, results.frames) == (source, end, 2)
        assert rewritten(first, tmp_path / "b").read_bytes() == first.read_bytes()


def test_both_ends_are_known_before_the_frames_which_can_be_read_twice(tmp_path: Path) -> None:
    results = read_results(written(tmp_path / "a", [0, 1001, 2002], rate=Fraction(24000, 1001)))
    assert (results.header.display_size, results.header.time_base) == ((480, 854), TIME_BASE)
    assert (results.end.tracks, results.frames, results.duration_seconds) == (2, 3, 0.125125)
    assert results.header.frame_rate == pytest.approx(23.976, abs=1e-3)
    assert [[frame.index for frame in results] for _ in range(2)] == [[0, 1, 2]] * 2


def test_a_rate_that_was_not_known_is_not_made_of_rounding(tmp_path: Path) -> None:
    results = read_results(written(tmp_path / "a", [0, 16_000]))  # 2/3 of a second
    assert (results.duration_seconds, results.header.frame_rate) == (0.666667, None)


def test_long_last_lines_are_found_whole(tmp_path: Path) -> None:
    first = written(tmp_path / "a", [0, 1001], end=ResultEnd(2, is_complete=False, error="x" * 200_000))
    results = read_results(first)
    assert (len(results.end.error or ""), len(list(results))) == (200_000, 2)


def test_a_result_without_its_closing_line_is_unfinished(tmp_path: Path) -> None:
    whole = written(tmp_path / "a", [0, 1001, 2002]).read_bytes()
    for length in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        (tmp_path / "b").write_bytes(whole[:length])
        with pytest.raises(MediaError, match="b: has no closing line, so the run did not finish; run it again"):
            read_results(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is not a line of a track result"),
        (b"\x00\xff\n", "line 1 is not a line of a track result"),
        (b"[1]\n[2]\n", "line 1 is not a line of a track result"),
        (b'{"type": "frame"}\n{"type": "end"}\n', "is not a track result of version 1"),
        (b'{"type": "header", "version": 2}\n{"type": "end"}\n', "is not a track result of version 1"),
        (b'{"type": "header", "version": 1}\n{"type": "end"}\n', "header or closing line is not as written by track"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(MediaError, match=message) as refusal:
        read_results(tmp_path / "odd")
    assert "\n" not in str(refusal.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(MediaError, match=f"{place.name}: cannot be read"):
            read_results(place)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "has 2 frames where its closing line says 3"),
        (b"{\n", "line 3 is not a line of a track result"),
        (b'{"type": "frame", "index": 1}\n', "line 3 is not a frame of a track result"),
    ],
)
def test_a_middle_that_was_damaged_is_said_when_it_is_read(line: bytes, message: str, tmp_path: Path) -> None:
    lines = written(tmp_path / "a", [0, 1001, 2002]).read_bytes().splitlines(keepends=True)
    (tmp_path / "a").write_bytes(b"".join([*lines[:2], line, *lines[3:]]))
    results = read_results(tmp_path / "a")
    with pytest.raises(MediaError, match=message):
        list(results)
