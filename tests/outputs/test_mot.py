"""MOT text: the row, and the name that says whether it is whole."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.types import Face, FrameResult

HEADER = ResultHeader("clip.mp4", (480, 854), Fraction(1, 25), {"name": "acfd-n"})


def frame(index: int, *faces: Face) -> FrameResult:
    return FrameResult(index, index, Fraction(1, 25), index / 25, faces)


def test_rows_count_frames_from_one_and_hold_left_top_width_height(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out.txt", "mot", HEADER)
    writer.write(frame(0, Face(1, (10.0, 20.0, 30.5, 60.25), 0.9), Face(3, (-0.001, 0.0, 5.0, 5.0), 0.12345)))
    writer.write(frame(1))
    writer.write(frame(2, Face(1, (11.0, 20.0, 31.5, 60.25), 1.0)))
    writer.close(ResultEnd(tracks=2))
    assert (tmp_path / "out.txt").read_text() == (
        "1,1,10.00,20.00,20.50,40.25,0.9000,-1,-1,-1\n"
        "1,3,0.00,0.00,5.00,5.00,0.1235,-1,-1,-1\n"
        "3,1,11.00,20.00,20.50,40.25,1.0000,-1,-1,-1\n"
    )


def test_rows_have_another_name_until_the_end(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out.txt", "mot", HEADER)
    writer.write(frame(0, Face(1, (0.0, 0.0, 1.0, 1.0), 1.0)))
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt.part"]
    writer.close(ResultEnd(tracks=1))
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_half_a_result_never_gets_the_final_name(tmp_path: Path) -> None:
    for name, end in (("broken", ResultEnd(tracks=1, is_complete=False, error="broke")), ("aborted", None)):
        writer = open_writer(tmp_path / name, "mot", HEADER)
        writer.write(frame(0, Face(1, (0.0, 0.0, 1.0, 1.0), 1.0)))
        writer.abort() if end is None else writer.close(end)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aborted.part", "broken.part"]
    assert (tmp_path / "broken.part").read_text().count("\n") == 1
