"""The one recording loop: what opens and closes when, what a cancelled recording leaves, and when it begins again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.outputs import ResultEnd
from acfd_stream.recording.cancellation import Cancellation, Cancelled
from acfd_stream.recording.checkpoint_file import CheckpointFile
from acfd_stream.recording.header import RecordingStart
from acfd_stream.recording.lines import FileLines
from acfd_stream.recording.record import Recorder
from acfd_stream.recording.task import RecordingSettings, RecordingState
from acfd_stream.types import FrameResult
from acfd_stream.video.frame import Frame
from tests.pipeline.conftest import FRAMES, write_clip
from tests.pipeline.square_finder import SquareFinder

SETTINGS = RecordingSettings()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv"))


class Sink:
    """Notes what is done to it in a list that several share."""

    needs_frames = True

    def __init__(self, name: str, done: list[str], fails_at: int = -1) -> None:
        self.name, self.done, self.fails_at, self.frames = name, done, fails_at, 0

    def begin(self, start: RecordingStart) -> None:
        self.done.append(f"begin {self.name} {start.expected_frames}")

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        assert frame is not None
        assert frame.index == result.index == self.frames
        if self.frames == self.fails_at:
            raise OutputError("the disk is full")
        self.frames += 1

    def close(self, end: ResultEnd) -> None:
        self.done.append(f"close {self.name} {end.tracks}")

    def abort(self, *, is_failure: bool = False) -> None:
        self.done.append(f"abort {self.name} {is_failure}")


def test_the_first_sink_opens_last_and_closes_first(clip: str) -> None:
    done: list[str] = []
    sinks = [Sink("results", done), Sink("overlay", done)]
    recording = Recorder(source=clip, settings=SETTINGS, engine=SquareFinder(), sinks=sinks).record()
    assert (recording.state, recording.end.tracks) == (RecordingState.DONE, 2)
    begins, closes = ["begin overlay 60", "begin results 60"], ["close results 2", "close overlay 2"]
    assert done == [*begins, *closes, "abort overlay False", "abort results False"]
    assert [sink.frames for sink in sinks] == [FRAMES, FRAMES]


def test_a_sink_that_fails_aborts_all(clip: str) -> None:
    done: list[str] = []
    sinks = [Sink("results", done), Sink("overlay", done, fails_at=3)]
    with pytest.raises(OutputError, match="the disk is full"):
        Recorder(source=clip, settings=SETTINGS, engine=SquareFinder(), sinks=sinks).record()
    assert done[2:] == ["abort overlay True", "abort results True"]


def test_sinks_and_checkpoints_do_not_go_together(clip: str, tmp_path: Path) -> None:
    checkpoints = CheckpointFile(tmp_path / "checkpoint")
    with pytest.raises(ConfigError, match="sinks cannot continue in mid-file"):
        Recorder(source=clip, settings=SETTINGS, sinks=[Sink("results", [])], checkpoints=checkpoints).record()


@pytest.fixture
def resumable(clip: str, tmp_path: Path) -> Iterator[Recorder]:
    with closing(FileLines(tmp_path / "lines.jsonl")) as lines:
        checkpoints = CheckpointFile(tmp_path / "checkpoint")
        yield Recorder(source=clip, settings=SETTINGS, engine=SquareFinder(), lines=lines, checkpoints=checkpoints)


def test_a_cancelled_recording_has_a_checkpoint_and_no_closing_line(resumable: Recorder, tmp_path: Path) -> None:
    cancellation = resumable.cancellation

    def stop_at_ten(progress: object, result: FrameResult) -> None:
        if result.index == 9:
            cancellation.cancel()

    resumable.on_progress = stop_at_ten
    assert resumable.record().state is RecordingState.CANCELLED
    lines = (tmp_path / "lines.jsonl").read_bytes().splitlines()
    assert len(lines) == 11  # with the header
    saved = CheckpointFile(tmp_path / "checkpoint").load()
    assert saved is not None
    assert saved.stats.frames == 10


def test_a_start_that_is_cancelled_writes_nothing(resumable: Recorder, tmp_path: Path) -> None:
    def refuse(start: RecordingStart) -> None:
        raise Cancelled

    resumable.on_start = refuse
    assert resumable.record().state is RecordingState.CANCELLED
    assert (tmp_path / "lines.jsonl").read_bytes() == b""


def test_a_recording_whose_lines_do_not_fit_starts_twice(resumable: Recorder, tmp_path: Path) -> None:
    starts: list[bool] = []
    resumable.on_start = lambda start: starts.append(start.is_resumed)
    resumable.cancellation.cancel()
    resumable.record()
    resumable.cancellation = Cancellation()
    lines = (tmp_path / "lines.jsonl").read_bytes()
    (tmp_path / "lines.jsonl").write_bytes(lines.replace(b"square", b"circle", 1))
    assert resumable.record().state is RecordingState.DONE
    assert starts == [False, True, False]
    assert b"circle" not in (tmp_path / "lines.jsonl").read_bytes()
