"""A client that keeps its stream waiting is told from one that waits for the server, and from an honest pause."""

from __future__ import annotations

import pytest

from acfd_stream.service.progress import ProgressLog, is_slow
from acfd_stream.service.settings import Limits
from tests.clock import Clock

LIMITS = Limits(idle_seconds=10.0)
TICK = 0.2


class Stream:
    """A stream that is looked at five times a second."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.log = clock, ProgressLog(20.0, clock)
        self.received = self.frames = self.sent = 0.0

    def run(
        self, seconds: float, received: float = 0, frames: float = 0, sent: float = 0, starved: bool = True,
        blocked: bool = False,
    ) -> bool:  # fmt: skip
        """Go on for ``seconds`` with so much a second; whether the stream is slow in the end."""
        for _ in range(round(seconds / TICK)):
            self.clock.now += TICK
            self.received += received * TICK
            self.frames += frames * TICK
            self.sent += sent * TICK
            self.log.note(int(self.received), int(self.frames), int(self.sent), is_starved=starved, is_blocked=blocked)
        return is_slow(self.log, LIMITS.idle_seconds, LIMITS)


@pytest.fixture
def stream(clock: Clock) -> Stream:
    return Stream(clock)


def test_a_dripping_stream_is_slow_after_the_window_and_not_before(stream: Stream) -> None:
    assert not stream.run(9.8, received=1)
    assert stream.run(0.6, received=1)


def test_drips_of_frames_are_slow(stream: Stream) -> None:
    assert stream.run(20, received=50, frames=0.1)


@pytest.mark.parametrize(
    "honest",
    [
        {"received": 2000},  # large pictures over a slow line
        {"received": 100, "frames": 5},  # small pictures that hardly change
        {"starved": False},  # the server is busy with what it has
    ],
)
def test_an_honest_stream_is_not_slow(stream: Stream, honest: dict[str, float]) -> None:
    assert not stream.run(30, **honest)  # type: ignore[arg-type]


def test_a_stream_that_recovers_is_not_slow(stream: Stream) -> None:
    assert stream.run(20)
    assert not stream.run(12, received=20_000, frames=24)


def test_a_client_that_reads_a_result_a_minute_is_slow(stream: Stream) -> None:
    assert stream.run(20, received=10_000, frames=24, sent=1 / 60, starved=False, blocked=True)
    assert not stream.run(20, received=10_000, frames=24, sent=2, starved=False, blocked=True)


def test_time_without_a_frame_counts_while_the_client_is_awaited(stream: Stream) -> None:
    stream.run(5, received=2000)
    stream.run(5, received=2000, starved=False)
    assert stream.log.frameless_seconds == pytest.approx(5, abs=0.01)
    stream.run(1, frames=5)
    assert stream.log.frameless_seconds < 0.5


def test_growth_is_that_of_the_window(stream: Stream) -> None:
    assert stream.log.over(5) is None
    stream.run(30, received=10)
    stream.run(5, received=1000)
    growth = stream.log.over(5)
    assert growth is not None
    assert growth.seconds == pytest.approx(5, abs=0.5)
    assert growth.received_bytes == pytest.approx(1000 * growth.seconds, rel=0.1)
