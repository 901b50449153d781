"""Proxies and posters: which videos get one, and what is in it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.outputs import read_results
from acfd_stream.outputs.recognise import is_result
from acfd_stream.outputs.thumbnails import poster_index
from acfd_stream.recording.episode import clear_state, record_episode
from acfd_stream.recording.proxy import is_played
from acfd_stream.recording.task import RecordingState, RecordingTask
from acfd_stream.types import Face, FaceState, FrameResult
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder

SIZE = (720, 1296)
BASE = Fraction(1, 24)


def write(path: Path, codec: str, pixels: str = "yuv420p", *, sound: str = "", frames: int = 6) -> Path:
    """Grey pictures, and a second of silence."""
    with av.open(str(path), "w") as output:
        quiet = {"x265-params": "bframes=0:log-level=none"} if codec == "libx265" else {}
        video = output.add_stream(codec, rate=24, options=quiet)
        video.height, video.width, video.pix_fmt = *SIZE, pixels
        silence = output.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, BASE
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if silence is not None:
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 48_000), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, 0
            output.mux(silence.encode(frame))
            output.mux(silence.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "expected"),
    [
        ("a.mp4", "libx264", "yuv420p", True),
        ("a.mov", "libx264", "yuv420p", True),
        ("a.WebM", "libvpx-vp9", "yuv420p", True),
        ("a.mp4", "libx264", "yuv420p10le", False),
        ("a.mkv", "libx264", "yuv420p", False),
        ("a.mp4", "libx265", "yuv420p", False),
        ("a.avi", "mpeg4", "yuv420p", False),
    ],
)
def test_browsers_play_few_kinds_of_video(name: str, codec: str, pixels: str, expected: bool, tmp_path: Path) -> None:
    assert is_played(str(write(tmp_path / name, codec, pixels, frames=2)), VideoConfig()) is expected


def task_of(source: Path, *outputs: str) -> RecordingTask:
    return RecordingTask("key", str(source), f"show/{source.name}", source.parent / "out", outputs)


def test_a_proxy_is_small_begins_at_the_first_frame_and_sounds_everywhere(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", "libx265", sound="ac3", frames=24)
    task = replace(task_of(source, "proxy"), video=VideoConfig(start_seconds=0.25))
    assert record_episode(task, SquareFinder()).state is RecordingState.DONE
    place = task.path_of("proxy")
    assert is_result(place)
    with av.open(str(place)) as proxy:
        (video,), (sound,) = proxy.streams.video, proxy.streams.audio
        assert (video.codec_context.name, video.pix_fmt, video.height, video.width) == ("h264", "yuv420p", 354, 640)
        assert sound.codec_context.name == "aac"
        times = [frame.time for frame in proxy.decode(video=0)]
    assert (times[0], len(times)) == (0.0, read_results(task.path_of("jsonl")).frames)


def test_a_video_that_plays_needs_no_proxy(tmp_path: Path) -> None:
    task = task_of(write(tmp_path / "a.mp4", "libx264"), "proxy", "vtt")
    outcome = record_episode(task, SquareFinder())
    assert (outcome.state, outcome.paths) == (RecordingState.DONE, (task.path_of("jsonl"), task.path_of("vtt")))


def test_the_poster_is_a_frame_with_a_face(tmp_path: Path) -> None:
    task = task_of(write_clip(tmp_path / "a.mkv"), "poster", "report")
    assert record_episode(task, SquareFinder()).state is RecordingState.DONE
    clear_state(task)
    poster = task.path_of("poster")
    assert is_result(poster)
    with av.open(str(tmp_path / "a.mkv")) as video:
        pictures = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
    shown = cv2.imdecode(np.frombuffer(poster.read_bytes(), np.uint8), cv2.IMREAD_COLOR).astype(int)
    index = poster_index(read_results(task.path_of("jsonl")))
    assert index is not None
    faces = [result.faces for result in read_results(task.path_of("jsonl"))]
    assert faces[index]
    assert not any(faces[:index])
    assert np.abs(shown - pictures[index]).mean() < 4
    assert ' poster="data:image/jpeg;base64,' in task.path_of("report").read_text()


def frame(index: int, *faces: Face) -> FrameResult:
    return FrameResult(index, index, BASE, float(index * BASE), faces)


def test_without_a_sure_face_the_poster_is_the_middle() -> None:
    unsure = Face(1, (0.0, 0.0, 9.0, 9.0), 0.5)
    filled = Face(2, (0.0, 0.0, 9.0, 9.0), 0.9, FaceState.FILLED)
    assert poster_index([frame(index, unsure, filled) for index in range(5)]) == 2
    assert poster_index([frame(0), frame(1, Face(3, (0.0, 0.0, 9.0, 9.0), 0.9)), frame(2)]) == 1
    assert poster_index([]) is None
