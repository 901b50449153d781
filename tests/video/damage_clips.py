"""Clips whose packets can be damaged: a textured picture that moves, so that each frame is predicted from others."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from acfd_stream.config import VideoConfig
from acfd_stream.video import VideoSource, open_video

RATE = 24
SIZE = (96, 160)  # (height, width)


@dataclass(frozen=True)
class Coding:
    """How to write a clip of ``count`` frames with a keyframe every ``distance`` frames."""

    name: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    count: int = 48
    distance: int = 12
    b_frames: int = 0


X264 = {"preset": "veryfast", "crf": "24"}
X265 = {"x265-params": "pools=1:frame-threads=1:log-level=none:keyint=12:min-keyint=12:bframes=0"}
VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "36", "b": "0"}
H264 = Coding("h264.mkv", "libx264", X264)
H264_B = Coding("b.mkv", "libx264", {**X264, "bf": "2"}, b_frames=2)
HEVC = Coding("hevc.mkv", "libx265", X265)
VP8 = Coding("vp8.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8", "b": "400k"})
VP9_WEBM = Coding("vp9.webm", "libvpx-vp9", VP9)
MPEG2 = Coding("mpeg2.mkv", "mpeg2video", b_frames=2)
MPEG4 = Coding("mpeg4.mkv", "mpeg4", b_frames=2)
PRORES = Coding("prores.mov", "prores_ks", {}, "yuv422p10le", 16)
MJPEG = Coding("mjpeg.mkv", "mjpeg", {}, "yuvj420p", 16)


def drawn(index: int, pixel_format: str) -> av.VideoFrame:
    """A textured picture that moves by two pixels a frame."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    shade = 128 + 60 * np.sin((columns + 2 * index) / 7.0) + 50 * np.cos((rows + index) / 5.0)
    picture = np.repeat(np.clip(shade, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    picture[20:50, (4 * index) % 120 : (4 * index) % 120 + 30] = (220, 40, 90)
    return av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format)


def write(folder: Path, coding: Coding) -> Path:
    """The whole clip."""
    path = folder / coding.name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(coding.codec, rate=RATE, options=coding.options)
        stream.height, stream.width, stream.pix_fmt = *SIZE, coding.pixel_format
        codec = stream.codec_context
        codec.gop_size, codec.max_b_frames, codec.thread_count = coding.distance, coding.b_frames, 1
        for index in range(coding.count):
            frame = drawn(index, coding.pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def spoiled(path: Path, numbers: Sequence[int], noise: Callable[[int], bytes] | None = None) -> Path:
    """A copy in which packets, counted in the file's order, hold noise or what ``noise`` gives for their size."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        data, places = path.read_bytes(), []
        for number in numbers:
            packet = packets[number]
            assert packet.pos is not None
            places.append((data.index(bytes(packet), packet.pos), packet.size))
    made = bytearray(data)
    for place, size in places:
        made[place : place + size] = (noise or random.Random(12).randbytes)(size)
    copy = path.with_stem(path.stem + "-bad")
    copy.write_bytes(made)
    return copy


def flipped(path: Path, seed: int, count: int) -> Path:
    """A copy with some bits flipped behind its head."""
    chance, data = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(count):
        data[chance.randrange(len(data) // 8, len(data))] ^= 1 << chance.randrange(8)
    copy = path.with_stem(f"{path.stem}-{seed}")
    copy.write_bytes(data)
    return copy


def outcome(path: Path, threads: int = 0, low_delay: bool = False) -> tuple[str, VideoSource]:
    """A digest of all that a reading gives, and its source. Some frames are held for a while, as a queue does."""
    digest, held, chance = hashlib.sha256(), [], random.Random()
    with open_video(path, VideoConfig(threads=threads, low_delay=low_delay)) as video:
        for frame in video:
            digest.update(f"{frame.pts} {frame.is_damaged}".encode())
            for plane in frame.picture.planes:
                digest.update(np.ascontiguousarray(plane))
            held.append(frame)
            if len(held) > chance.randrange(1, 9):
                held.pop(chance.randrange(len(held)))
    digest.update(f"{video.gaps} {video.error} {video.warnings}".encode())
    return digest.hexdigest(), video
