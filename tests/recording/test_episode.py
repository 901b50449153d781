"""One episode: whatever stops it, the next attempt goes on; whatever is wrong with it, the outcome says whose fault."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from acfd_stream.config import TrackConfig, VideoConfig
from acfd_stream.errors import OverloadedError, RunnerError
from acfd_stream.files import lock_file
from acfd_stream.recording import episode
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.checkpoint_file import CheckpointFile
from acfd_stream.recording.episode import clear_state, record_episode
from acfd_stream.recording.task import (
    RecordingOutcome,
    RecordingProgress,
    RecordingStage,
    RecordingState,
    RecordingTask,
    TrackingSpeed,
)
from acfd_stream.types import Detections
from tests.pipeline.conftest import FRAMES, write_clip
from tests.pipeline.square_finder import SquareFinder
from tests.recording.clips import write_cut_off, write_growing, write_vfr

ENDS = {"mb_cursed-vfr.mp4": 2.0, "lpms_missing-dts.ts": 25994.5}
"""Where reading ends, seconds, so that the tests do."""
PARTS = (1, 7, 30, 31, 52, 59)
"""Frames after which an attempt is told to stop."""


CLIPS: dict[str, Callable[[Path], Path]] = {
    "clip.mkv": write_clip,
    "clip.mp4": write_clip,
    "no_index.ts": write_clip,
    "no_pts.m4v": write_clip,
    "vfr.mkv": write_vfr,
    "cut_off.avi": write_cut_off,
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {name: write(folder / name) for name, write in CLIPS.items()}


@pytest.fixture
def task(clips: dict[str, Path], tmp_path: Path) -> RecordingTask:
    return RecordingTask("key", str(clips["clip.mkv"]), "show/1.mkv", tmp_path / "out", checkpoint_seconds=60)


def stop_after(frames: int) -> dict[str, Any]:
    """Arguments that stop an attempt once it has tracked so many frames."""
    cancellation = Cancellation()

    def count(progress: RecordingProgress) -> None:
        if progress.new_frames >= frames:
            cancellation.cancel()

    return {"on_progress": count, "cancellation": cancellation}


@pytest.fixture(autouse=True)
def _every_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode, "_PROGRESS_SECONDS", 0.0)


class Forbidden(SquareFinder):
    """A detector that nobody should ask."""

    def detect_timed(self, pictures: Any) -> Any:
        raise AssertionError("tracked again")


class Failing(SquareFinder):
    """A detector whose runtime fails at its n-th batch."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self._left = batches

    def detect_timed(self, pictures: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise RunnerError("model square: out of memory")
        return super().detect_timed(pictures)


class Glance(SquareFinder):
    """Finds something in every picture, quickly: a face whose place and score follow the brightness."""

    def detect_timed(self, pictures: Any) -> Any:
        seen = []
        for picture in pictures:
            mean = float(picture.planes[0][::16, ::16].mean())
            box = np.array([[mean, mean, mean + 64, mean + 64]], np.float32)
            seen.append((Detections(box, np.array([0.6 + mean / 1000], np.float32)), {"queue": 0.0}))
        return seen


def finished(task: RecordingTask, detector: SquareFinder | None = None) -> bytes:
    """The lines of an unbroken run of ``task`` somewhere else."""
    whole = replace(task, out=task.out.parent / "whole")
    record_episode(whole, detector or SquareFinder())
    return whole.path_of("jsonl").read_bytes()


def end_of(task: RecordingTask) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(task.path_of("jsonl").read_bytes().splitlines()[-1])
    return values


@pytest.mark.parametrize("name", CLIPS)
def test_an_episode_in_parts_is_the_episode(clips: dict[str, Path], task: RecordingTask, name: str) -> None:
    task = replace(task, source=str(clips[name]))
    expected = finished(task)
    for frames in PARTS:
        outcome = record_episode(task, SquareFinder(), **stop_after(frames))
        if outcome.state is not RecordingState.CANCELLED:
            break
        assert not task.path_of("jsonl").exists()
    outcome = record_episode(task, SquareFinder())
    assert outcome.state is RecordingState.DONE
    assert task.path_of("jsonl").read_bytes() == expected


@pytest.mark.parametrize("name", ["mb_cursed-vfr.mp4", "lpms_missing-dts.ts", "decord_corrupted.mp4"])
def test_an_odd_file_in_parts_is_the_file(shared: Path, task: RecordingTask, name: str) -> None:
    source = str(shared / "videos" / "odd" / name)
    task = replace(task, source=source, video=VideoConfig(end_seconds=ENDS.get(name)))
    expected = finished(task, Glance())
    frames = expected.count(b'"type": "frame"')
    for stop in (3, frames // 4, frames // 2):
        assert record_episode(task, Glance(), **stop_after(stop)).state is RecordingState.CANCELLED
    record_episode(task, Glance())
    assert task.path_of("jsonl").read_bytes() == expected


def test_a_video_that_breaks_keeps_its_lines_and_gets_no_other_outputs(task: RecordingTask, tmp_path: Path) -> None:
    source, video = str(write_growing(tmp_path)), VideoConfig(frame_pixels=64 * 64)
    task = replace(task, source=source, video=video, outputs=("parquet", "report"))
    outcome = record_episode(task, Glance())
    assert (outcome.state, outcome.frames) == (RecordingState.BROKEN, 6)
    assert outcome.error is not None
    assert outcome.error.startswith(f"{source}: breaks off after ")
    assert outcome.paths == (task.path_of("jsonl"),)
    assert end_of(task)["complete"] is False
    again = record_episode(task, Forbidden())
    assert (again.state, again.error) == (RecordingState.BROKEN, outcome.error)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"junk" * 50, "is text, not a video"), (None, "no such file")]
)
def test_what_is_no_video_is_broken_and_leaves_no_results(
    task: RecordingTask, content: bytes | None, said: str
) -> None:
    source = task.out.parent / "junk.mkv"
    if content is not None:
        source.write_bytes(content)
    outcome = record_episode(replace(task, source=str(source)), SquareFinder())
    assert outcome.state is RecordingState.BROKEN
    assert said in (outcome.error or "")
    assert outcome.paths == ()
    assert not task.path_of("jsonl").exists()


