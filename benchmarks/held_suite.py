"""Drawn clips and encodings with known repeats of drawings: the input of ``benchmarks/held.py``."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from acfd_stream.model.toon import render
from acfd_stream.model.toon.clip import Clip
from acfd_stream.model.toon.truth import ClipTruth

Pixels = NDArray[np.uint8]  # [H, W, 3] RGB
RATE = 24
LEAST_CHANGE = 20.0
"""Levels by which the mean of 3×3 pixels differs in a new drawing that can be seen; less is a glide."""


@dataclass(frozen=True)
class DrawnClip:
    """One clip."""

    name: str
    plan: str
    seed: int
    size: tuple[int, int]  # (height, width)
    frames: int  # so many of its first ones
    hold: int = 0  # frames a body's drawing lasts; 0: as the plan says
    mouth_hold: int = 0
    is_gaze_fixed: bool = False  # heads and eyes stand still, so that mouths and eyelids are all that moves

    def open(self) -> Clip:
        """The clip, ready to draw."""
        clip = render(self.plan, self.seed, self.size, RATE)
        clip.script.hold = self.hold or clip.script.hold
        clip.script.mouth_hold = self.mouth_hold or clip.script.mouth_hold
        if self.is_gaze_fixed:
            for part in (part for shot in clip.script.shots for part in shot.parts):
                part.yaw = (part.yaw or [(0.0, 0.0)])[:1]
        return clip

    def draw(self) -> tuple[list[Pixels], ClipTruth]:
        """Frames and their ground truth."""
        clip, drawn = self.open(), []
        for pixels, _ in clip:
            drawn.append(pixels)
            if len(drawn) == self.frames:
                break
        return drawn, clip.truth


def visible_changes(frames: list[Pixels]) -> list[float]:
    """Difference of each frame to the previous one: the largest mean over 3×3 pixels, levels; 0 for the first."""
    changes = [0.0]
    for before, after in pairwise(frames):
        difference = after.sum(2, dtype=np.int16) - before.sum(2, dtype=np.int16)
        rows = difference[:-2] + difference[1:-1] + difference[2:]
        blocks = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
        changes.append(float(np.abs(blocks).max()) / 27)
    return changes


@dataclass(frozen=True)
class Encoding:
    """One codec with its settings."""

    name: str
    codec: str
    options: tuple[tuple[str, str], ...] = ()
    bits_per_pixel: float = 0.0  # 0: by the options
    grain: float = 0.0  # standard deviation of luma, levels, fresh in every frame
    key_frames: int = 0  # a key frame so often; 0: as the codec does
    pixel_format: str = "yuv420p"
    suffix: str = "mkv"


def _x264(name: str, **extra: Any) -> Encoding:
    options = {"preset": "veryfast", **extra.pop("options", {})}
    return Encoding(name, "libx264", tuple(options.items()), **extra)


CLIPS = (
    DrawnClip("mouths and blinks on twos, 720p", "quiet", 3, (720, 1280), 96, is_gaze_fixed=True),
    DrawnClip("mouths and blinks on twos, 360p", "quiet", 5, (360, 640), 96, is_gaze_fixed=True),
    DrawnClip("mouths on ones, bodies on threes", "quiet", 7, (480, 854), 72, 3, 1, is_gaze_fixed=True),
    DrawnClip("crowd on twos, 1080p", "crowd", 2, (1080, 1920), 48),
    DrawnClip("threes, 720p", "threes", 1, (720, 1280), 120),
    DrawnClip("walk and talk on twos, 360p", "demo", 4, (360, 640), 312),
    DrawnClip("walk and talk on ones, 720p", "demo", 9, (720, 1280), 72, hold=1, mouth_hold=1),
    DrawnClip("fades and dissolves, 480p", "fades", 2, (480, 854), 280),
    DrawnClip("flashes, 360p", "flashes", 1, (360, 640), 180),
    DrawnClip("cuts, 480p", "cuts", 6, (480, 854), 200),
)
ENCODINGS = (
    _x264("x264 crf 18", options={"crf": "18"}),
    _x264("x264 crf 23", options={"crf": "23"}),
    _x264("x264 crf 28", options={"crf": "28"}),
    _x264("x264 crf 35", options={"crf": "35"}),
    _x264("x264 0.04 bit/pixel", bits_per_pixel=0.04),
    _x264("x264 0.015 bit/pixel", bits_per_pixel=0.015),
    _x264("x264 slow crf 21 tune animation", options={"preset": "slow", "crf": "21", "tune": "animation"}),
    _x264("x264 no B-frames, key frame each 12", options={"crf": "23", "bf": "0"}, key_frames=12),
    _x264("x264 light grain crf 18", options={"crf": "18"}, grain=2.0),
    _x264("x264 heavy grain crf 23", options={"crf": "23", "tune": "grain"}, grain=5.0),
    _x264("x264 10 bit crf 20", options={"crf": "20"}, pixel_format="yuv420p10le"),
    Encoding("x265 crf 26", "libx265", (("preset", "veryfast"), ("crf", "26"), ("x265-params", "log-level=none"))),
    Encoding("VP9 0.05 bit/pixel", "libvpx-vp9", (("deadline", "realtime"), ("cpu-used", "7")), 0.05),
    Encoding("MPEG-4 part 2, qscale 4", "mpeg4", (("qscale", "4"), ("bf", "2")), suffix="avi"),
    Encoding("MPEG-2, 0.25 bit/pixel", "mpeg2video", (("bf", "2"),), 0.25, key_frames=12),
)


def encode(path: Path, frames: list[Pixels], encoding: Encoding) -> Path:
    """Write ``frames`` to ``path``; grain is the same for the same clip."""
    height, width = (side - side % 2 for side in frames[0].shape[:2])
    noise = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoding.codec, rate=Fraction(RATE), options=dict(encoding.options))
        stream.width, stream.height, stream.pix_fmt = width, height, encoding.pixel_format
        stream.codec_context.time_base = Fraction(1, RATE)
        if encoding.key_frames:
            stream.codec_context.gop_size = encoding.key_frames
        if encoding.bits_per_pixel:
            stream.bit_rate = int(encoding.bits_per_pixel * height * width * RATE)
        for index, pixels in enumerate(frames):
            shown = _grained(pixels[:height, :width], encoding.grain, noise)
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _grained(pixels: Pixels, deviation: float, noise: np.random.Generator) -> Pixels:
    if deviation == 0:
        return np.ascontiguousarray(pixels)
    grain = noise.normal(0.0, deviation, pixels.shape[:2]).astype(np.float32)
    return np.clip(pixels + grain[..., None], 0, 255).astype(np.uint8)
