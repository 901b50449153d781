"""Decodes in a thread of its own while the network runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

from acfd_stream.config import DropPolicy, require
from acfd_stream.picture_budget import PictureBudget
from acfd_stream.types import DropReason, Gap, MediaInfo, Picture
from acfd_stream.video.decode_position import DecodePosition, LossCounts
from acfd_stream.video.frame import Frame
from acfd_stream.video.picture import picture_bytes

_JOIN_SECONDS = 1.0  # only a read without an answer, from a URL or a file object, takes longer
_MOST_DROPPED = 4096  # dropped frames in the queue; beyond, the source waits under every policy


class FrameSource(Protocol):
    """Frames in order, read once on one thread, and afterwards the outcome."""

    @property
    def info(self) -> MediaInfo:
        """The properties known before the first frame is read."""

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user; final after the iteration."""

    @property
    def error(self) -> str | None:
        """The reason why the source broke; final after the iteration."""

    @property
    def is_complete(self) -> bool:
        """Whether it was read to its end without a break or a gap."""

    @property
    def gaps(self) -> list[Gap]:
        """Holes in it, in order of time; final after the iteration."""

    @property
    def last_seconds(self) -> Fraction | None:
        """How long the last frame is on screen; None: one frame at the rate; final after the iteration."""

    @property
    def loss_counts(self) -> LossCounts:
        """Losses and discontinuities up to the last frame of the iteration."""

    @property
    def is_at_position(self) -> bool:
        """Whether the position to resume from was found, if there is one."""

    def resume_after(self, position: DecodePosition | None, next_index: int) -> None:
        """Leave out the frames up to ``position``; before the iteration.

        A feed, which gets only new pictures, begins with ``next_index``.
        """

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Stop reading; from any thread, and more than once."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame between decoder and network."""

    frame: Frame  # without pixels where it was dropped
    decoded_at: float  # perf_counter()
    loss_counts: LossCounts
    drop_reason: DropReason | None = None


def read_ahead(video: FrameSource, queue_bytes: int) -> Iterator[Frame]:
    """The frames of ``video``, decoded ahead by a thread while the caller works.

    At most ``queue_bytes`` of decoded frames wait, and always one. An exception of the decoder comes to the caller
    after the frames before it. Leaving early (``close`` of this generator) closes ``video`` and ends the thread.
    """
    ahead = ReadAhead(video, queue_bytes)
    ahead.start()
    try:
        while (decoded := ahead.get()) is not None:
            yield decoded.frame
    finally:
        ahead.close()