def test_a_runtime_that_fails_is_passing_and_costs_no_more_than_a_checkpoint(task: RecordingTask) -> None:
    task = replace(task, checkpoint_seconds=1e-9)
    expected = finished(task)
    outcome = record_episode(task, Failing(6))
    assert (outcome.state, outcome.error) == (RecordingState.FAILED, "model square: out of memory")
    later = record_episode(task, SquareFinder())
    assert later.state is RecordingState.DONE
    assert 0 < later.new_frames < FRAMES
    assert later.frames == FRAMES
    assert task.path_of("jsonl").read_bytes() == expected


def test_a_source_that_changes_meanwhile_is_tried_again(task: RecordingTask, clips: dict[str, Path]) -> None:
    source = task.out.parent / "growing.mkv"
    source.write_bytes(clips["clip.mkv"].read_bytes())

    def grow() -> None:
        with source.open("ab") as file:
            file.write(b"more")

    outcome = record_episode(replace(task, source=str(source)), SquareFinder(before=grow))
    assert outcome.state is RecordingState.FAILED
    assert "changed while it was read" in (outcome.error or "")
    assert not task.path_of("jsonl").exists()


class Store:
    """A remote store that fails behind so many bytes, so often."""

    def __init__(self, content: bytes, failures: int) -> None:
        self.content, self.failures = content, failures

    @contextmanager
    def opened(self, source: str) -> Iterator[BinaryIO]:
        store = self

        class File(__import__("io").BytesIO):  # type: ignore[misc]
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() > len(store.content) // 2 and store.failures:
                    store.failures -= 1
                    raise ConnectionResetError("the store hung up")
                data: bytes = super().read(size if size is None or size < 0 else min(size, 4096))
                return data

        yield File(self.content)


