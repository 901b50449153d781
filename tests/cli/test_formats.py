"""``track --format``: every format from the outside."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webvtt
from pycocotools.coco import COCO

from acfd_stream.outputs import FORMATS
from tests.cli.test_track import command, names, track

NAMES = {
    **{"jsonl": "a.jsonl", "parquet": "a.parquet", "csv": "a.csv", "mot": "a.txt"},
    **{"mot-characters": "a.txt", "coco": "a.coco.json", "vtt": "a.vtt", "srt": "a.srt"},
}
OLDER = '{"type": "header", "version": 1, "source": "a", "time_base": "1/24", "model": {}, "settings": {}}\n'
"""A result, which may be replaced."""


def test_every_format_has_its_own_ending_and_holds_every_frame(tmp_path: Path) -> None:
    assert tuple(NAMES) == FORMATS
    for format, name in NAMES.items():
        done = track(tmp_path, "/videos/a.mp4", "--format", format)
        assert done.returncode == 0
        assert done.stderr.splitlines()[-1] == name
    assert names(tmp_path) == sorted({*NAMES.values()})
    assert pq.read_table(tmp_path / "a.parquet")["pts"].to_pylist() == [0, 40, 80]
    assert len(COCO(str(tmp_path / "a.coco.json")).anns) == 3
    for cues in (webvtt.read(tmp_path / "a.vtt"), webvtt.from_srt(tmp_path / "a.srt")):
        assert [(cue.start, cue.end) for cue in cues] == [("00:00:00.000", "00:00:00.120")]
    assert (tmp_path / "a.csv").read_text().count("\n") == 4
    assert (tmp_path / "a.txt").read_text().count("\n") == 3


def test_without_an_option_the_name_of_the_output_chooses_the_format(tmp_path: Path) -> None:
    begins = {"b.csv": b"frame,time,", "B.SRT": b"1\n", "b.coco.json": b'{"licenses"', "b.parquet": b"PAR1"}
    begins |= {"b.txt": b'{"type": "header"', "b.mot.txt": b"1,1,"}
    for name, begin in begins.items():
        assert track(tmp_path, "a.mp4", "-o", name).returncode == 0
        assert (tmp_path / name).read_bytes().startswith(begin)
    assert track(tmp_path, "a.mp4", "-o", "b.csv", "--format", "vtt").returncode == 0
    assert (tmp_path / "b.csv").read_bytes().startswith(b"WEBVTT")


@pytest.mark.parametrize("format", ["parquet", "coco", "vtt"])
def test_an_input_that_breaks_leaves_a_part_that_says_so(format: str, tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "-o", "out", "--format", format, error="it is cut off")
    assert (done.returncode, names(tmp_path)) == (1, ["out.part"])
    assert "a.mp4: it is cut off; 3 frames kept in out.part, which is marked incomplete" in done.stderr
    assert b'"complete": false' in (tmp_path / "out.part").read_bytes()


def test_parquet_can_go_down_a_pipe(tmp_path: Path) -> None:
    call = command({}, "track", "a.mp4", "-o", "-", "--format", "parquet")
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 3
    assert names(tmp_path) == []


def test_parquet_without_its_library_is_one_line_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text(OLDER)
    program = "import runpy, sys; sys.modules['pyarrow'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    call = command({}, "track", "a.mp4", "-o", "out", "--format", "parquet")
    done = subprocess.run(
        [sys.executable, "-c", program, *call[2:]], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "parquet needs pyarrow, which is not installed; pip install 'acfd-stream[parquet]' brings it" in done.stderr
    assert (tmp_path / "out").read_text() == OLDER
