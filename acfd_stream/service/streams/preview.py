"""A look at a stream's last frame: kept only while somebody looks, drawn by whoever looks, never by the stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from acfd_stream.types import Frame, FrameResult
from acfd_stream.video.snapshot import drawn_jpeg

LOOK_SECONDS = 10.0
"""A look lasts so long; the page looks again before."""
LEAST_SECONDS = 0.2
"""Between two drawings of a stream, however many look."""
LONGER_SIDE = 640


class OverlayWindow:
    """The last frame of one stream, while somebody looks.

    The stream asks ``is_wanted`` (cheap) and shows its frame then; one frame is held, never more.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._drawing = threading.Lock()  # one drawing at a time: looks do not add up
        self._until = -1.0
        self._last: tuple[Frame, FrameResult] | None = None
        self._drawn: tuple[int, float, bytes] | None = None  # index of the frame, when, its JPEG
        self._is_closed = False

    @property
    def is_wanted(self) -> bool:
        """Whether somebody looks."""
        if self._clock() < self._until:
            return True
        if self._last is not None:
            self._clear()
        return False

    def show(self, frame: Frame, result: FrameResult) -> None:
        """Take the stream's newest frame in place of the one before; without lookers nothing is kept."""
        if not self.is_wanted:
            return
        with self._lock:
            if not self._is_closed:
                self._last = (frame, result)

    def jpeg(self) -> bytes | None:
        """The newest frame with its faces drawn on, a JPEG; None where there is none yet: look again."""
        with self._drawing:
            now = self._clock()
            with self._lock:
                if self._is_closed:
                    return None
                self._until = now + LOOK_SECONDS
                last, drawn = self._last, self._drawn
            if last is None:
                return None
            if drawn is None or (drawn[0] != last[0].index and now - drawn[1] >= LEAST_SECONDS):
                drawn = (last[0].index, now, drawn_jpeg(*last, longer_side=LONGER_SIDE))
                with self._lock:
                    self._drawn = None if self._is_closed else drawn
            return drawn[2]

    def close(self) -> None:
        """The stream is over: give its pixels back."""
        with self._lock:
            self._is_closed = True
        self._clear()

    def _clear(self) -> None:
        with self._lock:
            self._last = self._drawn = None
