"""Media in, frames out: ``open_video`` reads anything FFmpeg knows, ``read_ahead`` decodes while the network runs.

Names are loaded on first use, so that a single picture is decoded without the reader of videos.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acfd_stream.video.bytestream import ByteStream
    from acfd_stream.video.feed import FrameFeed
    from acfd_stream.video.source import Source, VideoSource, open_video, read_ahead

__all__ = ["ByteStream", "FrameFeed", "Source", "VideoSource", "open_video", "read_ahead"]

_MODULES = {"ByteStream": "bytestream", "FrameFeed": "feed"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'source')}"), name)
