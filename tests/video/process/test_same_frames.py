"""A decoder process gives what decoding in the same process gives: frames, order, times, outcome and errors."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import AcfdError, MediaError, ResumeError
from acfd_stream.types import Picture
from acfd_stream.video import ByteStream, open_video
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.frame import Frame
from acfd_stream.video.process.decoder import DecoderProcess
from acfd_stream.video.readahead import FrameSource
from acfd_stream.video.source import OpenVideo, Source
from tests.video.conftest import Clip, write_clip
from tests.video.damage_clips import H264_B, MPEG2, VP8, spoiled, write
from tests.video.joined_clips import Part, fed, joined

OPENERS: list[OpenVideo] = [open_video, lambda *asked: DecoderProcess().open(*asked)]


def told(frame: Frame) -> tuple[Any, ...]:
    """All that a frame says, its picture as bytes."""
    picture = frame.picture
    about = tuple(getattr(picture, name) for name in Picture.__slots__ if name not in ("planes", "ready"))
    planes = [(plane.shape, plane.dtype.str, plane.tobytes()) for plane in picture.planes]
    return frame.index, frame.pts, frame.time_base, frame.is_pts_filled, frame.is_damaged, frame.seams, about, planes


def outcome(video: FrameSource) -> tuple[Any, ...]:
    return video.info, video.warnings, video.gaps, video.error, video.is_complete, video.last_seconds


def read(opener: OpenVideo, source: Source, config: VideoConfig) -> tuple[list[Any], tuple[Any, ...] | str]:
    """The frames with their counts, and how the reading ended."""
    try:
        video = opener(source, config, "cpu")
    except AcfdError as error:
        return [], f"{MediaError.__name__ if isinstance(error, MediaError) else type(error).__name__}: {error}"
    with closing(video):
        frames = [(told(frame), video.loss_counts) for frame in video]
    return frames, outcome(video)


def assert_same(source: Callable[[], Source], config: VideoConfig | None = None) -> int:
    """Both ways read the same; the number of frames."""
    config = config or VideoConfig(threads=1)
    here, there = read(open_video, source(), config), read(DecoderProcess().open, source(), config)
    assert there == here
    return len(here[0])


@pytest.mark.parametrize(
    "clip",
    [
        Clip(),
        Clip(rotation=90, pixel_aspect=Fraction(4, 3)),
        Clip(name="ten.mkv", codec="libx265", pixel_format="yuv420p10le", color_space=9),
        Clip(name="gray.mkv", codec="ffv1", pixel_format="gray"),
        Clip(name="rgb.mkv", codec="ffv1", pixel_format="bgra"),
        Clip(name="odd.mkv", codec="ffv1", size=(47, 61), pts=(0, 40, 1000, 1001)),
        Clip(name="sound.ts", sound="mp2", pts=tuple(range(0, 90000, 3750)), time_base=Fraction(1, 90000)),
    ],
    ids=lambda clip: f"{clip.name}-{clip.pixel_format}-{clip.rotation}",
)
def test_every_layout_and_every_field_comes_over(clip: Clip, tmp_path: Path) -> None:
    path = write_clip(tmp_path, clip)
    assert assert_same(lambda: path) == len(clip.pts)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_every_kind_of_source_is_read(suffix: str, make_clip: Callable[..., Path]) -> None:
    path = make_clip(name=f"clip.{suffix}")
    sources: list[Callable[[], Source]] = [
        lambda: path,
        lambda: str(path),
        lambda: f"file:{path}",
        lambda: io.BytesIO(path.read_bytes()),
        lambda: fed(path.read_bytes()),  # an MP4 whose index stands at its end is refused in the same words
    ]
    assert [assert_same(source) for source in sources][:4] == [24] * 4
    with path.open("rb") as one, path.open("rb") as another:
        assert read(DecoderProcess().open, one, VideoConfig()) == read(open_video, another, VideoConfig())


def test_a_range_and_low_delay_are_kept(make_clip: Callable[..., Path]) -> None:
    path = make_clip(b_frames=0)
    assert assert_same(lambda: path, VideoConfig(start_seconds=0.3, end_seconds=0.7)) == 10
    assert assert_same(lambda: fed(path.read_bytes()), VideoConfig(low_delay=True)) == 24
    assert assert_same(lambda: path, VideoConfig(start_seconds=9.0)) == 0


@pytest.mark.parametrize("coding", [H264_B, VP8, MPEG2], ids=lambda coding: coding.name)
def test_damage_gaps_and_warnings_come_over(coding: Any, tmp_path: Path) -> None:
    path = spoiled(write(tmp_path, coding), [5, 6, 30])
    assert assert_same(lambda: path)
    assert assert_same(lambda: fed(path.read_bytes()))


@pytest.mark.parametrize("scale", [1, 10])  # with large planes, which FFmpeg shares, and without
def test_seams_and_pictures_of_another_size_come_over(scale: int, tmp_path: Path) -> None:
    small, large = (48 * scale, 64 * scale), (96 * scale, 128 * scale)
    first = Part(size=small)
    path = joined(tmp_path, [first, first.after(size=large), first.after(first=24, size=small)])
    assert assert_same(lambda: path) == 36
    assert assert_same(lambda: fed(path.read_bytes())) == 36


def test_what_is_no_video_is_refused_in_the_same_words(tmp_path: Path) -> None:
    (text := tmp_path / "text.mkv").write_text("no video " * 1000)
    for source in (tmp_path / "none.mkv", tmp_path, text):
        assert assert_same(lambda source=source: source) == 0  # type: ignore[misc]


def test_a_broken_off_stream_ends_with_the_reason(plain_clip: Path) -> None:
    def broken() -> ByteStream:
        stream = ByteStream()
        stream.feed(plain_clip.read_bytes()[:9000])
        stream.abort("the client is gone")
        return stream

    assert assert_same(broken) == 0


@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_a_reading_goes_on_from_a_position(kind: str, make_clip: Callable[..., Path]) -> None:
    path = make_clip(name="clip.ts", pts=tuple(range(0, 90000, 3750)), time_base=Fraction(1, 90000))

    def source() -> Source:
        return path if kind == "path" else fed(path.read_bytes())

    with open_video(source(), VideoConfig(threads=1)) as video:
        frames = list(video)
    kept = frames[13]
    planes = [plane.copy() for plane in kept.picture.planes]

    def is_picture(picture: Picture) -> bool:
        return all(np.array_equal(one, other) for one, other in zip(picture.planes, planes, strict=True))

    for opener in OPENERS:
        with closing(opener(source(), VideoConfig(threads=1), "cpu")) as resumed:
            resumed.resume_after(DecodePosition(13, kept.pts, is_picture=is_picture), 14)
            was_at_position = resumed.is_at_position
            assert [told(frame) for frame in resumed] == [told(frame) for frame in frames[14:]]
            assert (was_at_position, resumed.is_at_position) == (False, True)
        with closing(opener(source(), VideoConfig(threads=1), "cpu")) as other:
            other.resume_after(DecodePosition(13, kept.pts, is_picture=lambda picture: False), 14)
            with pytest.raises(ResumeError, match="frame 13 is not the picture"):
                next(iter(other))
