"""How fast a stream advances: what its client sends and reads over time, and whether it is too slow for a place."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass

from acfd_stream.service.settings import Limits

_SAMPLES = 64  # that are kept; the window is measured to this part
_BOUND_SHARE = 0.8  # of the window; a stream that waits less for its client is not slow because of it


@dataclass(frozen=True, slots=True)
class Progress:
    """Totals since the stream began, or their growth over some time."""

    seconds: float = 0.0
    starved_seconds: float = 0.0  # the stream waited for its client, or the server of its URL, to send
    blocked_seconds: float = 0.0  # it waited for its client to read
    received_bytes: int = 0
    frames: int = 0  # that were decoded
    sent: int = 0  # results that the client took


class ProgressLog:
    """Totals of a stream over the last ``window_seconds``; used by one thread.

    Args:
        window_seconds: how far back ``over`` can look.
        clock: seconds that never decrease.
    """

    def __init__(self, window_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._step, self._clock = window_seconds / _SAMPLES, clock
        self._began_at = clock()
        self._now = Progress()
        self._kept: deque[Progress] = deque([self._now], maxlen=2 * _SAMPLES)
        self.frameless_seconds = 0.0
        """Time that the stream waited for its client to send since the last frame, or since it began."""

    def note(self, received_bytes: int, frames: int, sent: int, *, is_starved: bool, is_blocked: bool) -> None:
        """Add the totals of now, and what the stream has waited for since the last call."""
        seconds = self._clock() - self._began_at
        passed = seconds - self._now.seconds
        starved = passed if is_starved else 0.0
        self.frameless_seconds = starved + (self.frameless_seconds if frames == self._now.frames else 0.0)
        self._now = Progress(
            seconds,
            self._now.starved_seconds + starved,
            self._now.blocked_seconds + (passed if is_blocked else 0.0),
            received_bytes,
            frames,
            sent,
        )
        if seconds - self._kept[-1].seconds >= self._step:
            self._kept.append(self._now)

    def over(self, seconds: float) -> Progress | None:
        """The growth over about the last ``seconds``; None: the stream is younger."""
        begin = next((one for one in reversed(self._kept) if self._now.seconds - one.seconds >= seconds), None)
        if begin is None:
            return None
        return Progress(*(now - before for now, before in zip(astuple(self._now), astuple(begin), strict=True)))


def is_slow(log: ProgressLog, seconds: float, limits: Limits) -> bool:
    """Whether the client has kept its stream waiting over the last ``seconds``: it sends too little, or hardly reads.

    Fewer bytes and fewer frames than the least rates are too little; a client that hardly reads takes fewer results
    than frames are asked for.
    """
    growth = log.over(seconds)
    if growth is None:
        return False
    least_frames = limits.least_frames_per_second * growth.seconds
    is_starving = growth.starved_seconds >= _BOUND_SHARE * growth.seconds
    is_little = growth.received_bytes < limits.least_bytes_per_second * growth.seconds and growth.frames < least_frames
    is_unread = growth.blocked_seconds >= _BOUND_SHARE * growth.seconds and growth.sent < least_frames
    return (is_starving and is_little) or is_unread
