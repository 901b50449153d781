"""Recordings for joining, each frame of which has its own luma, and what is read of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from acfd_stream.config import VideoConfig
from acfd_stream.video import ByteStream, VideoSource, open_video
from acfd_stream.video.frame import Frame
from tests.video.conftest import Clip, flat_frame, luma_of

RATE = 24
FRAMES = 12


@dataclass(frozen=True)
class Part:
    """One recording; the defaults are half a second of H.264 in a transport stream."""

    suffix: str = "ts"
    codec: str = "libx264"
    first: int = 0  # number of the first frame, which says its luma
    begins: int = 0  # time of the first frame, in frames
    frames: int = FRAMES
    size: tuple[int, int] = (48, 64)
    pixel_aspect: Fraction | None = None
    options: dict[str, str] = field(default_factory=dict)  # of the muxer

    def after(self, **changes: object) -> Part:
        """A recording of the frames that follow these."""
        return replace(self, **{"first": self.first + self.frames, **changes})  # type: ignore[arg-type]

    def write(self, folder: Path) -> bytes:
        path = folder / f"part{self.first}.{self.suffix}"
        with av.open(str(path), "w", options=self.options) as container:
            options = {"libx264": {"qp": "0", "bf": "2"}, "libx265": {"x265-params": "log-level=0:bframes=0"}}
            stream = container.add_stream(self.codec, rate=RATE, options=options.get(self.codec, {}))
            stream.height, stream.width, stream.pix_fmt = *self.size, "yuv420p"
            stream.codec_context.gop_size, stream.codec_context.thread_count = 6, 1
            if self.pixel_aspect is not None:
                stream.codec_context.sample_aspect_ratio = self.pixel_aspect
            for index in range(self.frames):
                frame = flat_frame(Clip(size=self.size), self.first + index)
                frame.pts, frame.time_base = self.begins + index, Fraction(1, RATE)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


def joined(folder: Path, parts: Sequence[Part | bytes], suffix: str = "") -> Path:
    """The parts, and bytes between them, in one file."""
    first = next(part for part in parts if isinstance(part, Part))
    path = folder / f"joined.{suffix or first.suffix}"
    path.write_bytes(b"".join(part if isinstance(part, bytes) else part.write(folder) for part in parts))
    return path


def fed(data: bytes, chunk: int = 4096) -> ByteStream:
    """The bytes as they come over a network."""
    stream = ByteStream()

    def feed() -> None:
        for begin in range(0, len(data), chunk):
            if not stream.feed(data[begin : begin + chunk]):
                return
        stream.close()

    threading.Thread(target=feed, daemon=True).start()
    return stream


def read(source: Path | ByteStream, **config: float) -> tuple[VideoSource, list[Frame]]:
    with open_video(source, VideoConfig(**{"threads": 1, **config})) as video:  # type: ignore[arg-type]
        return video, list(video)


def marks_of(frames: Sequence[Frame]) -> list[tuple[object, ...]]:
    """What a result says of each frame but for its picture."""
    return [(frame.index, frame.pts, frame.picture.display_size, frame.seams) for frame in frames]


def seams_of(frames: Sequence[Frame]) -> dict[int, list[str]]:
    """The frames at which something begins anew."""
    return {frame.index: [str(seam) for seam in frame.seams] for frame in frames if frame.seams}


def assert_all_there(frames: Sequence[Frame], count: int, tolerance: int = 3) -> None:
    """Frames 0 … count - 1 in order by their luma, at rising times."""
    lumas = [int(frame.picture.planes[0][8, 8]) for frame in frames]
    assert len(lumas) == count
    assert all(abs(luma - luma_of(index)) <= tolerance for index, luma in enumerate(lumas)), lumas
    assert all(before.pts < after.pts for before, after in pairwise(frames))


def assert_steady(frames: Sequence[Frame], tolerance: float = 0.002) -> None:
    """A frame every 1/24 s, also over the seams."""
    steps = [after.pts_seconds - before.pts_seconds for before, after in pairwise(frames)]
    assert all(abs(step - 1 / RATE) <= tolerance for step in steps), steps
