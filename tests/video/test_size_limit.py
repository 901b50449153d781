"""A picture above the limit is refused by its decoder's own size, before memory is taken for it."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.video import ByteStream, open_video

SMALL, LARGE = (48, 64), (480, 640)
LIMIT = 4096
KEYFRAMES = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=1"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "keyint=1:log-level=none"},
    "libvpx": {"lag-in-frames": "0", "g": "1"},
    "libvpx-vp9": {"lag-in-frames": "0", "g": "1"},
}
FORMATS = {"mjpeg": "yuvj420p", "png": "rgb24", "bmp": "bgr24", "qoi": "rgb24"}
CODINGS = [
    ("libx264", "matroska"),
    ("libx264", "mpegts"),
    ("libx264", "h264"),
    ("libx265", "matroska"),
    ("libx265", "mpegts"),
    ("libvpx", "webm"),
    ("libvpx-vp9", "webm"),
    ("libsvtav1", "webm"),
    ("libsvtav1", "obu"),
    ("mjpeg", "matroska"),
    ("mjpeg", "avi"),
    ("mjpeg", "mjpeg"),
    ("png", "avi"),
    ("png", "image2pipe"),
    ("bmp", "image2pipe"),
    ("qoi", "image2pipe"),
    ("mpeg2video", "mpegts"),
    ("mpeg2video", "mpeg2video"),
    ("mpeg4", "avi"),
    ("libwebp", "image2pipe"),
]


def packets_of(codec: str, size: tuple[int, int], count: int) -> list[bytes]:
    """Keyframes, in the order of their times."""
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = size
    encoder.pix_fmt = FORMATS.get(codec, "yuv420p")
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options, encoder.gop_size = KEYFRAMES.get(codec, {}), 1
    packets = []
    for number in range(count):
        image = np.full((*size, 3), 40 + 20 * number, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=encoder.pix_fmt)
        frame.pts = number
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets + encoder.encode(None)]


def written(codec: str, container: str, packets: list[bytes]) -> bytes:
    """Packets in a container whose header has the small size."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream: Any = target.add_stream(codec, rate=25, options=KEYFRAMES.get(codec, {}))
        stream.height, stream.width = SMALL
        stream.pix_fmt = FORMATS.get(codec, "yuv420p")
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            target.mux(packet)
    return out.getvalue()


def read(media: bytes, config: VideoConfig) -> tuple[list[tuple[int, int]], str | None]:
    """The sizes of the frames, and the error."""
    with open_video(io.BytesIO(media), config) as video:
        return [frame.picture.display_size for frame in video], video.error


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("codec", "container"), CODINGS)
def test_a_picture_that_grows_beyond_the_limit_breaks_the_video(codec: str, container: str, threads: int) -> None:
    small = packets_of(codec, SMALL, 6)
    packets = [*small[:3], packets_of(codec, LARGE, 1)[0], *small[3:]]
    sizes, error = read(written(codec, container, packets), VideoConfig(frame_pixels=LIMIT, threads=threads))
    assert "above the limit" in (error or "")
    assert "frame_pixels" in (error or "")
    assert sizes == [SMALL] * 3


@pytest.mark.parametrize(("codec", "container"), [pair for pair in CODINGS if pair[0] != "bmp"])
def test_a_first_picture_above_the_limit_is_refused_with_the_limit(codec: str, container: str) -> None:
    media = written(codec, container, packets_of(codec, LARGE, 4))
    with pytest.raises(MediaError, match="frame_pixels"):
        read(media, VideoConfig(frame_pixels=LIMIT))
    assert read(media, VideoConfig())[0]


@pytest.mark.parametrize("size", [(48, 64), (300, 10), (10, 300), (64, 48), (47, 65)])
def test_a_picture_just_within_the_limit_is_read(tmp_path: Path, size: tuple[int, int]) -> None:
    media = written("png", "avi", packets_of("png", size, 2))
    assert read(media, VideoConfig(frame_pixels=size[0] * size[1]))[0] == [size] * 2
    with pytest.raises(MediaError, match="frame_pixels"):
        read(media, VideoConfig(frame_pixels=size[0] * size[1] - 1))


def peak_bytes() -> int:
    """The most resident memory since the last ``forget_peak``."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


@pytest.fixture
def held() -> int:
    """Resident memory at the beginning; the peak is counted from here."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel does not forget a peak")
    return peak_bytes()


@pytest.mark.parametrize("is_streamed", [False, True])
def test_no_memory_is_taken_for_a_picture_above_the_limit(held: int, is_streamed: bool) -> None:
    packets = packets_of("libvpx", SMALL, 5)
    packets[2] = packets[2][:6] + struct.pack("<HH", 12_000, 12_000) + packets[2][10:]  # RFC 6386, 9.1
    media = written("libvpx", "webm", packets)
    source: ByteStream | io.BytesIO = io.BytesIO(media)
    if is_streamed:
        source = ByteStream()
        source.feed(media)
        source.close()
    with open_video(source, VideoConfig(frame_pixels=2**20)) as video:
        assert len(list(video)) == 2
        assert "frame_pixels" in (video.error or "")
    assert peak_bytes() - held < 24 * 2**20
