"""A command replaces results of its own, by their content, and no other file."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.files import OVERLAY_COMMENT
from acfd_stream.outputs import FORMATS, ResultEnd, open_writer
from acfd_stream.outputs.recognise import is_result, is_unfinished_result, require_replaceable
from acfd_stream.outputs.report import EpisodeRow, write_episode_report, write_index
from acfd_stream.video.render import OverlayWriter
from tests.outputs.test_writer_contract import END, HEADER, write_frames
from tests.pipeline.conftest import write_clip
from tests.video.test_render import render

FOREIGN = {
    "notes.jsonl": b'{"my": "own notes"}\n',
    "header.jsonl": b'{"type": "header", "version": 2}\n',
    "subtitles.vtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\nmine\n",
    "commented.vtt": b"WEBVTT\n\nNOTE\nmine\n\n",
    "subtitles.srt": b"1\n00:00:00,000 --> 00:00:01,000\nmine\n\n",
    "rows.csv": b"frame,time,shot,mine\n0,0.0,0,1\n",
    "numbers.txt": b"1,2,3\n4,5,6\n",
    "diary.html": b"<!doctype html>\n<html><title>mine</title>",
    "cut.parquet": b"PAR1" + bytes(100) + b"PAR1",
    "coco.json": b'{"licenses": [], "categories": []}',
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("frames", [0, 3, 3000])
def test_results_of_every_format_are_recognised(format: str, frames: int, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "whole", format, HEADER)
    write_frames(writer, frames)
    writer.close(END)
    assert is_result(tmp_path / "whole")
    require_replaceable("--output", tmp_path / "whole")


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_kill_left_is_recognised(format: str, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out", format, HEADER)
    write_frames(writer, 3)
    writer.abort(is_failure=True)
    assert is_unfinished_result(tmp_path / "out.part")
    require_replaceable("--output", tmp_path / "out")


def test_overlays_and_pages_are_recognised(tmp_path: Path) -> None:
    render(write_clip(tmp_path / "clip.mkv"), tmp_path / "seen.mp4")
    assert is_result(tmp_path / "seen.mp4")
    writer = open_writer(tmp_path / "a.jsonl", "jsonl", HEADER)
    write_frames(writer, 3)
    writer.close(ResultEnd(tracks=3))
    write_episode_report(tmp_path / "a.jsonl", None, tmp_path / "a.html")
    write_index(tmp_path, [EpisodeRow("a", "done", tmp_path / "a.jsonl")])
    assert is_result(tmp_path / "a.html")
    assert is_result(tmp_path / "index.html")


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_somebody_s_is_kept_unless_the_caller_insists(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    place.write_bytes(FOREIGN[name])
    assert not is_result(place)
    with pytest.raises(ConfigError, match=rf"--output \S+ would replace \S+{name}, which is no result .* --overwrite"):
        require_replaceable("--output", place)
    require_replaceable("--output", place, overwrites=True)


def test_a_video_is_no_result(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4"):
        with pytest.raises(ConfigError, match="no result"):
            require_replaceable("--overlay", write_clip(tmp_path / name))


@pytest.mark.parametrize("name", ["a.vtt", "a.mp4"])
def test_a_file_with_the_name_of_an_unfinished_result_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.part").write_bytes(b"a download of mine")
    with pytest.raises(ConfigError, match=rf"would replace \S+{name}.part"):
        require_replaceable("--output", tmp_path / name)


@pytest.mark.parametrize("target", ["mine", "nothing"])
def test_a_link_with_the_name_of_an_unfinished_result_is_never_followed(target: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "a.vtt.part").symlink_to(tmp_path / target)
    with pytest.raises(ConfigError, match="is a link"):
        require_replaceable("--output", tmp_path / "a.vtt", overwrites=True)
    with pytest.raises(OutputError):
        open_writer(tmp_path / "a.vtt", "vtt", HEADER)
    (tmp_path / "a.mp4.part").symlink_to(tmp_path / target)
    with pytest.raises(OutputError):
        OverlayWriter(tmp_path / "a.mp4")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_another_name_of_an_older_result_keeps_its_content(tmp_path: Path) -> None:
    for frames in (2, 1):
        writer = open_writer(tmp_path / "a.jsonl", "jsonl", HEADER)
        write_frames(writer, frames)
        writer.close(END)
        if frames == 2:
            (tmp_path / "kept").hardlink_to(tmp_path / "a.jsonl")
    assert (tmp_path / "kept").read_bytes().count(b'"frame"') == 2
    assert (tmp_path / "a.jsonl").read_bytes().count(b'"frame"') == 1


def test_a_text_that_names_the_comment_of_overlays_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(f"how to find an {OVERLAY_COMMENT}\n")
    assert not is_result(path)


def test_pipes_and_devices_pass() -> None:
    require_replaceable("--output", "/dev/null")
