"""Writes drawn clips as video files: H.264, optionally with a tone; the suffix chooses the container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from acfd_stream.errors import OutputError

from .clip import Clip
from .truth import ClipTruth

_SAMPLE_RATE = 44100


def write_clip(
    path: str | Path, clip: Clip, crf: int = 18, bit_rate: int | None = None, has_tone: bool = False
) -> ClipTruth:
    """The truth of ``clip``, which is drawn into a video file.

    Args:
        path: the file; its suffix chooses the container (.mp4, .mkv …).
        clip: of ``render``. Odd sizes are cut to even ones for yuv420p.
        crf: quality of x264, 0 … 51; not used with ``bit_rate``.
        bit_rate: bits per second.
        has_tone: whether to add an AAC track with a quiet tone.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with av.open(str(path), "w") as container:
            _write(container, clip, crf, bit_rate, has_tone)
    except (OSError, ValueError) as error:  # av's errors are one of them
        raise OutputError(f"{path}: cannot write the clip: {error}") from error
    return clip.truth


def _write(container: Any, clip: Clip, crf: int, bit_rate: int | None, has_tone: bool) -> None:
    height, width = (side - side % 2 for side in clip.size)
    options = {"preset": "veryfast"} if bit_rate else {"preset": "veryfast", "crf": str(crf)}
    stream = container.add_stream("libx264", rate=clip.fps, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = 1 / clip.fps
    if bit_rate:
        stream.bit_rate = bit_rate
    tone = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono") if has_tone else None
    for pixels, truth in clip:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        frame.pts, frame.time_base = truth.index, 1 / clip.fps
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    if tone is not None:
        _write_tone(container, tone, float(clip.frame_count / clip.fps))


def _write_tone(container: Any, tone: Any, seconds: float) -> None:
    count = 1024
    for start in range(0, int(seconds * _SAMPLE_RATE), count):
        time = np.arange(start, start + count) / _SAMPLE_RATE
        wave = (0.05 * np.sin(2 * np.pi * 330 * time)).astype(np.float32)[None, :]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _SAMPLE_RATE, start, Fraction(1, _SAMPLE_RATE)
        container.mux(tone.encode(frame))
    container.mux(tone.encode(None))
