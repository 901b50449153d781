"""Times of pictures whose container says only in which order to decode them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.video import VideoSource, open_video
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.frame import Frame
from tests.video.containers import RATE, encoded, luma_of, packed, payloads, pictures, write_avi, write_vfw

COUNT = 40
X264 = {"bf": "3", "g": "12", "b-adapt": "0", "crf": "12", "x264-params": "b-adapt=0"}
OPEN_GOP = X264 | {"x264-params": "b-adapt=0:open-gop=1"}
X265 = {"x265-params": "bframes=3:b-adapt=0:keyint=12:log-level=none:pools=1:frame-threads=1", "crf": "12"}
MPEG = {"bf": "2", "g": "12", "qscale": "2"}


def read(path: Path, config: VideoConfig | None = None) -> tuple[VideoSource, list[Frame]]:
    with open_video(path, config) as video:
        return video, list(video)


def mpeg4_chunks(folder: Path) -> list[tuple[bytes, bool]]:
    return payloads(encoded(folder / "mpeg4.avi", "mpeg4", COUNT, MPEG | {"flags": "-global_header"}))


def h264_avi(folder: Path) -> Path:
    return encoded(folder / "a.avi", "libx264", COUNT, X264)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "H.264 in AVI": h264_avi,
    "H.264 with open GOPs in AVI": lambda folder: encoded(folder / "a.avi", "libx264", COUNT, OPEN_GOP),
    "HEVC in AVI": lambda folder: write_avi(
        folder / "a.avi", payloads(encoded(folder / "a.hevc", "libx265", COUNT, X265)), b"HEVC"
    ),
    "MPEG-4 in AVI": lambda folder: encoded(folder / "a.avi", "mpeg4", COUNT, MPEG),
    "MPEG-2 in AVI": lambda folder: encoded(folder / "a.avi", "mpeg2video", COUNT, MPEG),
    "packed MPEG-4 in AVI": lambda folder: write_avi(folder / "a.avi", packed(mpeg4_chunks(folder))),
    "packed MPEG-4 in Matroska": lambda folder: write_vfw(folder / "a.mkv", packed(mpeg4_chunks(folder))),
    "MPEG-4 in Matroska as in AVI": lambda folder: write_vfw(folder / "a.mkv", mpeg4_chunks(folder)),
    "H.264 in ASF": lambda folder: encoded(folder / "a.asf", "libx264", COUNT, X264),
    "bare H.264": lambda folder: encoded(folder / "a.h264", "libx264", COUNT, X264),
    "bare HEVC": lambda folder: encoded(folder / "a.hevc", "libx265", COUNT, X265),
    "bare MPEG-4": lambda folder: encoded(folder / "a.m4v", "mpeg4", COUNT, MPEG, "m4v"),
    "bare MPEG-1": lambda folder: encoded(folder / "a.m1v", "mpeg1video", COUNT, MPEG),
    "bare MPEG-2": lambda folder: encoded(folder / "a.m2v", "mpeg2video", COUNT, MPEG),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", MAKERS)
def test_times_are_those_of_the_order_of_presentation(kind: str, threads: int, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    video, frames = read(path, VideoConfig(threads=threads))
    assert [round(float(frame.picture.planes[0].mean())) for frame in frames] == [
        pytest.approx(luma_of(index), abs=6) for index in range(COUNT)
    ]
    time_base = video.info.time_base
    expected = [round(Fraction(index, RATE) / time_base) for index in range(COUNT)]
    tolerance = 1 if kind == "H.264 in ASF" else 0  # its muxer cuts milliseconds off
    assert [frame.pts for frame in frames] == [pytest.approx(pts, abs=tolerance) for pts in expected]
    assert all(frame.is_pts_filled for frame in frames)
    assert (video.info.times, video.warnings, video.is_complete) == ("inferred", [], True)


@pytest.mark.parametrize(("codec", "container", "rate"), [("libsvtav1", "obu", 25), ("vc2", "dirac", RATE)])
def test_bare_av1_and_dirac_have_the_times_of_their_rate(codec: str, container: str, rate: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{container}"
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, options={"preset": "12"} if codec == "libsvtav1" else {})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 64, 64, "yuv420p", 2_000_000
        for frame in pictures(12):
            output.mux(stream.encode(frame.reformat(64, 64)))
        output.mux(stream.encode(None))
    video, frames = read(path, VideoConfig(threads=2))
    assert [float(frame.pts * video.info.time_base) for frame in frames] == [
        pytest.approx(index / rate, abs=1e-6) for index in range(12)
    ]
    assert (video.info.times, video.warnings, video.gaps, video.is_complete) == ("inferred", [], [], True)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_without_b_frames_the_times_of_an_avi_are_its_own(codec: str, tmp_path: Path) -> None:
    video, frames = read(encoded(tmp_path / "a.avi", codec, COUNT, {"bf": "0"}))
    assert [frame.pts for frame in frames] == list(range(COUNT))
    assert not any(frame.is_pts_filled for frame in frames)
    assert (video.info.times, video.warnings) == ("", [])


def test_a_chunk_that_is_left_out_makes_the_picture_before_it_last(tmp_path: Path) -> None:
    chunks = payloads(h264_avi(tmp_path))
    video, frames = read(
        write_avi(tmp_path / "b.avi", [*chunks[:24], (b"", False), (b"", False), *chunks[24:]], b"H264")
    )
    assert len(frames) == COUNT
    steps = [later.pts - earlier.pts for earlier, later in pairwise(frames)]
    assert (steps.count(1), steps.count(3)) == (COUNT - 2, 1)
    assert (video.info.times, video.warnings) == ("inferred", [])


@pytest.mark.parametrize("kind", ["H.264 in AVI", "packed MPEG-4 in Matroska", "bare MPEG-2"])
def test_a_part_of_it_has_the_frames_of_the_whole(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    frames = read(path)[1]
    part = read(path, VideoConfig(start_seconds=0.7, end_seconds=1.2))[1]
    expected = [frame for frame in frames if 0.7 <= frame.pts_seconds < 1.2]
    assert [frame.pts for frame in part] == [frame.pts for frame in expected]
    assert [frame.picture.planes[0].mean() for frame in part] == [frame.picture.planes[0].mean() for frame in expected]


@pytest.mark.parametrize("kind", ["H.264 in AVI", "packed MPEG-4 in AVI", "bare HEVC"])
def test_a_stop_and_another_reader_give_the_same_frames(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path)
    with open_video(path) as video:
        kept = [next(video) for _ in range(20)]
        position = DecodePosition(19, kept[-1].pts, kept[-1].is_pts_filled, video.loss_counts)
    assert not position.is_unique  # it is found by counting
    with open_video(path) as video:
        video.resume_after(position, 20)
        rest = list(video)
    assert [(frame.index, frame.pts) for frame in kept + rest] == [(frame.index, frame.pts) for frame in read(path)[1]]


def test_times_in_the_order_of_decoding_are_put_in_order_and_told(tmp_path: Path) -> None:
    source, path = encoded(tmp_path / "a.mp4", "libx264", COUNT, X264), tmp_path / "b.mp4"
    with av.open(str(source)) as whole, av.open(str(path), "w") as broken:
        stream = broken.add_stream_from_template(whole.streams.video[0])
        for index, packet in enumerate(whole.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = index
                packet.time_base, packet.stream = Fraction(1, RATE), stream
                broken.mux(packet)
    video, frames = read(path)
    assert len(frames) == COUNT
    assert all(earlier.pts < later.pts for earlier, later in pairwise(frames))
    steps = {
        round((later.pts - earlier.pts) * video.info.time_base * RATE, 3) for earlier, later in pairwise(frames[8:])
    }
    assert steps == {1}
    assert len(video.warnings) == 1
    assert video.warnings[0].startswith("times go back to ")
    assert video.warnings[0].endswith("; they were put in the order of the pictures")


@pytest.mark.parametrize("stop", [10, 21, 25, 38])
def test_a_time_far_ahead_is_followed_by_later_times_also_after_a_stop(stop: int, tmp_path: Path) -> None:
    source, path = encoded(tmp_path / "a.mp4", "libx264", COUNT, {"bf": "0", "g": "6"}), tmp_path / "b.mp4"
    with av.open(str(source)) as whole, av.open(str(path), "w") as broken:
        stream = broken.add_stream_from_template(whole.streams.video[0])
        for index, packet in enumerate(whole.demux(video=0)):
            if packet.size:
                packet.pts, packet.dts = index + 24 * (index == 20), index
                packet.time_base, packet.stream = Fraction(1, RATE), stream
                broken.mux(packet)
    video, frames = read(path)
    assert len(frames) == COUNT
    assert all(earlier.pts < later.pts for earlier, later in pairwise(frames))
    assert [frame.is_pts_filled for frame in frames] == [False] * 21 + [True] * (COUNT - 21)
    assert len(video.warnings) == 1
    assert video.warnings[0].startswith("times go back to ")
    with open_video(path) as again:
        kept = [next(again) for _ in range(stop)]
        position = DecodePosition(stop - 1, kept[-1].pts, kept[-1].is_pts_filled, again.loss_counts)
    with open_video(path) as again:
        again.resume_after(position, stop)
        rest = list(again)
    assert [(frame.index, frame.pts) for frame in kept + rest] == [(frame.index, frame.pts) for frame in frames]


def test_bytes_that_arrive_have_the_times_of_the_file(tmp_path: Path) -> None:
    class Arriving:
        def __init__(self, data: bytes) -> None:
            self.read = BytesIO(data).read

    for kind in ("H.264 in AVI", "packed MPEG-4 in Matroska", "bare MPEG-1"):
        path = MAKERS[kind](tmp_path)
        with open_video(Arriving(path.read_bytes())) as video:  # type: ignore[arg-type]
            found = [(frame.pts, frame.is_pts_filled) for frame in video]
        assert found == [(frame.pts, frame.is_pts_filled) for frame in read(path)[1]]
