"""Drawn clips in every container and codec that PyAV can write and that films come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.clips import drawing

FRAMES, RATE = 24, 24


@dataclass(frozen=True)
class Container:
    """How a clip is written."""

    name: str
    muxer: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)  # of the codec
    muxer_options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    rate: Fraction = Fraction(RATE)
    size: tuple[int, int] = (96, 128)  # height, width

    def __str__(self) -> str:
        return self.name

    def write(self, folder: Path) -> Path:
        """Draw the clip, 24 pictures of a face that moves and jumps to another scene, into a file in ``folder``."""
        path = folder / self.name
        with av.open(str(path), "w", format=self.muxer, options=self.muxer_options) as target:
            stream = target.add_stream(self.codec, rate=self.rate)
            stream.height, stream.width = self.size
            stream.pix_fmt = self.pixels
            stream.options = QUICK.get(self.codec, {}) | self.options
            stream.codec_context.thread_count = 1
            for index in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(_drawn(index, self.size), format="rgb24")
                frame.pts, frame.time_base = index, 1 / self.rate
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
        return path


def _drawn(index: int, size: tuple[int, int]) -> np.ndarray:
    corner = (20 + 2 * index, 28) if index < FRAMES // 2 else (70 - index, 40)
    return drawing(size, corner, is_behind_cut=index >= FRAMES // 2)


QUICK = {
    "libx264": {"preset": "veryfast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
_TWO_B = {"bf": "2"}
_NO_B = {"bf": "0"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
_NTSC = Fraction(30000, 1001)

CONTAINERS = [
    Container("index_last.mp4", "mp4", "libx264"),
    Container("index_first.mp4", "mp4", "libx264", muxer_options={"movflags": "faststart"}),
    Container("fragments.mp4", "mp4", "libx264", {"g": "8"}, _FRAGMENTS),
    Container("hevc.mp4", "mp4", "libx265"),
    Container("mpeg4.mp4", "mp4", "mpeg4", _TWO_B),
    Container("h264.mov", "mov", "libx264", rate=_NTSC),
    Container("prores.mov", "mov", "prores_ks", pixels="yuv422p10le"),
    Container("h263.3gp", "3gp", "h263"),
    Container("h264.mkv", "matroska", "libx264"),
    Container("live.mkv", "matroska", "libx264", muxer_options={"live": "1"}, rate=_NTSC),
    Container("mpeg2.mkv", "matroska", "mpeg2video", _TWO_B),
    Container("ffv1.mkv", "matroska", "ffv1"),
    Container("vp8.webm", "webm", "libvpx"),
    Container("vp9.webm", "webm", "libvpx-vp9"),
    Container("h264.ts", "mpegts", "libx264"),
    Container("hevc.ts", "mpegts", "libx265", rate=_NTSC),
    Container("mpeg2.ts", "mpegts", "mpeg2video", _TWO_B),
    Container("h264.m2ts", "mpegts", "libx264", muxer_options={"mpegts_m2ts_mode": "1"}),
    Container("mpeg1.mpg", "mpeg", "mpeg1video"),
    Container("mpeg1_b.mpg", "mpeg", "mpeg1video", _TWO_B, rate=Fraction(25)),
    Container("mpeg2.mpg", "mpeg", "mpeg2video", _TWO_B),
    Container("mpeg2.vob", "vob", "mpeg2video", _TWO_B, rate=_NTSC),
    Container("mpeg4.avi", "avi", "mpeg4"),
    Container("mpeg4_b.avi", "avi", "mpeg4", _TWO_B),
    Container("h264_b.avi", "avi", "libx264", rate=_NTSC),
    Container("mjpeg.avi", "avi", "mjpeg", pixels="yuvj420p"),
    Container("h264.flv", "flv", "libx264", rate=_NTSC),
    Container("sorenson.flv", "flv", "flv"),
    Container("vp8.ogv", "ogg", "libvpx"),
    Container("mpeg2.mxf", "mxf", "mpeg2video"),
    Container("mpeg2_b.mxf", "mxf", "mpeg2video", _TWO_B, rate=_NTSC),
    Container("h264.mxf", "mxf", "libx264", _NO_B),
    Container("h264_b.mxf", "mxf", "libx264", rate=_NTSC),
    Container("prores.mxf", "mxf", "prores_ks", pixels="yuv422p10le"),
    Container("moving.gif", "gif", "gif", pixels="rgb8"),
    Container("moving_ntsc.gif", "gif", "gif", pixels="rgb8", rate=_NTSC),
    Container("moving.apng", "apng", "apng", pixels="rgb24"),
    Container("mpeg4.nut", "nut", "mpeg4", _TWO_B),
    Container("wmv2.wmv", "asf", "wmv2", rate=_NTSC),
    Container("h264.asf", "asf", "libx264"),
    Container("raw.h264", "h264", "libx264"),
    Container("raw.hevc", "hevc", "libx265", rate=_NTSC),
    Container("raw.m1v", "mpeg1video", "mpeg1video"),
    Container("raw.m2v", "mpeg2video", "mpeg2video", _TWO_B, rate=_NTSC),
    Container("raw.m4v", "m4v", "mpeg4", _TWO_B),
    Container("raw.mjpeg", "mjpeg", "mjpeg", pixels="yuvj420p"),
    Container("vp9.ivf", "ivf", "libvpx-vp9"),
    Container("planes.y4m", "yuv4mpegpipe", "rawvideo", rate=_NTSC),
    Container("real.rm", "rm", "rv20"),
]
"""Read the same from a file and as bytes that arrive; an MP4 with its index last is reordered by its sender."""

ONLY_FILES = [Container("mpeg2.wtv", "wtv", "mpeg2video", _TWO_B)]
"""FFmpeg reads these only from files in which it can seek."""
