"""What a stream demands of the machine: first what its client declares, then what it sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from acfd_stream.pipeline.capacity import Reservation
from acfd_stream.pipeline.demand import Demand
from acfd_stream.service.progress import ProgressLog
from acfd_stream.service.requests import StreamRequest
from acfd_stream.types import MediaInfo

TOLERANCE = 1.25
"""A stream may send so many times the rate that is reserved for it."""
SHORT_SECONDS = 5.0
"""Time over which a higher rate is measured, and of frames that may come at once after a pause of the network."""
_LEAST_BURST = 8.0  # frames
_MEASURE_SECONDS = 1.0
_LOWER = 0.7  # of the reserved rate; above, what is measured changes nothing
_MARGIN = 1.05
_TOP_RATE = 1000.0
_FALLBACK_RATE = 30.0  # frames per second, if neither the client nor the container of a live stream says
_FALLBACK_SIZE = (720, 1280)


def demand_of(request: StreamRequest, caller: str, info: MediaInfo | None = None) -> Demand:
    """The demand of a stream of ``caller`` on the machine, from its container or as its client declares."""
    size = info.display_size if info is not None else request.declared_size or _FALLBACK_SIZE
    rate = None if info is None or info.frame_rate is None else float(info.frame_rate)
    if not request.is_live:
        return Demand(size, caller=caller)
    rate = request.declared_rate or rate or _FALLBACK_RATE
    return Demand(size, rate, request.pace.objective_seconds, request.view_side, caller)


class RateHold:
    """Keeps the reservation of a live stream at the rate that it really has, and the stream at its reservation.

    A stream may not exceed the rate that its client declares, but for ``TOLERANCE``. One that declares none gets a
    larger reservation while there is room. A stream that sends less for ``long_seconds`` gets a smaller one. Before it
    begins, nothing is held. ``wait`` and ``take`` are for the thread that takes frames, the rest for any.

    Args:
        long_seconds: time over which a lower rate is measured.
        on_held: called for each frame that has to wait.
        clock: seconds that never decrease.
    """

    def __init__(
        self,
        long_seconds: float,
        on_held: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._long_seconds, self._on_held, self._clock = long_seconds, on_held, clock
        self._changed = threading.Condition()
        self._reservation: Reservation | None = None
        self._demand: Demand | None = None
        self._most: float | None = None  # declared, frames per second
        self._rate: float | None = None  # that is held to; None: any
        self._tokens, self._filled_at = 0.0, 0.0
        self._measured_at = 0.0
        self._is_stopped = False

    def begin(self, reservation: Reservation, demand: Demand, declared_rate: float | None) -> None:
        """Hold the stream of ``reservation`` from now on."""
        with self._changed:
            self._reservation, self._demand, self._most = reservation, demand, declared_rate
            self._rate = None if declared_rate is None else declared_rate * TOLERANCE
            self._filled_at, self._tokens = self._clock(), self._burst()

    def wait(self) -> None:
        """Return when the stream may take a frame, or ``stop`` is called."""
        is_held = False
        with self._changed:
            while not self._is_stopped and (seconds := self._fill()) > 0:
                if not is_held:
                    is_held = True
                    self._on_held()
                self._changed.wait(seconds)

    def take(self) -> None:
        """A frame was taken, and not dropped."""
        with self._changed:
            self._tokens -= 1

    def stop(self) -> None:
        """Hold nothing any more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def measure(self, log: ProgressLog) -> None:
        """Adapt the reservation to the frames that arrived; called regularly."""
        with self._changed:
            demand, reservation, now = self._demand, self._reservation, self._clock()
            if demand is None or reservation is None or self._is_stopped or now < self._measured_at + _MEASURE_SECONDS:
                return
            self._measured_at = now
            is_held = self._most is None and self._rate is not None
        rate = self._higher(log, demand.frame_rate, is_held=is_held) or self._lower(log, demand.frame_rate)
        if rate is None:
            return
        wanted = replace(demand, frame_rate=rate)
        is_changed = reservation.adjust(wanted)
        with self._changed:
            self._demand = reserved = wanted if is_changed else demand
            if is_held or not is_changed:  # there is no room, or was none: hold the stream to what it has
                self._rate = reserved.frame_rate * TOLERANCE
            elif self._most is not None:
                self._rate = self._most * TOLERANCE
            self._changed.notify_all()

    def _higher(self, log: ProgressLog, reserved: float, *, is_held: bool) -> float | None:
        """The rate to reserve for a stream that sends more than ``reserved``; None: it does not."""
        growth = log.over(SHORT_SECONDS)
        if growth is None:
            return None
        rate = min(growth.frames / growth.seconds, _TOP_RATE if self._most is None else self._most)
        is_known = self._most is not None or is_held  # then it cannot get much above what is reserved
        return rate if rate > reserved * (_MARGIN if is_known else TOLERANCE) else None

    def _lower(self, log: ProgressLog, reserved: float) -> float | None:
        """The rate to reserve for a stream whose client sends less than ``reserved`` for long; None: it does not."""
        growth = log.over(self._long_seconds)
        if growth is None or growth.starved_seconds < growth.seconds / 2:  # it is not the client that is slow
            return None
        rate = max(growth.frames / growth.seconds, 1 / self._long_seconds) * _MARGIN
        return rate if rate < reserved * _LOWER else None

    def _burst(self) -> float:
        return max(_LEAST_BURST, (self._rate or 0.0) * SHORT_SECONDS)

    def _fill(self) -> float:
        """Seconds until a frame may be taken; 0: now."""
        now = self._clock()
        if self._rate is None:
            self._filled_at, self._tokens = now, self._burst()
            return 0.0
        self._tokens = min(self._burst(), self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return max(0.0, (1 - self._tokens) / self._rate)
