"""JSON lines: the keys, the rounding, and what an unfinished file looks like."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.outputs.jsonl import JsonlLines, frame_of
from acfd_stream.types import Face, FaceState, FrameResult

MODEL = {"name": "acfd-n", "version": "1"}


def header(source: str = "clip.mp4", frame_rate: Fraction | None = Fraction(25)) -> ResultHeader:
    return ResultHeader(source, (480, 854), Fraction(1, 12800), MODEL, {"start": None}, frame_rate)


def frame(index: int, faces: tuple[Face, ...] = (), **more: Any) -> FrameResult:
    return FrameResult(index, index * 512 - 512, Fraction(1, 12800), index / 25 - 0.04, faces, **more)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_result_is_header_frames_and_end(tmp_path: Path) -> None:
    place = tmp_path / "out.jsonl"
    writer = open_writer(place, "jsonl", header())
    face = Face(7, (1.005, 2.0, 30.126, 40.5), 0.87654321, FaceState.FILLED)
    writer.write(frame(0, (face,), shot=2, reused=True))
    writer.close(ResultEnd(tracks=1))
    assert place.read_text() == (
        '{"type": "header", "version": 1, "source": "clip.mp4", "width": 854, "height": 480, "time_base": "1/12800",'
        ' "model": {"name": "acfd-n", "version": "1"}, "settings": {"start": null}}\n'
        '{"type": "frame", "index": 0, "pts": -512, "time": -0.04, "shot": 2, "reused": true, "faces":'
        ' [{"id": 7, "box": [1.0, 2.0, 30.13, 40.5], "score": 0.8765, "state": "filled"}]}\n'
        '{"type": "end", "frames": 1, "tracks": 1, "duration": 0.04, "complete": true}\n'
    )


def test_caps_and_filled_pts_show_in_their_frame(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", "jsonl", header())
    writer.write(frame(0, is_pts_filled=True, is_truncated=True))
    writer.close(ResultEnd(tracks=0))
    line = lines_of(tmp_path / "out")[1]
    assert line["pts_filled"] is True
    assert line["truncated"] is True


def test_a_broken_input_closes_as_incomplete_with_its_error(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", "jsonl", header())
    writer.write(frame(0))
    writer.close(ResultEnd(tracks=0, is_complete=False, error="broke at frame 1"))
    end = lines_of(tmp_path / "out")[-1]
    assert end["complete"] is False
    assert end["error"] == "broke at frame 1"


def test_warnings_stand_in_the_closing_line_of_a_complete_file(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", "jsonl", header())
    writer.close(ResultEnd(tracks=0, warnings=("6 of 745 frames",)))
    end = lines_of(tmp_path / "out")[-1]
    assert end == {
        "type": "end", "frames": 0, "tracks": 0, "duration": 0.0, "complete": True, "warnings": ["6 of 745 frames"],
    }  # fmt: skip


def test_every_frame_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", "jsonl", header())
    for index in range(3):
        writer.write(frame(index))
        assert lines_of(tmp_path / "out")[-1]["index"] == index
    writer.abort()


def test_an_aborted_file_keeps_its_lines_and_has_no_closing_line(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", "jsonl", header())
    writer.write(frame(0))
    writer.abort()
    assert [line["type"] for line in lines_of(tmp_path / "out")] == ["header", "frame"]


def test_duration_counts_the_last_frame_where_the_rate_is_known(tmp_path: Path) -> None:
    durations = []
    for rate in (Fraction(25), None):
        writer = open_writer(tmp_path / "out", "jsonl", header(frame_rate=rate))
        for index in range(50):
            writer.write(frame(index))
        writer.close(ResultEnd(tracks=0))
        durations.append(lines_of(tmp_path / "out")[-1]["duration"])
    assert durations == [2.0, 1.96]


def test_minus_zero_is_written_as_zero(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", "jsonl", header())
    writer.write(frame(1, (Face(1, (-0.001, -0.0, 1.0, 1.0), 1.0),)))
    writer.close(ResultEnd(tracks=1))
    assert b"-0.0" not in (tmp_path / "out").read_bytes()


def test_any_file_name_comes_back_from_the_header(tmp_path: Path) -> None:
    for name in ("顔.mp4", 'quote".mkv', os.fsdecode(b"latin1-\xe9.avi"), "two\nlines.mp4"):
        open_writer(tmp_path / "out", "jsonl", header(source=name)).abort()
        assert [line["source"] for line in lines_of(tmp_path / "out")] == [name]


def test_lines_broken_off_anywhere_go_on_the_same_from_a_saved_state() -> None:
    whole = JsonlLines(header())
    wanted = [whole.header(), *(whole.frame(frame(index)) for index in range(3)), whole.end(ResultEnd(tracks=0))]
    for done in range(4):
        first = JsonlLines(header())
        lines = [first.header(), *(first.frame(frame(index)) for index in range(done))]
        rest = JsonlLines(header(), json.loads(json.dumps(first.state())))
        lines += [rest.frame(frame(index)) for index in range(done, 3)]
        assert [*lines, rest.end(ResultEnd(tracks=0))] == wanted


def test_a_line_read_back_and_written_again_is_the_same() -> None:
    faces = (Face(1, (1.005, 2.0, 30.126, 40.5), 0.87654321, FaceState.FILLED), Face(2, (0.0, 0.0, 1.0, 1.0), 1.0))
    for result in (frame(3, faces, shot=2, reused=True, is_pts_filled=True), frame(4, is_truncated=True)):
        line = JsonlLines(header()).frame(result)
        assert JsonlLines(header()).frame(frame_of(json.loads(line), result.time_base)) == line
