from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.types import ColorMatrix, PixelFormat
from acfd_stream.video import ByteStream, VideoSource, open_video
from acfd_stream.video.frame import Frame

MakeClip = Callable[..., Path]
KINDS = ("path", "text", "url", "file", "unseekable", "bytes")


class Pipe:
    """A file object that only goes forward."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.close = self._file.close

    def read(self, size: int) -> bytes:
        return self._file.read(size)


def feed(stream: ByteStream, path: Path) -> None:
    data = path.read_bytes()
    for begin in range(0, len(data), 1000):
        stream.feed(data[begin : begin + 1000])
    stream.close()


@contextmanager
def opened(kind: str, path: Path, config: VideoConfig | None = None) -> Iterator[VideoSource]:
    if kind == "bytes":
        stream = ByteStream(4096)
        feeder = threading.Thread(target=feed, args=(stream, path))
        feeder.start()
        with open_video(stream, config) as video:
            yield video
        feeder.join(timeout=30)
        assert not feeder.is_alive()
    elif kind in ("file", "unseekable"):
        file = path.open("rb") if kind == "file" else Pipe(path)
        with open_video(file, config) as video:  # type: ignore[arg-type]
            yield video
        file.close()
    else:
        source = {"path": path, "text": str(path), "url": f"file:{path}"}[kind]
        with open_video(source, config) as video:
            yield video


def lumas(frames: list[Frame]) -> list[int]:
    return [int(frame.picture.planes[0][0, 0]) for frame in frames]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_gives_the_same_frames(
    kind: str, plain_clip: Path, expected_luma: Callable[[int], int]
) -> None:
    with opened(kind, plain_clip) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(24))
    assert [frame.pts for frame in frames] == [index * 41 for index in range(24)]
    assert lumas(frames) == [expected_luma(index) for index in range(24)]
    assert video.is_complete
    assert (video.error, video.warnings) == (None, [])


# An MP4 with its index at the end cannot be read forward only.
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("path", "mp4"), ("path", "mkv"), ("path", "ts"), ("file", "mp4"), ("unseekable", "mkv"), ("bytes", "ts")],
)
def test_a_range_begins_and_ends_on_the_frame(kind: str, suffix: str, make_clip: MakeClip) -> None:
    path = make_clip(name=f"clip.{suffix}")
    with open_video(path) as video:
        everything = list(video)
    for first, last in ((0, 3), (7, 24), (13, 14), (18, 21)):
        start = everything[first].pts_seconds
        end = everything[last].pts_seconds if last < 24 else None
        with opened(kind, path, VideoConfig(start_seconds=start, end_seconds=end)) as video:
            frames = list(video)
        assert [frame.pts for frame in frames] == [frame.pts for frame in everything[first:last]]
        assert lumas(frames) == lumas(everything[first:last])
        assert [frame.index for frame in frames] == list(range(last - first))
        assert video.is_complete
        assert video.warnings == []


def test_irregular_times_are_kept_as_they_are(make_clip: MakeClip) -> None:
    times = [10_000, 10_001, 10_400, 11_500, 11_501, 19_999]
    with open_video(make_clip(pts=times)) as video:
        frames = list(video)
    assert [frame.pts for frame in frames] == times
    assert not any(frame.is_pts_filled for frame in frames)
    assert frames[0].pts_seconds == 10.0


def test_a_stream_without_times_gets_them_from_its_frame_rate(make_clip: MakeClip) -> None:
    with open_video(make_clip(name="bare.h264", b_frames=0)) as video:
        frames = list(video)
    assert all(frame.is_pts_filled for frame in frames)
    steps = np.diff([frame.pts_seconds for frame in frames])
    np.testing.assert_allclose(steps, 1 / float(video.info.frame_rate or 0), atol=1e-5)
    assert frames[0].pts_seconds == 0.0


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotation_is_clockwise_and_turns_the_display_size(turn: int, make_clip: MakeClip) -> None:
    with open_video(make_clip(name="clip.mp4", rotation=turn)) as video:
        picture = next(iter(video)).picture
    assert picture.rotation == turn
    assert picture.stored_size == (48, 64)
    assert picture.display_size == ((64, 48) if turn in (90, 270) else (48, 64))


def test_wide_pixels_stretch_the_width_before_the_turn(make_clip: MakeClip) -> None:
    with open_video(make_clip(name="clip.mp4", pixel_aspect=Fraction(3, 2), rotation=90)) as video:
        assert video.info.display_size == (96, 48)


@pytest.mark.parametrize(
    ("stored", "given", "depth"),
    [
        ("yuv420p", PixelFormat.YUV420P, 8),
        ("yuv420p10le", PixelFormat.YUV420P, 10),
        ("yuv422p", PixelFormat.YUV420P, 8),
        ("yuv444p10le", PixelFormat.YUV420P, 10),
        ("yuv444p12le", PixelFormat.YUV420P, 12),
        ("yuva420p", PixelFormat.YUV420P, 8),
        ("gray", PixelFormat.YUV420P, 8),
        ("gray10le", PixelFormat.YUV420P, 10),
        ("bgr0", PixelFormat.RGB24, 8),
        ("bgra", PixelFormat.RGB24, 8),
        ("gbrp10le", PixelFormat.RGB24, 8),
    ],
)
@pytest.mark.parametrize("color_range", [1, 2])
def test_every_layout_becomes_one_of_ours_with_its_values(
    stored: str, given: PixelFormat, depth: int, color_range: int, make_clip: MakeClip
) -> None:
    path = make_clip(codec="ffv1", pixel_format=stored, size=(35, 53), pts=[0, 40], color_range=color_range)
    with open_video(path) as video:
        picture = list(video)[1].picture
    assert (picture.pixel_format, picture.bit_depth) == (given, depth)
    assert picture.stored_size == picture.display_size == (35, 53)
    assert np.abs(picture.planes[0].astype(int) - (27 << (depth - 8))).max() <= 1 << (depth - 8)
    if given is PixelFormat.YUV420P:
        assert [plane.shape for plane in picture.planes] == [(35, 53), (18, 27), (18, 27)]
        assert picture.is_full_range == (color_range == 2)
        assert int(picture.planes[1][9, 13]) == 128 << (depth - 8)


@pytest.mark.parametrize(
    ("tag", "height", "matrix"),
    [(2, 48, "bt601"), (2, 720, "bt709"), (1, 48, "bt709"), (5, 720, "bt601"), (6, 48, "bt601"), (9, 48, "bt2020")],
)
def test_the_colour_matrix_is_the_streams_or_that_of_its_size(
    tag: int, height: int, matrix: str, make_clip: MakeClip
) -> None:
    with open_video(make_clip(size=(height, 16), pts=[0], color_space=tag)) as video:
        assert next(video).picture.color_matrix is ColorMatrix(matrix)


def test_planes_are_views_that_outlive_the_video_and_cannot_be_written(plain_clip: Path) -> None:
    with open_video(plain_clip) as video:
        first = next(iter(video))
        before = first.picture.planes[0].copy()
        list(video)
    plane = first.picture.planes[0]
    assert plane.base is not None
    assert not plane.flags.writeable
    assert plane.strides[0] >= plane.shape[1]
    np.testing.assert_array_equal(plane, before)
    with pytest.raises(ValueError, match="read-only"):
        plane[0, 0] = 0


def test_what_the_header_says_is_told_before_the_first_frame(make_clip: MakeClip) -> None:
    path = make_clip(name="clip.mp4")
    with open_video(path) as video:
        info = video.info
        assert not video.is_complete
    assert (info.source, info.codec, info.frame_count) == (str(path), "h264", 24)
    assert info.duration_seconds == pytest.approx(24 * 0.041, abs=0.01)
