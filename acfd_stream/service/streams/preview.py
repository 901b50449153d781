"""The last frame of a stream as a JPEG, kept only while the page requests it, and drawn by that request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from acfd_stream.types import FrameResult
from acfd_stream.video.frame import Frame
from acfd_stream.video.snapshot import drawn_jpeg

VIEW_SECONDS = 10.0
"""Time that a request keeps the preview on; the page sends the next one earlier."""
REDRAW_SECONDS = 0.2
"""Minimum time between two drawings of a stream."""
LONGER_SIDE = 640


class Preview:
    """The last frame of one stream, while there is a viewer.

    The stream checks ``is_wanted`` (cheap), and then passes its frame to ``show``. At most one frame is kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._drawing = threading.Lock()  # one drawing at a time, however many requests
        self._until = -1.0
        self._last: tuple[Frame, FrameResult] | None = None
        self._drawn: tuple[int, float, bytes] | None = None  # index of the frame, time, JPEG
        self._is_closed = False

    @property
    def is_wanted(self) -> bool:
        """Whether there is a viewer."""
        if self._clock() < self._until:
            return True
        if self._last is not None:
            self._clear()
        return False

    def show(self, frame: Frame, result: FrameResult) -> None:
        """Replace the kept frame by the newest one; without a viewer nothing is kept."""
        if not self.is_wanted:
            return
        with self._lock:
            if not self._is_closed:
                self._last = (frame, result)

    def jpeg(self) -> bytes | None:
        """The newest frame with its faces drawn, as a JPEG; None if there is no frame yet."""
        with self._drawing:
            now = self._clock()
            with self._lock:
                if self._is_closed:
                    return None
                self._until = now + VIEW_SECONDS
                last, drawn = self._last, self._drawn
            if last is None:
                return None
            if drawn is None or (drawn[0] != last[0].index and now - drawn[1] >= REDRAW_SECONDS):
                drawn = (last[0].index, now, drawn_jpeg(*last, longer_side=LONGER_SIDE))
                with self._lock:
                    self._drawn = None if self._is_closed else drawn
            return drawn[2]

    def close(self) -> None:
        """The stream has ended: release its pixels."""
        with self._lock:
            self._is_closed = True
        self._clear()

    def _clear(self) -> None:
        with self._lock:
            self._last = self._drawn = None
