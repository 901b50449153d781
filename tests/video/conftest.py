"""Clips that the tests draw themselves: each frame is flat, so that its luma says which one it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

RATE = 24


@dataclass(frozen=True)
class Clip:
    """What to write; the defaults are one second of small lossless H.264."""

    name: str = "clip.mkv"
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (48, 64)  # (height, width)
    pts: Sequence[int] = tuple(range(0, RATE * 41, 41))
    time_base: Fraction = Fraction(1, 1000)
    rotation: int = 0  # clockwise
    pixel_aspect: Fraction | None = None
    color_space: int = 2
    color_range: int = 1
    keyframe_distance: int = 6
    b_frames: int = 2
    sound: str | None = None  # codec
    sound_seconds: float = 1.0
    sound_begins: float = 0.5  # silence before it


def luma_of(index: int) -> int:
    return 20 + index * 7 % 200


def flat_frame(clip: Clip, index: int) -> av.VideoFrame:
    frame = av.VideoFrame(clip.size[1], clip.size[0], clip.pixel_format)
    for place, plane in enumerate(frame.planes):
        is_luma = place == 0 or not clip.pixel_format.startswith("yuv")
        bits = frame.format.components[0].bits
        value = (luma_of(index) if is_luma else 128) << (bits - 8)
        dtype = np.uint8 if bits <= 8 else np.uint16
        plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype).tobytes())
    return frame


def write_sound(container: av.container.OutputContainer, stream: av.AudioStream, clip: Clip) -> None:
    times = np.arange(int(48_000 * clip.sound_seconds)) / 48_000
    wave = np.where(times >= clip.sound_begins, np.sin(times * 2 * np.pi * 440), 0)
    for begin in range(0, len(wave), 1024):
        samples = (wave[begin : begin + 1024] * 20_000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, begin, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_clip(folder: Path, clip: Clip) -> Path:
    path = folder / clip.name
    with av.open(str(path), "w") as container:
        options = {"qp": "0", "bf": str(clip.b_frames)} if clip.codec == "libx264" else {}
        stream = container.add_stream(clip.codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = *clip.size, clip.pixel_format
        codec = stream.codec_context
        codec.gop_size, codec.time_base, codec.thread_count = clip.keyframe_distance, clip.time_base, 1
        codec.colorspace, codec.color_range = clip.color_space, clip.color_range
        if clip.pixel_aspect is not None:
            codec.sample_aspect_ratio = clip.pixel_aspect
        if clip.rotation:
            stream.set_display_rotation(-clip.rotation)
        sound = None if clip.sound is None else container.add_stream(clip.sound, rate=48_000, layout="mono")
        for index, pts in enumerate(clip.pts):
            frame = flat_frame(clip, index)
            frame.pts, frame.time_base = pts, clip.time_base
            frame.color_range, frame.colorspace = clip.color_range, clip.color_space
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            write_sound(container, sound, clip)
    return path


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a clip into the test's folder; keywords are the fields of ``Clip``."""
    return lambda **fields: write_clip(tmp_path, Clip(**fields))


@pytest.fixture(scope="session")
def plain_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip of the defaults, written once."""
    return write_clip(tmp_path_factory.mktemp("plain"), Clip())


@pytest.fixture(scope="session")
def expected_luma() -> Callable[[int], int]:
    """Luma of the frame with an index, 8 bits."""
    return luma_of
