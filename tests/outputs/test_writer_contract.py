"""What every writer must do; a new format is one more parameter."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet
import pytest
import webvtt

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.outputs import FORMATS, ResultEnd, ResultHeader, Writer, open_writer
from acfd_stream.types import Face, FrameResult

HEADER = ResultHeader(
    "clip.mp4", (360, 640), Fraction(1, 24), {"name": "acfd-n", "version": "1"}, frame_rate=Fraction(24)
)
END = ResultEnd(tracks=1)

every_format = pytest.mark.parametrize("format", FORMATS)


def frame(index: int, *faces: Face) -> FrameResult:
    return FrameResult(index, index, Fraction(1, 24), index / 24, faces)


def face(track_id: int = 1, x: float = 10.0) -> Face:
    return Face(track_id, (x, 20.0, x + 30.0, 60.0), 0.75, character=track_id)


def write_frames(writer: Writer, count: int, begin: int = 0) -> None:
    """A face a frame, each of its own track and one pixel further to the right."""
    for index in range(begin, begin + count):
        writer.write(frame(index, face(index + 1, index)))


def write_and_close(writer: Writer, count: int) -> None:
    write_frames(writer, count)
    writer.close(END)


def positions(format: str, place: Path) -> list[float]:
    """Of each face in the file its left edge, which is its frame's index; subtitles have the frame's time only."""
    if format == "parquet":
        return [float(x) for x in pyarrow.parquet.read_table(place)["x1"].to_pylist()]
    if format == "coco":
        return [annotation["bbox"][0] for annotation in json.loads(place.read_bytes())["annotations"]]
    if format == "vtt":
        return [round(cue.start_time.in_milliseconds() * 24 / 1000) for cue in webvtt.read(place)]
    if format == "srt":
        return [round(cue.start_time.in_milliseconds() * 24 / 1000) for cue in webvtt.from_srt(place)]
    lines = place.read_text().splitlines()
    if format == "csv":
        return [float(row["x1"]) for row in csv.DictReader(lines)]
    if format.startswith("mot"):
        return [float(line.split(",")[2]) for line in lines]
    return [face["box"][0] for line in lines for face in json.loads(line).get("faces", [])]


@every_format
def test_frames_stand_in_the_order_they_came(format: str, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", format, HEADER)
    write_frames(writer, 12)
    writer.close(END)
    assert positions(format, tmp_path / "out") == list(range(12))


@every_format
def test_same_results_give_same_bytes(format: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        writer = open_writer(tmp_path / name, format, HEADER)
        write_frames(writer, 5)
        writer.close(END)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != b""


@every_format
def test_frames_without_faces_are_no_error(format: str, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", format, HEADER)
    writer.write(frame(0))
    writer.close(ResultEnd(tracks=0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@every_format
def test_file_names_need_not_be_ascii(format: str, tmp_path: Path) -> None:
    place = tmp_path / "Папка" / "顔 – 第1話.out"
    place.parent.mkdir()
    writer = open_writer(place, format, HEADER)
    write_frames(writer, 1)
    writer.close(END)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


@every_format
def test_an_older_result_is_replaced(format: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("older\n" * 1000)
    writer = open_writer(tmp_path / "out", format, HEADER)
    write_frames(writer, 1)
    writer.close(END)
    assert b"older" not in (tmp_path / "out").read_bytes()


@every_format
def test_a_link_stays_a_link(format: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("older")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    writer = open_writer(tmp_path / "link", format, HEADER)
    write_frames(writer, 1)
    writer.close(END)
    assert (tmp_path / "link").is_symlink()
    assert b"older" not in (tmp_path / "real").read_bytes()


@every_format
def test_a_link_to_nothing_makes_its_file(format: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    writer = open_writer(tmp_path / "link", format, HEADER)
    write_frames(writer, 1)
    writer.close(END)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes()


@every_format
def test_a_file_that_another_process_writes_is_left_alone(format: str, tmp_path: Path) -> None:
    first = open_writer(tmp_path / "out", format, HEADER)
    write_frames(first, 2)
    with pytest.raises(OutputError, match=r"out: another process is writing it; choose another place"):
        open_writer(tmp_path / "out", format, HEADER)
    write_frames(first, 2, begin=2)
    first.close(END)
    assert positions(format, tmp_path / "out") == [0, 1, 2, 3]
    open_writer(tmp_path / "out", format, HEADER).close(END)


@every_format
def test_a_read_only_file_is_not_replaced(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_text("older")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs the tests may write everything
    with pytest.raises(OutputError, match="out: Permission denied; choose another place"):
        open_writer(tmp_path / "out", format, HEADER)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


@every_format
def test_a_stream_is_written_and_left_open(format: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    for place in (stream, tmp_path / "out"):
        writer = open_writer(place, format, HEADER)
        write_frames(writer, 3)
        writer.close(END)
    assert stream.getvalue() == (tmp_path / "out").read_bytes()


@every_format
def test_a_reader_that_goes_away_is_a_broken_pipe(format: str) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as stream:
        writer = open_writer(stream, format, HEADER)
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            write_and_close(writer, 1)


@every_format
@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_second_end_does_nothing(format: str, end: str, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", format, HEADER)
    write_frames(writer, 2)
    writer.abort() if end == "abort" else writer.close(END)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    writer.close(END)
    writer.abort()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@every_format
def test_nothing_can_be_written_after_the_end(format: str, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", format, HEADER)
    writer.close(END)
    with pytest.raises(OutputError, match="closed"):
        writer.write(frame(0, face()))


@every_format
def test_a_missing_folder_is_named(format: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/out: No such file or directory; choose another place"):
        open_writer(tmp_path / "no" / "out", format, HEADER)


@every_format
def test_a_folder_is_not_a_place(format: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="directory"):
        open_writer(tmp_path, format, HEADER)


@every_format
@pytest.mark.skipif(os.name != "posix", reason="/dev/full")
def test_a_full_device_is_said_and_left_alone(format: str) -> None:
    with pytest.raises(OutputError, match=r"cannot write /dev/full: No space left on device; make room"):
        write_and_close(open_writer("/dev/full", format, HEADER), 1)
    assert os.path.exists("/dev/full")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
sys.path.insert(0, sys.argv[3])
from test_writer_contract import HEADER, open_writer, write_and_close
from acfd_stream.errors import OutputError
try:
    write_and_close(open_writer(sys.argv[1], sys.argv[2], HEADER), 100)
except OutputError as error:
    print(error)
"""


@every_format
def test_a_full_disk_leaves_whole_lines_in_part_and_nothing_under_the_name(format: str, tmp_path: Path) -> None:
    place = tmp_path / "out"
    command = [sys.executable, "-B", "-c", LIMITED, str(place), format, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        f"cannot write {place}: File too large; make room or choose another place; "
        f"what was written so far is in {place}.part\n"
    ), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.part"]
    kept = (tmp_path / "out.part").read_bytes()
    if format == "parquet":
        assert kept == b"PAR1"  # no row group was written
    else:
        assert 1000 < len(kept) <= 1500
        assert kept.endswith((b"\n", b"}"))


@every_format
def test_an_abort_for_a_failure_leaves_nothing_under_the_name(format: str, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", format, HEADER)
    write_frames(writer, 2)
    writer.abort(is_failure=True)
    writer.abort(is_failure=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.part"]


def test_an_unknown_format_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"format must be one of {', '.join(FORMATS)}, got 'xml'"):
        open_writer(tmp_path / "out", "xml", HEADER)
    assert not list(tmp_path.iterdir())
