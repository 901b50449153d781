"""Reads Frames from a file, a URL or bytes: the first stage of the pipeline."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError, ResumeError
from acfd_stream.types import Closeable, Gap, MediaInfo, Picture, Seam
from acfd_stream.video.bytestream import ByteStream
from acfd_stream.video.clock import FrameTime, frame_times, inferred_times
from acfd_stream.video.container import FALLBACK_RATE, unwatched
from acfd_stream.video.decode_position import DecodePosition, LossCounts, loss_counts_of
from acfd_stream.video.decoder import Decoder
from acfd_stream.video.device_planes import DevicePlanes, device_planes
from acfd_stream.video.discontinuities import Discontinuities, DiscontinuityWatch
from acfd_stream.video.frame import Frame
from acfd_stream.video.interruptible import interruptible
from acfd_stream.video.losses import gap_warnings
from acfd_stream.video.nvdec import choose_decoder
from acfd_stream.video.origin import BytesReader, bytes_reader, is_url, path_target, source_name
from acfd_stream.video.packet_decoders import is_damaged
from acfd_stream.video.picture import to_picture
from acfd_stream.video.readahead import FrameSource, read_ahead
from acfd_stream.video.web import with_lower_scheme

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["OpenVideo", "Source", "VideoSource", "open_video", "read_ahead"]

Source: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO | ByteStream"
OpenVideo: TypeAlias = "Callable[[Source, VideoConfig, str], FrameSource]"
"""What opens a source for a device, as ``open_video`` does."""

_Timed: TypeAlias = "Iterator[tuple[VideoFrame, FrameTime]]"
_HINT = "; in a stream of bytes the index of an MP4 must stand in front (faststart)"
_BUSY_SECONDS = 2.0  # how long close() waits for a thread in a read without an answer


def open_video(
    source: Source,
    config: VideoConfig | None = None,
    device: str = "cpu",
    on_packet: Callable[[], None] = unwatched,
) -> VideoSource:
    """A video; the first frame of the requested range is decoded.

    Args:
        source: a path, a URL (``http://…``, ``file:…``), a binary file object, or a ByteStream. A file object stays
            open and the caller's; of a ByteStream this waits for as many bytes as the first frame takes.
        config: range, threads and caps, and what decodes.
        device: the device for the planes of its pictures: "cpu", or "cuda" for a network on a GPU.
        on_packet: called when a packet of the video comes, and when the next one is wanted.

    Raises:
        MediaError: nothing can be decoded: no such file, no video in it, no frame in the requested range.
        BackendUnavailable: the decoder was requested by name and cannot be used, or ``device`` cannot hold planes.
    """
    config = config or VideoConfig()
    choice = choose_decoder(config.decoder, device)
    planes = device_planes() if device == "cuda" else None

    def opened(target: str | BytesReader) -> VideoSource:
        decoder = Decoder(target, source_name(source), config, choice.hardware(), on_packet)
        return VideoSource(decoder, target, config, planes)

    target: str | BytesReader
    if isinstance(source, str | bytes | os.PathLike):
        path = os.fsdecode(source)
        if is_url(path):
            url = with_lower_scheme(path)
            return interruptible(lambda: opened(url))
        target = path_target(path)
    else:
        target = bytes_reader(source)
    try:
        return opened(target)
    except BaseException:
        if isinstance(target, BytesReader):
            target.leave()
        raise


class VideoSource(Closeable):
    """The frames of one video in display order, to be read once; a context manager.

    After the iteration ``warnings``, ``gaps``, ``error`` and ``is_complete`` say how it went. ``error`` is a break: a
    read that fails. The frames before it have been given out, nothing behind it is. A packet that the decoder refuses
    is a gap, and decoding goes on behind it. Damage that the decoder conceals is a warning, and its frames are marked.
    When the size changes in mid-stream each frame has its own ``display_size``, results of it are in those pixels, and
    a warning says so; ``info`` speaks of the first frame.
    """

    def __init__(
        self, decoder: Decoder, target: str | BytesReader, config: VideoConfig, planes: DevicePlanes | None = None
    ) -> None:
        self.warnings: list[str] = []
        self.error: str | None = None
        self.gaps: list[Gap] = []
        self.last_seconds: Fraction | None = None  # how long the last frame is on screen; None: one frame at the rate
        self._decoder = decoder
        self._reader = target if isinstance(target, BytesReader) else None
        self._config, self._planes = config, planes
        self._turn = threading.Lock()
        self._is_cancelled = self._is_drained = False
        self._before: float | None = None  # times of the frames next to the requested range, seconds
        self._behind: float | None = None
        self._position: DecodePosition | None = None
        self.is_at_position = True
        self._seams = Discontinuities()
        self._discontinuities = DiscontinuityWatch()
        self._frames = self._read(self._timed(decoder.frames(config.start_seconds)), 0)
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
        """Whether the video was read to its end, or to ``end_seconds``, without a break or a gap."""
        return self._is_drained and self.error is None and not self.gaps

    @property
    def loss_counts(self) -> LossCounts:
        """Losses and discontinuities up to the last frame of the iteration, for a ``DecodePosition``."""
        is_plain = not self.info.times and not self._seams.count
        return loss_counts_of(self._decoder.losses, self._discontinuities, is_plain=is_plain)

    def resume_after(self, position: DecodePosition | None, next_index: int) -> None:
        """Leave out the frames up to ``position``, which was taken from an earlier reading; before the iteration.

        A source that can seek is decoded from a keyframe before it, any other from its beginning; the frames behind
        it are the same, with the same indices. The iteration raises ResumeError when ``position`` is not found. If the
        source breaks before it, the iteration ends and ``is_at_position`` stays False.
        """
        self._position, self.is_at_position = position, position is None

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        with self._turn:
            try:
                if self._position is not None:
                    self._find(self._position)
                frame = self._next if self._next is not None else next(self._frames, None)
            except BaseException:
                self._release()
                raise
            self._next = None
            if frame is None or self._is_cancelled:
                self._release()
                raise StopIteration
            return frame

    def close(self) -> None:
        """Stop reading and close the container; may be called twice, and from another thread."""
        patience = 0.0 if self._is_cancelled else _BUSY_SECONDS
        self._is_cancelled = True
        if self._reader is not None:
            self._reader.leave()
        # A thread in a read without an answer keeps the lock, and closes the container when the read returns.
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

    def _timed(self, frames: Iterator[VideoFrame]) -> _Timed:
        decoder, first = self._decoder, next(frames, None)
        if first is None:
            return
        step = 1 / ((decoder.frame_rate or FALLBACK_RATE) * decoder.time_base)
        origin = decoder.start_pts or 0
        items = ((frame, frame.pts, frame.dts) for frame in chain([first], frames))
        if decoder.is_inferred:
            yield from inferred_times(items, step, origin)
        elif decoder.counts_pictures:
            yield from ((frame, time._replace(is_filled=False)) for frame, time in frame_times(items, step, origin))
        else:
            yield from frame_times(items, step, origin)

    def _picture(self, frame: VideoFrame) -> Picture:
        decoder, orientation = self._decoder, self._decoder.orientations.current
        picture = to_picture(frame, decoder.pixel_aspect, decoder.reformatter, self._planes, orientation.rotation)
        return orientation.upright(picture)

    def _read(self, timed: _Timed, index: int) -> Generator[Frame, None, None]:
        """Frames of the requested range, counted from ``index``; records how the reading ended."""
        config, time_base = self._config, self._decoder.time_base
        is_whole = config.start_seconds is None
        for frame, (pts, is_filled, went_back) in timed:
            self._decoder.orientations.push(frame)
            begin = time.perf_counter()
            seconds = float(pts * time_base)
            if went_back is not None:
                self._discontinuities.note_replaced(seconds, float(went_back * time_base))
            if config.end_seconds is not None and seconds >= config.end_seconds:
                is_whole, self._behind = False, seconds
                break
            if config.start_seconds is not None and seconds < config.start_seconds:
                self._before = seconds
                self._decoder.take_seams()
                continue
            picture = self._picture(frame)
            height, width = picture.display_size
            if max(height * width, frame.height * frame.width) > config.frame_pixels:
                self._decoder.break_off(f"a picture of {width}×{height} pixels is above the limit, frame_pixels")
                break
            seams = self._decoder.take_seams() + self._discontinuities.note(seconds, picture.display_size)
            if seams and seams != (Seam.SIZE,):
                self._seams = self._seams.and_one(f"at {seconds:.3f} s")
            arrived, waited = self._decoder.arrived_at, self._decoder.taken_at - self._decoder.arrived_at
            work = self._decoder.take_work() + time.perf_counter() - begin
            yield Frame(index, pts, time_base, picture, is_filled, arrived, waited, work, "", is_damaged(frame), seams)
            index += 1
        self._note_outcome(is_whole)

    def _note_outcome(self, is_whole: bool) -> None:
        """Record how the reading ended.

        Args:
            is_whole: the requested range is all of the video.
        """
        self._is_drained = not self._is_cancelled
        self.error = self._decoder.error
        if self._behind is None:
            self.last_seconds = self._decoder.last_seconds
        if is_whole and self.error is None:
            self._decoder.note_end(self._frame_seconds)
        self.gaps = self._found_gaps()
        self.warnings += self._decoder.losses.warnings()
        self.warnings += gap_warnings(self.gaps)
        if self._seams.count:
            self.warnings.append(f"another recording, stream or clock begins {self._seams}; times are continued")
        self.warnings += self._discontinuities.warnings() + self._decoder.orientations.warnings()

    def _found_gaps(self) -> list[Gap]:
        """The gaps of the requested range."""
        config, decoder = self._config, self._decoder
        begin = -math.inf if config.start_seconds is None else config.start_seconds
        end = math.inf if config.end_seconds is None else config.end_seconds
        found = decoder.losses.gaps(decoder.time_base, self._frame_seconds)
        return [gap for gap in found if begin <= gap.time < end]

    @property
    def _frame_seconds(self) -> float:
        return float(1 / (self._decoder.frame_rate or FALLBACK_RATE))

    def _find(self, position: DecodePosition) -> None:
        """Go to the frame after ``position``."""
        self._position = None
        first = self._next
        if position.is_unique and position.index > 0 and first is not None and not first.is_pts_filled:
            sought = self._decoder.frames_again(float(position.pts * self._decoder.time_base), first.pts)
            if sought is not None:
                self._next = None
                self._frames.close()
                timed = self._timed(sought)
                self.is_at_position = self._passed(timed, position)
                if self.is_at_position:
                    self._frames = self._read(timed, position.index + 1)
                    return
                self._discontinuities = DiscontinuityWatch()
                self._frames = self._read(self._timed(self._decoder.all_again()), 0)
        self._count_up_to(position)

    def _passed(self, timed: _Timed, position: DecodePosition) -> bool:
        """Whether ``timed`` was read up to ``position``; if so, the counts are set to those of the position."""
        for frame, (pts, is_filled, _) in timed:
            self._decoder.orientations.push(frame)
            self._decoder.take_seams()
            if pts < position.pts and not self._is_cancelled:
                continue
            picture = self._picture(frame)
            if pts != position.pts or is_filled or not position.is_picture(picture):
                return False
            losses, seconds = self._decoder.losses, float(pts * self._decoder.time_base)
            refused, damaged, unshown, resizings, reversals, _, _, pace = position.loss_counts
            losses.resume(position.index + 1, pts, refused=refused, damaged=damaged, unshown=unshown, pace=pace)
            self._discontinuities.resume(seconds, picture.display_size, resizings, reversals)
            return True
        return False

    def _count_up_to(self, position: DecodePosition) -> None:
        frames = self._frames if self._next is None else chain([self._next], self._frames)
        self._next = None
        for frame in frames:
            if self._is_cancelled:
                return
            if frame.index == position.index:
                if (frame.pts, frame.is_pts_filled) != (position.pts, position.is_pts_filled):
                    raise ResumeError(
                        f"{self._decoder.name}: frame {position.index} has pts {frame.pts}, and had {position.pts} "
                        "when the checkpoint was taken; give the same video"
                    )
                if not position.is_picture(frame.picture):
                    raise ResumeError(
                        f"{self._decoder.name}: frame {position.index} is not the picture of the checkpoint; "
                        "give the same video"
                    )
                self.is_at_position = True
                return
        if self.error is None and not self._is_cancelled:
            raise ResumeError(
                f"{self._decoder.name}: ends before frame {position.index}, where the checkpoint was taken; "
                "give the same video from its beginning"
            )

    def _why_nothing(self) -> str:
        name, losses = self._decoder.name, self._decoder.losses
        if self.error is not None:
            is_read_once = self._reader is not None and not self._reader.is_seekable
            hint = _HINT if is_read_once and "mp4" in self._decoder.container else ""
            return self._decoder.why_nothing(f"{name}: {self.error}{hint}")
        if self._before is not None or self._behind is not None:
            begin = "the beginning" if self._config.start_seconds is None else f"{self._config.start_seconds} s"
            end = "the end" if self._config.end_seconds is None else f"{self._config.end_seconds} s"
            before = [] if self._before is None else [f"the last one before is at {self._before:.3f} s"]
            behind = [] if self._behind is None else [f"the next one is at {self._behind:.3f} s"]
            return f"{name}: has no frame between {begin} and {end}; {' and '.join(before + behind)}"
        codec = self._decoder.codec
        error = f"{name}: its {codec} video stream holds no frame; record or convert it again"
        if losses.packets:
            error = f"{name}: none of the {losses.packets} packets of its {codec} video can be decoded; it is damaged"
        return self._decoder.why_nothing(error)

    def _media_info(self, first: Frame) -> MediaInfo:
        return MediaInfo(
            source=self._decoder.name,
            display_size=first.picture.display_size,
            time_base=self._decoder.time_base,
            frame_rate=self._decoder.frame_rate,
            frame_count=self._decoder.frame_count,
            duration_seconds=self._decoder.duration_seconds,
            codec=self._decoder.codec,
            times="inferred" if self._decoder.is_inferred else "",
        )