def test_a_store_that_fails_in_the_middle_is_passing(
    task: RecordingTask, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(task, source="s3://bucket/1.mkv?secret=1")
    store = Store(clips["clip.mkv"].read_bytes(), 0)
    monkeypatch.setattr("acfd_stream.recording.record.opened", store.opened)
    expected = finished(task)
    assert json.loads(expected.splitlines()[0])["source"] == "s3://bucket/1.mkv"
    store.failures = 1
    task = replace(task, checkpoint_seconds=1e-9)
    outcome = record_episode(task, SquareFinder())
    assert outcome.state is RecordingState.FAILED
    assert "secret" not in (outcome.error or "")
    assert not task.path_of("jsonl").exists()
    later = record_episode(task, SquareFinder())
    assert later.state is RecordingState.DONE
    assert task.path_of("jsonl").read_bytes() == expected


def test_a_store_that_cannot_be_opened_is_passing(task: RecordingTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str) -> Any:
        raise OverloadedError(f"{source}: slow down")

    monkeypatch.setattr("acfd_stream.recording.record.opened", refuse)
    outcome = record_episode(replace(task, source="s3://bucket/1.mkv"), SquareFinder())
    assert (outcome.state, outcome.error) == (RecordingState.FAILED, "s3://bucket/1.mkv: slow down")


def test_a_folder_that_takes_nothing_is_passing(task: RecordingTask) -> None:
    task.out.write_text("a file")
    outcome = record_episode(task, SquareFinder())
    assert outcome.state is RecordingState.FAILED
    assert "cannot write" in (outcome.error or "")


def stopped(task: RecordingTask, frames: int = 30) -> RecordingOutcome:
    return record_episode(task, SquareFinder(), **stop_after(frames))


@pytest.mark.parametrize("harm", ["garbage", "torn", "shorter", "other header", "other settings"])
def test_what_does_not_fit_is_begun_again(task: RecordingTask, harm: str) -> None:
    expected = finished(task)
    stopped(task)
    if harm == "garbage":
        task.checkpoint.write_bytes(b"\0" * 100)
    elif harm == "torn":
        task.checkpoint.write_bytes(task.checkpoint.read_bytes()[:-10])
    elif harm == "shorter":
        os.truncate(task.part, 100)
    elif harm == "other header":
        task.part.write_bytes(task.part.read_bytes().replace(b"square", b"circle", 1))
    else:
        checkpoints = CheckpointFile(task.checkpoint)
        record = checkpoints.read()
        assert record is not None
        record["session"]["settings"]["track.start_score"] = 0.9
        checkpoints.write(record)
    outcome = record_episode(task, SquareFinder())
    assert (outcome.state, outcome.new_frames) == (RecordingState.DONE, FRAMES)
    assert task.path_of("jsonl").read_bytes() == expected


def test_what_lies_behind_the_checkpoint_does_not_count(task: RecordingTask) -> None:
    expected = finished(task)
    stopped(task)
    with task.part.open("ab") as part:
        part.write(bytes(100_000))  # as a power cut may leave it, and more than what is still to come
    task.checkpoint.with_suffix(".checkpoint.part").write_bytes(b"half of a rec")
    outcome = record_episode(task, SquareFinder())
    assert outcome.state is RecordingState.DONE
    assert 0 < outcome.new_frames < FRAMES
    assert task.path_of("jsonl").read_bytes() == expected


def test_two_at_once_do_not_meet(task: RecordingTask) -> None:
    with lock_file(task.lock) as is_ours:
        assert is_ours
        assert record_episode(task, Forbidden()).state is RecordingState.BUSY
        clear_state(task)
        assert task.lock.exists()
    assert record_episode(task, SquareFinder()).state is RecordingState.DONE


def test_forgetting_leaves_the_outputs_alone(task: RecordingTask) -> None:
    other = replace(task, name="show/2.mkv")
    stopped(other)
    record_episode(task, SquareFinder())
    clear_state(task)
    clear_state(task)
    assert not any(path.exists() for path in (task.part, task.checkpoint, task.lock))
    assert task.path_of("jsonl").exists()
    assert other.checkpoint.exists()


def test_done_work_is_not_done_again_and_what_was_removed_is(task: RecordingTask) -> None:
    task = replace(task, outputs=("mot", "vtt"))
    record_episode(task, SquareFinder())
    before = task.path_of("mot").stat().st_mtime_ns
    task.path_of("vtt").unlink()
    outcome = record_episode(task, Forbidden())
    assert (outcome.state, outcome.frames, outcome.new_frames) == (RecordingState.DONE, FRAMES, 0)
    assert outcome.tracks == 2
    assert task.path_of("vtt").exists()
    assert task.path_of("mot").stat().st_mtime_ns == before


def test_another_output_of_tracked_results_takes_no_tracking(task: RecordingTask) -> None:
    record_episode(task, SquareFinder())
    clear_state(task)
    outcome = record_episode(replace(task, outputs=("coco",), is_tracked=True), Forbidden())
    assert (outcome.state, outcome.frames, outcome.tracks, outcome.shots) == (RecordingState.DONE, FRAMES, 2, 2)
    assert outcome.paths == (task.path_of("jsonl"), task.path_of("coco"))


def test_a_report_that_is_added_has_the_speed_of_the_tracking(task: RecordingTask) -> None:
    record_episode(task, SquareFinder())
    clear_state(task)
    told: list[RecordingProgress] = []
    task = replace(task, outputs=("report",), is_tracked=True, speed=TrackingSpeed(3.0, FRAMES, {"infer": 1.5}))
    outcome = record_episode(task, Forbidden(), told.append)
    assert (outcome.state, outcome.new_frames, outcome.seconds) == (RecordingState.DONE, 0, 0.0)
    assert {(progress.new_frames, progress.seconds) for progress in told} == {(0, 0.0)}
    page = task.path_of("report").read_text()
    assert f"<dt>Tracked at</dt><dd>{FRAMES / 3:.1f} <small>" in page


def test_results_that_are_only_said_to_be_there_are_made(task: RecordingTask) -> None:
    outcome = record_episode(replace(task, is_tracked=True), SquareFinder())
    assert (outcome.state, outcome.new_frames) == (RecordingState.DONE, FRAMES)


def test_other_settings_leave_nothing_of_the_ones_before(task: RecordingTask) -> None:
    record_episode(replace(task, outputs=("mot", "vtt")), SquareFinder())
    other = replace(task, key="other", outputs=("vtt",), track=TrackConfig(max_gap_frames=3))
    record_episode(other, SquareFinder())
    assert not task.path_of("mot").exists()
    assert b'"max_gap_frames": 3' in task.path_of("jsonl").read_bytes().splitlines()[0]


def test_a_part_of_a_video_has_the_lines_and_pictures_of_that_part(task: RecordingTask) -> None:
    task = replace(task, video=VideoConfig(start_seconds=0.5, end_seconds=1.5), outputs=("thumbnails",))
    outcome = record_episode(task, SquareFinder())
    assert (outcome.state, outcome.frames) == (RecordingState.DONE, 24)
    assert sorted(path.name for path in task.path_of("thumbnails").iterdir()) == ["1.jpg", "2.jpg"]


def test_progress_says_how_far_it_is(task: RecordingTask) -> None:
    stopped(task, 20)
    told: list[RecordingProgress] = []
    record_episode(replace(task, outputs=("overlay",)), SquareFinder(), told.append)
    assert (told[0].frames, told[0].new_frames, told[0].expected_frames) == (21, 1, FRAMES)
    tracking = [progress for progress in told if progress.stage is RecordingStage.TRACK]
    assert [progress.frames for progress in tracking] == list(range(21, FRAMES + 1))
    assert told[-1].stage is RecordingStage.FINISH
    assert len(told) > FRAMES  # also while the overlay is drawn, so that nobody takes it for dead
