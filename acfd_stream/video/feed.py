"""A video made of single pictures that the caller pushes one by one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from numbers import Rational

import numpy as np
from numpy.typing import NDArray

from acfd_stream.checked import require, require_whole
from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.picture_budget import PictureBudget
from acfd_stream.rgb import ALLOWED, PilImage, rgb_of
from acfd_stream.types import Gap, MediaInfo, Picture, PixelFormat, Seam
from acfd_stream.video.decode_position import DecodePosition, LossCounts, loss_counts_of
from acfd_stream.video.discontinuities import DiscontinuityWatch
from acfd_stream.video.frame import Frame
from acfd_stream.video.losses import LossWatch
from acfd_stream.video.still import decode_still, decoding_bytes

_MOST_FAILED = 100  # undecodable pictures at the beginning before the feed fails


@dataclass(frozen=True, slots=True)
class _Pushed:
    picture: bytes | NDArray[np.uint8]
    pts: int
    pushed_at: float  # perf_counter()

    @property
    def size(self) -> int:
        return len(self.picture) if isinstance(self.picture, bytes) else self.picture.nbytes


class FrameFeed:
    """A pipe in memory between a producer of pictures and one session that reads them as a video.

    Holds at most ``capacity_bytes``, and always one picture; ``push`` waits while it is full. Every method may be
    called from any thread.

    Args:
        time_base: seconds of one unit of pts, > 0.
        capacity_bytes: most bytes of pictures that wait, as they were pushed.
        frame_rate: frames a second, where known.
        budget: memory for decoding a picture; None: not counted.
    """

    def __init__(
        self,
        time_base: Fraction,
        capacity_bytes: int = 32 * 2**20,
        frame_rate: Fraction | None = None,
        budget: PictureBudget | None = None,
    ) -> None:
        require(isinstance(time_base, Rational) and time_base > 0, "time_base", time_base, "a fraction > 0")
        require(capacity_bytes >= 1, "capacity_bytes", capacity_bytes, ">= 1")
        self.time_base, self.capacity_bytes, self.frame_rate = time_base, capacity_bytes, frame_rate
        self.budget = budget
        self._changed = threading.Condition()
        self._pictures: deque[_Pushed] = deque()
        self._waiting_bytes = 0
        self._is_closed = self._is_reader_gone = False
        self._abort_reason: str | None = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes pushed and not yet read."""
        with self._changed:
            return self._waiting_bytes

    def push(self, picture: bytes | NDArray[np.uint8] | PilImage, pts: int) -> bool:
        """Append a picture; waits while there is no room.

        Args:
            picture: a PNG, JPEG or WebP, uint8 [H, W, 3] RGB, which is copied, or a PIL image. One that cannot be
                decoded fails alone, in its own result.
            pts: when it is shown, in units of the time base.

        Returns:
            True if it was accepted; False if it will not be read: the session was closed, or ``abort`` called.

        Raises:
            MediaError: ``close`` was called before.
            ShapeError: an array is not of that kind.
            ConfigError: ``pts`` is no whole number of 64 bits.
        """
        require_whole(pts, "pts")
        pushed = _Pushed(_kept(picture), pts, time.perf_counter())
        with self._changed:
            self._changed.wait_for(lambda: self._may_push(pushed.size))
            if self._is_reader_gone or self._abort_reason is not None:
                return False
            if self._is_closed:
                raise MediaError("a picture was pushed after the end of its feed; open a new FrameFeed")
            self._pictures.append(pushed)
            self._waiting_bytes += pushed.size
            self._changed.notify_all()
        return True

    def _may_push(self, size: int) -> bool:
        is_over = self._is_closed or self._is_reader_gone or self._abort_reason is not None
        return is_over or not self._pictures or self._waiting_bytes + size <= self.capacity_bytes

    def close(self) -> None:
        """End the feed: the reader gets the remaining pictures, then the end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self, reason: str = "the feed of pictures was broken off") -> None:
        """Stop both sides at once: drops waiting pictures, and the reader gets ``reason`` as a MediaError."""
        with self._changed:
            self._abort_reason = self._abort_reason or reason
            self._clear()

    def leave(self) -> None:
        """Tell that the reader has left: ``push`` returns False, also where it waits."""
        with self._changed:
            self._is_reader_gone = True
            self._clear()

    def _clear(self) -> None:
        self._pictures.clear()
        self._waiting_bytes = 0
        self._changed.notify_all()

    def take(self) -> _Pushed | None:
        """The next picture, waiting for it; None at the end.

        Raises:
            MediaError: ``abort`` was called.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._pictures or self._is_closed or self._is_reader_gone or self._abort_reason
            )
            if self._abort_reason is not None:
                raise MediaError(self._abort_reason)
            if not self._pictures:
                return None
            pushed = self._pictures.popleft()
            self._waiting_bytes -= pushed.size
            self._changed.notify_all()
            return pushed


