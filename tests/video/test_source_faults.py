from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.types import FrameResult
from acfd_stream.video import ByteStream, open_video
from acfd_stream.video.frame import Frame
from acfd_stream.video.render import OverlayWriter

MakeClip = Callable[..., Path]


def test_a_path_that_is_no_file_is_told_in_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mkv"
    empty.touch()
    cases = {tmp_path / "nowhere.mp4": "no such file", tmp_path: "is a folder", empty: "is empty"}
    for path, reason in cases.items():
        with pytest.raises(MediaError) as caught:
            open_video(path)
        assert str(path) in str(caught.value)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bytes_that_never_come_are_told() -> None:
    with pytest.raises(MediaError, match=r"<stream>: is empty \(0 bytes\)"):
        open_video(io.BytesIO())


def test_a_file_without_permission_is_told(plain_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs the tests may read everything
    with pytest.raises(MediaError, match="permission denied"):
        open_video(plain_clip)


@pytest.mark.parametrize("content", [b"no video, but text\n" * 50, b"\x00" * 5000, bytes(range(256)) * 20])
def test_junk_is_told_from_a_path_and_from_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "junk.mp4"
    path.write_bytes(content)
    for source in (path, io.BytesIO(content)):
        with pytest.raises(MediaError, match=r"not a video|cannot be opened"):
            open_video(source)


@pytest.mark.parametrize("name", ["100%.mkv", "a:b.mkv", "concat:x.mkv", "-i.mkv", "ä #?.mkv", "http:x.mkv"])
def test_signs_in_a_file_name_mean_nothing(name: str, make_clip: MakeClip) -> None:
    with open_video(make_clip(name=name, pts=[0, 40])) as video:
        assert len(list(video)) == 2


def write_sound(path: Path, cover: Path | None) -> Path:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("flac", rate=8000, layout="mono")
        picture = None
        if cover is not None:
            picture = container.add_stream("png", rate=1)
            picture.width = picture.height = 16
            picture.pix_fmt = "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        if picture is not None:
            container.mux(picture.encode(av.VideoFrame(16, 16, "rgb24")))
    return path


@pytest.mark.parametrize(("has_cover", "held"), [(False, "only audio"), (True, "only audio and a cover picture")])
def test_sound_and_a_cover_picture_are_no_video(has_cover: bool, held: str, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "song.flac", tmp_path if has_cover else None)
    with pytest.raises(MediaError, match=f"no video stream, {held};"):
        open_video(path)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (5.0, None, r"between 5\.0 s and the end; the last one before is at 0\.943 s"),
        (4e9, None, r"the last one before is at 0\.943 s"),
        (None, 0.0, r"between the beginning and 0\.0 s; the next one is at 0\.000 s"),
        (0.42, 0.43, r"the last one before is at 0\.410 s and the next one is at 0\.451 s"),
    ],
)
def test_a_range_without_a_frame_says_where_the_next_ones_are(
    start: float | None, end: float | None, said: str, plain_clip: Path
) -> None:
    with pytest.raises(MediaError, match=said):
        open_video(plain_clip, VideoConfig(start_seconds=start, end_seconds=end))


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_range_has_finite_ends(seconds: float) -> None:
    for name in ("start_seconds", "end_seconds"):
        with pytest.raises(ConfigError, match=f"{name} must be a finite number"):
            VideoConfig(**{name: seconds})


def test_a_bare_stream_knows_where_it_ends(make_clip: MakeClip) -> None:
    with pytest.raises(MediaError, match=r"the last one before is at 0\.920 s"):
        open_video(make_clip(name="bare.h264", b_frames=0), VideoConfig(start_seconds=2.0))


def test_a_frame_above_the_cap_is_refused(plain_clip: Path) -> None:
    with pytest.raises(MediaError, match="64×48 pixels are above the limit of 3071"):
        open_video(plain_clip, VideoConfig(frame_pixels=64 * 48 - 1))
    open_video(plain_clip, VideoConfig(frame_pixels=64 * 48)).close()


def test_a_source_must_give_bytes() -> None:
    with pytest.raises(MediaError, match="binary mode"):
        open_video(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="source must be a path"):
        open_video(42)  # type: ignore[arg-type]


class Failing(io.BytesIO):
    """Raises when it is read beyond ``limit``."""

    def __init__(self, data: bytes, limit: int, error: BaseException) -> None:
        super().__init__(data)
        self._limit, self._error = limit, error

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._limit:
            raise self._error
        return super().read(512)


