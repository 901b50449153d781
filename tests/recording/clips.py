"""Clips that episodes are recorded of."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from tests.pipeline.conftest import FRAMES, SIZE, draw, write_clip


def write_vfr(path: Path) -> Path:
    """The drawn clip with frames that stand for 20 ms to 1.1 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.height, stream.width = SIZE
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        pts = 0
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            pts += 20 + index * 17 % 40 + (1100 if index == 33 else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_cut_off(path: Path) -> Path:
    """The drawn clip, of which the last third is missing."""
    whole = write_clip(path).read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def write_growing(folder: Path) -> Path:
    """A recording of small frames, then of larger ones."""
    parts = []
    for side in (64, 128):
        with av.open(str(folder / f"{side}.ts"), "w") as container:
            stream = container.add_stream("mpeg2video", rate=24)
            stream.height = stream.width = side
            for _ in range(6):
                container.mux(stream.encode(av.VideoFrame(side, side, "yuv420p")))
            container.mux(stream.encode(None))
        parts.append((folder / f"{side}.ts").read_bytes())
    path = folder / "growing.ts"
    path.write_bytes(b"".join(parts))
    return path