class ReadAhead:
    """A thread that decodes into a bounded queue, which one other thread reads. Any thread may close it.

    Args:
        video: read on the thread, and closed by ``close`` if it was not read to its end.
        queue_bytes: most bytes of decoded frames that wait; one may always wait.
        policy: what to do with a frame if the queue is full.
        queue_frames: most decoded frames that wait; None: as many as the bytes allow.
        stale_seconds: a frame whose bytes came longer ago is dropped when taken, if a newer one waits behind it.
        budget: memory that it shares with others; where it is used up, only one frame waits. None: not shared.
    """

    def __init__(
        self,
        video: FrameSource,
        queue_bytes: int,
        policy: DropPolicy = DropPolicy.WAIT,
        queue_frames: int | None = None,
        stale_seconds: float | None = None,
        budget: PictureBudget | None = None,
    ) -> None:
        require(queue_bytes >= 1, "queue_bytes", queue_bytes, ">= 1")
        self._video, self._queue_bytes, self._policy = video, queue_bytes, policy
        self._queue_frames, self._stale_seconds, self._budget = queue_frames, stale_seconds, budget
        self.drop_reason = DropReason.QUEUE_FULL  # of a frame that finds the queue full
        self._changed = threading.Condition()
        self._waiting: deque[Decoded] = deque()
        self._waiting_bytes = self._waiting_frames = 0  # of those with pixels
        self.frames_read = 0
        """Frames that the source gave so far, dropped ones included."""
        self._is_finished = self._is_stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._decode, name="acfd-decode", daemon=True)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of decoded frames that wait."""
        return self._waiting_bytes

    def start(self) -> None:
        """Start decoding, unless ``stop`` was called before."""
        with self._changed:
            if not self._is_stopped:
                self._thread.start()

    def get(self) -> Decoded | None:
        """The next frame; None after the last one, and after ``stop``; raises the exception that ended the decoding."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_finished or self._is_stopped)
            if self._is_stopped:
                return None
            if self._waiting:
                return self._taken(self._waiting.popleft())
            if self._error is not None:
                raise self._error
            return None

    def stop(self) -> None:
        """Drop the waiting frames and wake both threads."""
        with self._changed:
            self._is_stopped = True
            self._waiting.clear()
            self._count(-self._waiting_bytes, -self._waiting_frames)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and end the thread; a second call does nothing."""
        self.stop()
        if self._thread.is_alive():
            self._video.close()
            if self._thread is not threading.current_thread():
                self._thread.join(timeout=_JOIN_SECONDS)

    def _decode(self) -> None:
        error = None
        try:
            for frame in self._video:
                self.frames_read += 1
                if not self._put(Decoded(frame, time.perf_counter(), self._video.loss_counts)):
                    return
        except BaseException as raised:  # raised again in ``get``
            error = raised
        with self._changed:
            self._is_finished, self._error = True, error
            self._changed.notify_all()

    def _put(self, decoded: Decoded) -> bool:
        """Append by the policy; False after ``stop``."""
        size = picture_bytes(decoded.frame.picture)
        with self._changed:
            if self._policy is DropPolicy.WAIT:
                self._changed.wait_for(lambda: self._is_stopped or self._has_room(size))
            elif not self._has_room(size):
                if self._policy is DropPolicy.DROP_OLDEST:
                    self._drop_oldest(size)
                else:
                    decoded, size = _without_pixels(decoded, self.drop_reason), 0
                self._changed.wait_for(lambda: self._is_stopped or len(self._waiting) < _MOST_DROPPED)
            if self._is_stopped:
                return False
            self._waiting.append(decoded)
            self._count(size, size > 0)
            self._changed.notify_all()
            return True

    def _has_room(self, size: int) -> bool:
        if self._waiting_frames == 0 or size == 0:
            return True
        is_full = self._queue_frames is not None and self._waiting_frames >= self._queue_frames
        is_shared_full = self._budget is not None and not self._budget.has_room(size)
        return not (is_full or is_shared_full) and self._waiting_bytes + size <= self._queue_bytes

    def _drop_oldest(self, size: int) -> None:
        """Drop the oldest frames until there is room; they stay in the queue without pixels."""
        for index, decoded in enumerate(self._waiting):
            if self._has_room(size):
                return
            if decoded.drop_reason is None:
                self._forget(decoded)
                self._waiting[index] = _without_pixels(decoded, self.drop_reason)

    def _taken(self, decoded: Decoded) -> Decoded:
        self._forget(decoded)
        self._changed.notify_all()
        arrived_at = decoded.frame.arrived_at
        if self._stale_seconds is None or arrived_at is None or not self._waiting_frames or decoded.drop_reason:
            return decoded
        is_stale = time.perf_counter() - arrived_at > self._stale_seconds
        return _without_pixels(decoded, DropReason.STALE) if is_stale else decoded

    def _forget(self, decoded: Decoded) -> None:
        size = picture_bytes(decoded.frame.picture)
        self._count(-size, -(size > 0))

    def _count(self, change_bytes: int, change_frames: int) -> None:
        self._waiting_bytes += change_bytes
        self._waiting_frames += change_frames
        if self._budget is not None:
            self._budget.add(change_bytes)


def _without_pixels(decoded: Decoded, reason: DropReason) -> Decoded:
    picture = decoded.frame.picture
    nothing = Picture((), picture.pixel_format, picture.display_size)
    return replace(decoded, frame=replace(decoded.frame, picture=nothing), drop_reason=reason)