def test_a_read_error_in_the_middle_keeps_the_frames_before_it(make_clip: MakeClip) -> None:
    data = make_clip(pts=range(0, 8000, 40), keyframe_distance=1).read_bytes()
    with open_video(Failing(data, len(data) // 2, OSError(5, "disk on fire"))) as video:
        frames = list(video)
    assert 10 < len(frames) < 200
    assert [frame.pts for frame in frames] == list(range(0, len(frames) * 40, 40))
    assert not video.is_complete
    assert "disk on fire" in str(video.error)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_ctrl_c_while_the_source_is_read_comes_through(share: float, make_clip: MakeClip) -> None:
    data = make_clip(pts=range(0, 8000, 40), keyframe_distance=1).read_bytes()
    with pytest.raises(KeyboardInterrupt), open_video(Failing(data, int(len(data) * share), KeyboardInterrupt())) as v:
        list(v)


def test_an_aborted_stream_of_bytes_is_a_break(make_clip: MakeClip) -> None:
    data = make_clip(pts=range(0, 20_000, 200)).read_bytes()  # longer than what FFmpeg looks at before it begins
    stream = ByteStream(len(data))
    stream.feed(data[: len(data) * 3 // 4])
    with open_video(stream) as video:
        next(video)
        stream.abort("the caller hung up")
        list(video)
    assert not video.is_complete
    assert "the caller hung up" in str(video.error)


def test_a_file_that_ends_too_early_has_a_gap_at_its_end(make_clip: MakeClip, tmp_path: Path) -> None:
    data = make_clip(pts=range(0, 8000, 40), keyframe_distance=1).read_bytes()
    short = tmp_path / "short.mkv"
    short.write_bytes(data[: len(data) // 2])
    with open_video(short) as video:
        assert len(list(video)) > 10
    assert any("cut short: its header promises 8.0 s" in warning for warning in video.warnings)
    assert (len(video.gaps), video.is_complete, video.error) == (1, False, None)


def test_nothing_is_left_open_however_a_video_is_left(plain_clip: Path) -> None:
    def leave_early(round_: int) -> None:
        with open_video(plain_clip) as video:
            for frame in video:
                if frame.index >= round_ % 4:
                    break
        if round_ % 3 == 0:
            with pytest.raises(RuntimeError), open_video(plain_clip):
                raise RuntimeError

    process = psutil.Process()
    leave_early(0)
    files, threads = process.num_fds(), process.num_threads()
    for round_ in range(1, 25):
        leave_early(round_)
    assert (process.num_fds(), process.num_threads()) == (files, threads)


def test_closing_twice_and_reading_on_is_harmless(plain_clip: Path) -> None:
    video = open_video(plain_clip)
    next(video)
    video.close()
    video.close()
    assert list(video) == []
    assert not video.is_complete


@pytest.fixture
def named_pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_named_pipe_is_read_to_its_end(named_pipe: Path, plain_clip: Path) -> None:
    feeder = threading.Thread(target=lambda: named_pipe.write_bytes(plain_clip.read_bytes()))
    feeder.start()
    with open_video(named_pipe) as video:
        assert len(list(video)) == 24
    feeder.join()
    assert (video.info.source, video.is_complete) == (str(named_pipe), True)


@pytest.mark.timeout(60)
def test_a_pipe_that_says_no_more_can_be_left(named_pipe: Path, make_clip: MakeClip) -> None:
    clip = make_clip(codec="mpeg4", b_frames=0, pts=range(0, 4000, 40)).read_bytes()
    keeper = os.open(named_pipe, os.O_RDWR)  # so that it never ends
    os.write(keeper, clip[: 2**16])
    video = open_video(named_pipe, VideoConfig(threads=1))
    frames: list[Frame] = []
    reader = threading.Thread(target=lambda: frames.extend(video))
    reader.start()
    video.close()
    reader.join(timeout=10)
    assert not reader.is_alive()
    os.close(keeper)


def test_the_overlay_of_a_pipe_is_silent_and_says_so(tmp_path: Path, named_pipe: Path, plain_clip: Path) -> None:
    with open_video(plain_clip) as video, OverlayWriter(tmp_path / "o.mp4", named_pipe) as overlay:
        frame = next(video)
        overlay.write(frame, FrameResult(0, 0, frame.time_base, 0.0, ()))
    assert overlay.warnings == ["the overlay is silent: its source is no file and can be read only once"]


@pytest.mark.parametrize("name", ["concat:x.mkv", "a:b%d.mkv"])
def test_the_sound_of_a_file_with_odd_signs_in_its_name_is_found(
    name: str, make_clip: MakeClip, tmp_path: Path
) -> None:
    source = make_clip(name=name, sound="aac")
    with open_video(source) as video, OverlayWriter(tmp_path / "o.mp4", source) as overlay:
        frame = next(video)
        overlay.write(frame, FrameResult(0, 0, frame.time_base, 0.0, ()))
    assert overlay.warnings == []
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert len(container.streams.audio) == 1


def test_recordings_put_one_behind_the_other_are_told(make_clip: MakeClip, tmp_path: Path) -> None:
    parts = [make_clip(name=f"{side}.ts", size=(side, 64)) for side in (48, 80, 96)]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_video(path) as video:
        sizes = [frame.picture.display_size for frame in video]
    assert {(48, 64), (80, 64), (96, 64)} == set(sizes)
    restarted, resized = video.warnings
    assert restarted.startswith("another recording, stream or clock begins at ")
    assert restarted.endswith(" s and 1 more time; times are continued")
    assert resized.startswith("the picture changes from 64×48 to 64×80 pixels at ")
    assert resized.endswith(" s and 1 more time; boxes are in the pixels of their own frame")


class _Burning(io.BytesIO):
    """A file object that cannot be read at all."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("disk on fire")


def test_a_fault_of_a_file_object_is_not_called_an_empty_file() -> None:
    with pytest.raises(MediaError, match="disk on fire"):
        open_video(_Burning(b"anything"))
