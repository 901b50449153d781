"""Gaps, seams, damaged frames and made up times in every format; an ordinary result says nothing of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from acfd_stream.outputs import FORMATS, ResultEnd, convert, open_writer, read_results
from acfd_stream.outputs.parquet import MARKS_KEY
from acfd_stream.outputs.report.summary import summary_of_results, summary_values
from acfd_stream.types import Gap, GapCause, Seam
from tests.outputs.made_up import HEADER, made_up

GAPS = (Gap(1.5, 0.25, GapCause.LOST_PACKETS), Gap(3.0, 0.0, GapCause.DAMAGED_CONTAINER))
END = ResultEnd(3, is_complete=False, gaps=GAPS)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Frame 2 is damaged, frame 3 is of another stream and size."""
    writer = open_writer(tmp_path / "a.jsonl", "jsonl", replace(HEADER, times="inferred"))
    for result in made_up(5):
        if result.index == 2:
            result = replace(result, is_damaged=True)
        if result.index == 3:
            result = replace(result, seams=(Seam.STREAM, Seam.SIZE), display_size=(100, 200))
        writer.write(result)
    writer.close(END)
    return tmp_path / "a.jsonl"


def test_json_lines_have_them_where_they_apply_and_give_them_back(place: Path) -> None:
    lines = [json.loads(line) for line in place.read_text().splitlines()]
    assert lines[0]["times"] == "inferred"
    assert [line.get("damaged") for line in lines[1:-1]] == [None, None, True, None, None]
    assert (lines[4]["seam"], lines[4]["display_size"]) == (["stream", "size"], [200, 100])
    assert not {"seam", "display_size"} & {key for line in (*lines[1:4], lines[5]) for key in line}
    assert lines[-1]["complete"] is False
    assert lines[-1]["gaps"] == [
        {"time": 1.5, "missing_seconds": 0.25, "cause": "lost packets"},
        {"time": 3.0, "missing_seconds": 0.0, "cause": "damaged container"},
    ]
    results = read_results(place)
    assert (results.header.times, results.end) == ("inferred", END)
    frames = list(results)
    assert [frame.is_damaged for frame in frames] == [False, False, True, False, False]
    assert (frames[3].seams, frames[3].display_size) == ((Seam.STREAM, Seam.SIZE), (100, 200))


@pytest.mark.parametrize("format", FORMATS)
def test_a_video_with_gaps_gives_finished_files(place: Path, tmp_path: Path, format: str) -> None:
    convert(read_results(place), tmp_path / "out", format)
    assert (tmp_path / "out").exists()
    if format == "jsonl":
        assert (tmp_path / "out").read_bytes() == place.read_bytes()


def test_gaps_beside_a_break_are_a_break() -> None:
    assert not END.is_broken
    assert replace(END, error="broke").is_broken
    assert ResultEnd(0, is_complete=False).is_broken


def test_parquet_lists_the_marked_frames_and_no_others(place: Path, tmp_path: Path) -> None:
    convert(read_results(place), tmp_path / "a.parquet", "parquet")
    said = json.loads(pq.read_metadata(tmp_path / "a.parquet").metadata[MARKS_KEY.encode()])
    assert said == [
        {"frame_index": 2, "damaged": True},
        {"frame_index": 3, "seam": ["stream", "size"], "display_size": [200, 100]},
    ]


def test_coco_gives_every_image_its_own_size(place: Path, tmp_path: Path) -> None:
    convert(read_results(place), tmp_path / "a.coco", "coco")
    images = json.loads((tmp_path / "a.coco").read_text())["images"]
    assert [(image["width"], image["height"]) for image in images] == [(854, 480)] * 3 + [(200, 100)] * 2
    assert [image.get("damaged") for image in images] == [None, None, True, None, None]


def test_a_report_says_gaps_without_calling_the_video_broken(place: Path) -> None:
    summary = summary_of_results(place)
    assert (summary.gaps, summary.is_complete, summary.is_broken) == (2, False, False)
    assert summary_values(summary)["gaps"] == 2
    assert "gaps" not in summary_values(replace(summary, gaps=0))
