"""A live stream is understood from its first few frames: those that come meanwhile would all be late."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.video import open_video
from acfd_stream.video.bytestream import ByteStream

FEW = 6
WAIT_SECONDS = 20.0
LIVE = [
    ("matroska", {"live": "1", "cluster_time_limit": "1"}),
    ("mpegts", {}),
    ("flv", {}),
    ("mp4", {"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
]


def pieces_of(container_format: str, options: dict[str, str]) -> list[bytes]:
    """A container in live use, in the pieces in which it is written: about one a frame."""
    target = io.BytesIO()
    pieces, taken = [], 0
    paper = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    with av.open(target, "w", format=container_format, options={"flush_packets": "1", **options}) as container:
        stream = container.add_stream("libx264", rate=24, options={"tune": "zerolatency", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for index in range(48):
            frame = av.VideoFrame.from_ndarray(np.roll(paper, index, axis=1), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 24)
            container.mux(stream.encode(frame))
            pieces.append(target.getvalue()[taken:])
            taken += len(pieces[-1])
    return pieces


@pytest.mark.parametrize(("container_format", "options"), LIVE)
def test_a_live_stream_opens_with_its_first_frames(container_format: str, options: dict[str, str]) -> None:
    stream = ByteStream()
    for piece in pieces_of(container_format, options)[:FEW]:
        stream.feed(piece)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_video, stream, VideoConfig(low_delay=True))
        try:
            video = opening.result(WAIT_SECONDS)
        finally:
            stream.abort()
        assert video.info.display_size == (96, 128)
        assert video.info.frame_rate == 24
        video.close()


@pytest.mark.parametrize("container_format", ["matroska", "mp4"])
def test_a_container_that_begins_with_what_is_in_it_opens_with_the_first_frame(container_format: str) -> None:
    pieces = pieces_of(container_format, dict(LIVE)[container_format])
    stream = ByteStream()
    for byte in pieces[0]:  # as slowly as bytes can come
        stream.feed(bytes([byte]))
    stream.feed(pieces[1])  # a frame is written when the next one comes
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_video, stream, VideoConfig(low_delay=True))
        try:
            with opening.result(WAIT_SECONDS) as video:
                assert next(video).picture.display_size == (96, 128)
        finally:
            stream.abort()


@pytest.mark.parametrize(("container_format", "options"), LIVE)
def test_a_stream_that_is_broken_off_prints_nothing(
    container_format: str, options: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    stream = ByteStream()
    for piece in pieces_of(container_format, options)[:FEW]:
        stream.feed(piece)
    with open_video(stream, VideoConfig(low_delay=True)) as video, ThreadPoolExecutor(1) as pool:
        frames = iter(video)
        next(frames)
        rest = pool.submit(lambda: list(frames))
        stream.abort("enough")
        assert len(rest.result(WAIT_SECONDS)) < FEW
    assert video.error is not None
    assert "enough" in video.error
    assert capfd.readouterr().err == ""
