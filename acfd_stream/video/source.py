"""From a file, a URL or bytes to Frames: the first stage of the flow."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from fractions import Fraction
from types import TracebackType
from typing import BinaryIO, TypeAlias

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.types import Frame, MediaInfo
from acfd_stream.video.bytestream import ByteStream
from acfd_stream.video.clock import fill_pts
from acfd_stream.video.decoder import Decoder
from acfd_stream.video.interruptible import interruptible
from acfd_stream.video.jumps import JumpWatch
from acfd_stream.video.origin import BytesReader, bytes_reader, is_url, path_target, source_name
from acfd_stream.video.picture import to_picture
from acfd_stream.video.readahead import read_ahead

__all__ = ["Source", "VideoSource", "open_video", "read_ahead"]

Source: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO | ByteStream"

_FALLBACK_RATE = Fraction(25)  # frames a second where neither container nor codec say
_BUSY_SECONDS = 2.0  # how long close() waits for a thread that is inside a read that does not answer


def open_video(source: Source, config: VideoConfig | None = None) -> VideoSource:
    """A video of which the first frame of the asked range has been decoded.

    Args:
        source: a path, a URL (``http://…``, ``file:…``), a binary file object, or a ByteStream. A file object stays
            open and the caller's; of a ByteStream this waits for as many bytes as the first frame takes.
        config: range, threads and caps.

    Raises:
        MediaError: nothing can be decoded: no such file, no video in it, no frame in the asked range.
    """
    config = config or VideoConfig()
    target: str | BytesReader
    if isinstance(source, str | bytes | os.PathLike):
        path = os.fsdecode(source)
        if is_url(path):
            return interruptible(lambda: VideoSource(Decoder(path, source_name(path), config), path, config))
        target = path_target(path)
    else:
        target = bytes_reader(source)
    try:
        return VideoSource(Decoder(target, source_name(source), config), target, config)
    except BaseException:
        if isinstance(target, BytesReader):
            target.leave()
        raise


class VideoSource:
    """The frames of one video in display order, to be read once; a context manager.

    After the iteration ``warnings``, ``error`` and ``is_complete`` say how it went. ``error`` is a break: a packet
    that the decoder refuses, or a read that fails. The frames before it have been given out, nothing behind it is.
    Damage that the decoder conceals is a warning. When the size changes in mid-stream each frame has its own
    ``display_size``, results of it are in those pixels, and a warning says so; ``info`` speaks of the first frame.
    """

    def __init__(self, decoder: Decoder, target: str | BytesReader, config: VideoConfig) -> None:
        self.warnings: list[str] = []
        self.error: str | None = None
        self._decoder = decoder
        self._reader = target if isinstance(target, BytesReader) else None
        self._config = config
        self._turn = threading.Lock()
        self._is_cancelled = self._is_drained = False
        self._before: float | None = None  # times of the frames next to the asked range, seconds
        self._behind: float | None = None
        self._frames = self._read()
        try:
            self._next: Frame | None = next(self._frames, None)
            if self._next is None:
                raise MediaError(self._why_nothing())
            self.info = self._media_info(self._next)
        except BaseException:
            self._release()
            raise

    @property
    def is_complete(self) -> bool:
        """Whether the video was read to its end, or to ``end_seconds``, without a break."""
        return self._is_drained and self.error is None

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        with self._turn:
            try:
                frame = self._next if self._next is not None else next(self._frames, None)
            except BaseException:
                self._release()
                raise
            self._next = None
            if frame is None or self._is_cancelled:
                self._release()
                raise StopIteration
            return frame

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and give the container back; may be called twice, and from another thread."""
        patience = 0.0 if self._is_cancelled else _BUSY_SECONDS
        self._is_cancelled = True
        if self._reader is not None:
            self._reader.leave()
        # A thread inside a read that never answers keeps its turn, and gives the container back when it returns.
        if self._turn.acquire(timeout=patience):
            try:
                self._release()
            finally:
                self._turn.release()

    def _release(self) -> None:
        self._next = None
        self._frames.close()
        self._decoder.close()
        if self._reader is not None:
            self._reader.leave()

    def _read(self) -> Generator[Frame, None, None]:
        """Frames of the asked range; notes how the reading ended."""
        start, end, time_base = self._config.start_seconds, self._config.end_seconds, self._decoder.time_base
        step = 1 / ((self._decoder.frame_rate or _FALLBACK_RATE) * time_base)
        decoded = ((frame, frame.pts) for frame in self._decoder.frames(start))
        index, is_whole, jumps = 0, start is None, JumpWatch()
        for frame, pts, is_filled in fill_pts(decoded, step, self._decoder.start_pts or 0):
            seconds = float(pts * time_base)
            if end is not None and seconds >= end:
                is_whole, self._behind = False, seconds
                break
            if start is not None and seconds < start:
                self._before = seconds
                continue
            picture = to_picture(frame, self._decoder.pixel_aspect, self._decoder.reformatter)
            height, width = picture.display_size
            if max(height * width, frame.height * frame.width) > self._config.frame_pixels:
                self._decoder.break_off(f"a picture of {width}×{height} pixels is above the limit, frame_pixels")
                break
            jumps.note(seconds, picture.display_size)
            yield Frame(index, pts, time_base, picture, is_filled)
            index += 1
        self._is_drained = not self._is_cancelled
        self.error = self._decoder.error
        self.warnings += self._decoder.losses.warnings(is_whole and self.error is None) + jumps.warnings()

    def _why_nothing(self) -> str:
        name, losses = self._decoder.name, self._decoder.losses
        if self.error is not None:
            is_rewindable = self._reader is None or self._reader.is_seekable
            hint = "" if is_rewindable else "; in a stream of bytes the index of an MP4 must stand in front (faststart)"
            return f"{name}: {self.error}{hint}"
        if self._before is not None or self._behind is not None:
            begin = "the beginning" if self._config.start_seconds is None else f"{self._config.start_seconds} s"
            end = "the end" if self._config.end_seconds is None else f"{self._config.end_seconds} s"
            before = [] if self._before is None else [f"the last one before is at {self._before:.3f} s"]
            behind = [] if self._behind is None else [f"the next one is at {self._behind:.3f} s"]
            return f"{name}: has no frame between {begin} and {end}; {' and '.join(before + behind)}"
        codec = self._decoder.codec
        if losses.packets:
            return f"{name}: none of the {losses.packets} packets of its {codec} video can be decoded; it is damaged"
        return f"{name}: its {codec} video stream holds no frame; record or convert it again"

    def _media_info(self, first: Frame) -> MediaInfo:
        return MediaInfo(
            source=self._decoder.name,
            display_size=first.picture.display_size,
            time_base=self._decoder.time_base,
            frame_rate=self._decoder.frame_rate,
            frame_count=self._decoder.frame_count,
            duration_seconds=self._decoder.duration_seconds,
            codec=self._decoder.codec,
        )
