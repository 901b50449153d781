"""What is written of a video holds the final characters, however the recording went; a stream says what is known."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

from acfd_stream.characters import Character
from acfd_stream.config import VideoConfig
from acfd_stream.errors import OutputError
from acfd_stream.identity.views_file import read_views
from acfd_stream.outputs import FORMATS, convert, read_results
from acfd_stream.pipeline import session
from acfd_stream.recording.derived import frames_again
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.record import Recorder
from acfd_stream.recording.sinks import FormatSink, OverlaySink
from acfd_stream.recording.task import RecordingSettings, RecordingState, RecordingTask
from acfd_stream.recording.views import ViewsSink
from acfd_stream.video.render import OverlayWriter
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder
from tests.recording.clips import write_growing
from tests.recording.scripted_characters import CONFIG, NAME, NUMBER, install
from tests.recording.test_episode import Glance, stop_after

WITH = RecordingSettings(characters=CONFIG)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv"))


@pytest.fixture(autouse=True)
def _script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "open_characters", session.open_characters)  # to put it back
    install()


def record(clip: str, *sinks: Any, settings: RecordingSettings = WITH, **more: Any) -> None:
    Recorder(source=clip, settings=settings, engine=SquareFinder(), sinks=sinks, name="clip", **more).record()


@pytest.fixture
def lines(clip: str, tmp_path: Path) -> Path:
    """JSON lines with the final answer."""
    record(clip, FormatSink(tmp_path / "final.jsonl", "jsonl"))
    return tmp_path / "final.jsonl"


def said(place: Path) -> set[tuple[int, str]]:
    frames = [json.loads(line) for line in place.read_bytes().splitlines()]
    assert not any("links" in frame for frame in frames)
    return {(face.get("character", 0), face.get("name", "")) for frame in frames for face in frame.get("faces", ())}


def test_a_file_holds_the_final_answer_and_else_the_lines_without_characters(
    clip: str, lines: Path, tmp_path: Path
) -> None:
    assert said(lines) == {(NUMBER, NAME)}
    assert read_results(lines).end.characters == (Character(NUMBER, (1, 2), 0.875, NAME),)
    record(clip, FormatSink(tmp_path / "without.jsonl", "jsonl"), settings=RecordingSettings())
    with_them = [json.loads(line) for line in lines.read_bytes().splitlines()]
    del with_them[0]["settings"]["characters"], with_them[-1]["characters"]
    for frame in with_them[1:-1]:
        frame["faces"] = [{k: v for k, v in face.items() if k not in ("character", "name")} for face in frame["faces"]]
    assert with_them == [json.loads(line) for line in (tmp_path / "without.jsonl").read_bytes().splitlines()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["final.jsonl", "without.jsonl"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_what_the_final_lines_convert_to(format: str, clip: str, lines: Path, tmp_path: Path) -> None:
    record(clip, FormatSink(tmp_path / "tracked", format))
    convert(read_results(lines), tmp_path / "converted", format)
    assert (tmp_path / "tracked").read_bytes() == (tmp_path / "converted").read_bytes()


def test_a_stream_says_what_is_known_at_each_frame(clip: str) -> None:
    stream = io.BytesIO()
    record(clip, FormatSink(stream, "jsonl"))
    frames = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {face["character"] for frame in frames[1:-1] for face in frame["faces"]} == {1, 2}
    links = [link for frame in frames[1:-1] for link in frame.get("links", ())]
    assert links == [{"id": track, "character": track, "confidence": 0.25, "tentative": True} for track in (1, 2)]
    assert frames[-1]["characters"] == [{"character": 7, "name": NAME, "tracks": [1, 2], "confidence": 0.875}]


def test_a_table_names_the_character(lines: Path) -> None:
    table: pandas.DataFrame = read_results(lines).to_pandas()
    assert set(zip(table["character"], table["name"], strict=True)) == {(NUMBER, NAME)}


def test_a_disk_that_fills_up_while_lines_are_rewritten_leaves_those_of_the_tracking(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acfd_stream.outputs.target import OutputTarget

    write = OutputTarget._write_all

    def full(self: OutputTarget, piece: bytes) -> None:
        if self._before is not None and b'"index": 9' in piece:
            raise OSError(28, "No space left on device")
        write(self, piece)

    monkeypatch.setattr(OutputTarget, "_write_all", full)
    with pytest.raises(OutputError, match="what was written so far is in"):
        record(clip, FormatSink(tmp_path / "a.jsonl", "jsonl"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.part"]
    assert (tmp_path / "a.jsonl.part").read_bytes().count(b'"type": "frame"') == 60


def test_an_overlay_is_drawn_with_the_final_answer_where_the_video_can_be_read_again(
    clip: str, lines: Path, tmp_path: Path
) -> None:
    record(clip, OverlaySink(tmp_path / "seen.mp4", clip))
    with OverlayWriter(tmp_path / "wanted.mp4", clip) as wanted:
        for frame, result in frames_again(clip, WITH.video, read_results(lines)):
            wanted.write(frame, result)
    assert (tmp_path / "seen.mp4").read_bytes() == (tmp_path / "wanted.mp4").read_bytes()


def test_the_views_file_has_characters_and_who_was_together(clip: str, tmp_path: Path) -> None:
    sink = ViewsSink(tmp_path / "a.views.ndjson")
    record(clip, FormatSink(tmp_path / "a.csv", "csv"), sink, views=sink.lines)
    views = read_views(tmp_path / "a.views.ndjson")
    assert (views.header.model, views.header.model_version, views.header.link_similarity) == ("scripted", "3", 0.5)
    assert [(view.track, view.character, view.crop) for view in views.views] == [
        *((1, NUMBER, b"jpeg of 1"), (2, NUMBER, b"jpeg of 2"))
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.views.ndjson"]


@pytest.fixture
def task(clip: str, tmp_path: Path) -> RecordingTask:
    outputs = ("jsonl", "csv", "views", "mot-characters")
    return RecordingTask("key", clip, "show/1.mkv", tmp_path / "out", outputs, characters=CONFIG, checkpoint_seconds=60)


def files(task: RecordingTask) -> dict[str, bytes]:
    return {output: task.path_of(output).read_bytes() for output in task.outputs}


def test_an_episode_in_parts_has_the_characters_and_views_of_the_whole(
    task: RecordingTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acfd_stream.recording.episode._PROGRESS_SECONDS", 0.0)
    whole = replace(task, out=tmp_path / "whole")
    assert record_episode(whole, SquareFinder()).state is RecordingState.DONE
    assert said(whole.path_of("jsonl")) == {(NUMBER, NAME)}
    assert len(read_views(whole.path_of("views")).views) == 2
    for frames in (1, 30, 29):
        outcome = record_episode(task, SquareFinder(), **stop_after(frames))
        assert outcome.state is RecordingState.CANCELLED
    assert record_episode(task, SquareFinder()).state is RecordingState.DONE
    assert files(task) == files(whole)


def test_a_video_that_breaks_has_the_characters_of_its_good_frames(task: RecordingTask, tmp_path: Path) -> None:
    task = replace(task, source=str(write_growing(tmp_path)), video=VideoConfig(frame_pixels=64 * 64))
    outcome = record_episode(task, Glance())
    assert outcome.state is RecordingState.BROKEN, outcome
    assert said(task.path_of("jsonl")) == {(NUMBER, NAME)}
