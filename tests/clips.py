"""Small clips of a bright face over dim bars, drawn by hand and encoded."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.detect.tiny_model import white_square


def drawing(size: tuple[int, int], corner: tuple[int, int], *, is_behind_cut: bool) -> np.ndarray:
    """uint8 [H, W, 3]: bars, which lie otherwise behind a cut, and a face of 32 pixels at ``corner`` (left, top)."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    bars = (columns if is_behind_cut else rows) // 12 % 2 * 40
    return np.maximum(white_square(size, *corner, 32), bars[..., None].astype(np.uint8))


def encode(path: Path, drawings: Iterable[np.ndarray], size: tuple[int, int], rate: int | Fraction = 24) -> Path:
    """An MPEG-4 file of uint8 [H, W, 3] drawings, in the container that its name says."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"qscale": "2"}
        for index, drawn in enumerate(drawings):
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