class FedVideo:
    """The pictures of a feed as frames, to be read once. Opening it waits for the first picture that can be decoded.

    Raises:
        MediaError: the feed ended, or was aborted, before that.
        OverloadedError: the feed's budget has no room for a picture; also of the iteration.
    """

    is_at_position = True

    def __init__(self, feed: FrameFeed, config: VideoConfig) -> None:
        self.warnings: list[str] = []
        self.error: str | None = None
        self.last_seconds: Fraction | None = None
        self.gaps: list[Gap] = []  # a picture that cannot be decoded has a result of its own
        self._feed, self._config = feed, config
        self._discontinuities, self._losses = DiscontinuityWatch(), LossWatch()
        self._first_index = 0
        self._is_drained = self._is_cancelled = False
        self._size = (0, 0)
        self._frames = self._read()
        self._begun: list[Frame] = []
        try:
            while not self._begun or self._begun[-1].failure:
                frame = next(self._frames, None)
                if frame is None:
                    raise MediaError(self.error or self._why_nothing())
                self._begun.append(frame)
                if len(self._begun) == _MOST_FAILED and frame.failure:
                    raise MediaError(self._why_nothing())
        except BaseException:
            feed.leave()
            raise
        self.info = MediaInfo("<pictures>", self._size, feed.time_base, feed.frame_rate, None, None, "pictures")

    @property
    def is_complete(self) -> bool:
        """Whether the feed was read to its end, and not aborted."""
        return self._is_drained and self.error is None

    @property
    def loss_counts(self) -> LossCounts:
        """Losses and discontinuities so far, for a ``DecodePosition``."""
        return loss_counts_of(self._losses, self._discontinuities)

    def resume_after(self, position: DecodePosition | None, next_index: int) -> None:
        """The first picture of the feed is frame ``next_index``."""
        self._first_index = next_index
        if position is not None:
            seconds, counts = float(position.pts * self._feed.time_base), position.loss_counts
            self._discontinuities.resume(seconds, self._size, counts.resizings, counts.reversals)

    def __iter__(self) -> Iterator[Frame]:
        begun, self._begun = self._begun, []
        for index, frame in enumerate(chain(begun, self._frames), self._first_index):
            if self._is_cancelled:
                return
            seams: tuple[Seam, ...] = ()
            if not frame.failure:
                seams = self._discontinuities.note(frame.pts_seconds, frame.picture.display_size)
            yield replace(frame, index=index, seams=seams)
        self.warnings += self._discontinuities.warnings()

    def close(self) -> None:
        """Stop reading; from any thread, and more than once."""
        self._is_cancelled = True
        self._feed.leave()

    def _read(self) -> Generator[Frame, None, None]:
        """Frames with index 0; the iteration sets their indices."""
        seconds = 0.0
        try:
            while (pushed := self._feed.take()) is not None:
                yield self._decoded(pushed)
                seconds = float(pushed.pts * self._feed.time_base)
            self._is_drained = not self._is_cancelled
        except MediaError as error:
            self.error = f"breaks off after {seconds:.3f} s: {error}"

    def _decoded(self, pushed: _Pushed) -> Frame:
        begin = time.perf_counter()
        waited, failure = begin - pushed.pushed_at, ""
        picture = Picture((), PixelFormat.RGB24, self._size)
        try:
            picture = Picture.from_rgb(self._pixels(pushed.picture))
            self._size = picture.display_size
        except MediaError as error:
            failure = str(error)
        work = time.perf_counter() - begin
        return Frame(0, pushed.pts, self._feed.time_base, picture, False, pushed.pushed_at, waited, work, failure)

    def _pixels(self, picture: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        limit = self._config.frame_pixels
        if isinstance(picture, bytes):
            count, budget = decoding_bytes(picture, limit), self._feed.budget
            with nullcontext() if budget is None else budget.reserve(count):
                return decode_still(picture, limit)
        if picture.shape[0] * picture.shape[1] > limit:
            raise MediaError(f"its {picture.shape[1]}×{picture.shape[0]} pixels are above the limit of {limit}")
        return picture

    def _why_nothing(self) -> str:
        if self._begun:
            return f"none of {len(self._begun)} pictures can be decoded; the first {self._begun[0].failure}"
        return "the feed of pictures ended before the first one"


def _kept(picture: bytes | NDArray[np.uint8] | PilImage) -> bytes | NDArray[np.uint8]:
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    return np.array(rgb_of(picture, "picture", f"the bytes of a picture, {ALLOWED}"), order="C")
