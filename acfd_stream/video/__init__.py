"""Media in, frames out: ``open_video`` reads anything FFmpeg knows, ``read_ahead`` decodes while the network runs."""

from __future__ import annotations

from acfd_stream.video.bytestream import ByteStream
from acfd_stream.video.feed import FrameFeed
from acfd_stream.video.source import Source, VideoSource, open_video, read_ahead

__all__ = ["ByteStream", "FrameFeed", "Source", "VideoSource", "open_video", "read_ahead"]
