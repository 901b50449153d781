"""Decoding in a thread of its own, so that it runs while the network does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from acfd_stream.config import require
from acfd_stream.types import Frame
from acfd_stream.video.picture import picture_bytes

if TYPE_CHECKING:
    from acfd_stream.video.source import VideoSource

_JOIN_SECONDS = 1.0  # only a read that does not answer, of a URL or a file object, can keep the thread longer


def read_ahead(video: VideoSource, queue_bytes: int) -> Iterator[Frame]:
    """The frames of ``video``, decoded ahead by a thread while the caller works.

    At most ``queue_bytes`` of decoded frames wait, and always one. An exception of the decoder comes to the caller
    behind the frames before it. Leaving early (``close`` of this generator) closes ``video`` and ends the thread.
    """
    require(queue_bytes >= 1, "queue_bytes", queue_bytes, ">= 1")
    queue = _FrameQueue(queue_bytes)
    thread = threading.Thread(target=_decode_into, args=(video, queue), name="acfd-decode", daemon=True)
    thread.start()
    try:
        while (frame := queue.get()) is not None:
            yield frame
    finally:
        queue.stop()
        if thread.is_alive():
            video.close()
        thread.join(timeout=_JOIN_SECONDS)


def _decode_into(video: VideoSource, queue: _FrameQueue) -> None:
    try:
        for frame in video:
            if not queue.put(frame):
                return
        queue.finish(None)
    except BaseException as error:  # carried to the caller, whatever it is
        queue.finish(error)


class _FrameQueue:
    """Frames in order between two threads, bounded in bytes."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._waiting_bytes = 0
        self._is_finished = self._is_stopped = False
        self._error: BaseException | None = None

    def put(self, frame: Frame) -> bool:
        """Wait for room and append; False when the reader has gone."""
        size = picture_bytes(frame.picture)
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._has_room(size))
            if self._is_stopped:
                return False
            self._frames.append(frame)
            self._waiting_bytes += size
            self._changed.notify_all()
            return True

    def _has_room(self, size: int) -> bool:
        return not self._frames or self._waiting_bytes + size <= self._capacity_bytes

    def get(self) -> Frame | None:
        """The next frame, None after the last one; raises what ended the decoding."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._is_finished)
            if self._frames:
                frame = self._frames.popleft()
                self._waiting_bytes -= picture_bytes(frame.picture)
                self._changed.notify_all()
                return frame
            if self._error is not None:
                raise self._error
            return None

    def finish(self, error: BaseException | None) -> None:
        """Nothing more will be put, because of ``error`` if there is one."""
        with self._changed:
            self._is_finished, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing more will be got: frames that wait are dropped, and ``put`` waits no more."""
        with self._changed:
            self._is_stopped = True
            self._frames.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()
