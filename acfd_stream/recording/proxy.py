"""The proxy of a video: a small copy that every browser plays, for reports of videos that browsers do not play."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from acfd_stream.config import VideoConfig
from acfd_stream.recording.remote import is_remote, opened
from acfd_stream.types import FrameResult
from acfd_stream.video import open_video
from acfd_stream.video.frame import Frame
from acfd_stream.video.origin import local_path

PROXY_SIDE = 640
"""The longer side of a proxy, pixels; smaller videos keep their size."""
_PLAYED = {".mp4": ("h264",), ".m4v": ("h264",), ".mov": ("h264",), ".webm": ("vp8", "vp9")}
"""Suffix of a file → the codecs that every current browser plays in it, with 8 bits."""


def is_played(source: str, config: VideoConfig) -> bool:
    """Whether every current browser plays the video; the first frame is decoded to see that.

    Args:
        source: path or URL.
        config: as it was tracked with.

    Raises:
        MediaError: it cannot be read any more.
    """
    path = local_path(source)
    suffix = PurePosixPath(urlsplit(source).path if path is None else path).suffix.lower()
    if suffix not in _PLAYED or is_remote(source):
        return False
    with opened(source) as media, open_video(media, config) as video:
        first = next(iter(video), None)
        return first is None or (video.info.codec in _PLAYED[suffix] and first.picture.bit_depth == 8)


def write_proxy(source: str, frames: Iterable[tuple[Frame, FrameResult]], path: Path) -> None:
    """Write the proxy of a video as an MP4 with H.264 of at most ``PROXY_SIDE`` pixels; its time 0 is the first frame.

    Raises:
        OutputError: it cannot be written.
    """
    from acfd_stream.video.render import OverlayWriter

    sound = None if is_remote(source) else source
    with OverlayWriter(path, sound, is_drawn=False, longest_side=PROXY_SIDE) as proxy:
        for frame, result in frames:
            proxy.write(frame, result)
