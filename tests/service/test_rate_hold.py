"""The reservation of a live stream follows its real rate, and the stream is held to its reservation."""

from __future__ import annotations

import threading

import pytest

from acfd_stream.config import CapacityConfig, DetectConfig
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.costs import Costs
from acfd_stream.pipeline.demand import Demand
from acfd_stream.service.progress import ProgressLog
from acfd_stream.service.streams.rate import TOLERANCE, RateHold
from tests.clock import Clock

SIZE = (96, 128)


def capacity() -> Capacity:
    """A machine that takes 70 frames per second."""
    costs = Costs(DetectConfig(size=128), {((96, 128),): 0.01})
    return Capacity(costs, CapacityConfig(cores=1, frame_seconds=1e-9, decode_seconds=1e-9, load_limit=0.7))


class Live:
    """A live stream whose client sends so many frames a second, as far as it is let."""

    def __init__(self, clock: Clock, machine: Capacity, reserved: float, declared: float | None) -> None:
        demand = Demand(SIZE, reserved, 10.0)
        self.clock, self.machine = clock, machine
        self.reservation = machine.reserve(demand)
        self.held = 0
        self.hold = RateHold(10.0, self._count, clock)
        self.hold.begin(self.reservation, demand, declared)
        self.log = ProgressLog(20.0, clock)
        self.frames = 0

    def _count(self) -> None:
        self.held += 1

    def run(self, seconds: float, sent: float, *, starved: bool = True) -> float:
        """Frames per second that got through."""
        waiting, before, tick = 0.0, self.frames, 0.05
        for _ in range(round(seconds / tick)):
            self.clock.now += tick
            waiting += sent * tick
            while waiting >= 1 and self.hold._fill() == 0:
                self.hold.take()
                waiting -= 1
                self.frames += 1
            self.log.note(0, self.frames, 0, is_starved=starved, is_blocked=False)
            self.hold.measure(self.log)
        return (self.frames - before) / seconds

    @property
    def reserved(self) -> float:
        return self.machine._admitted[self.reservation].frame_rate


def test_who_declares_less_than_it_sends_is_held_to_that(clock: Clock) -> None:
    liar = Live(clock, capacity(), 0.001, 0.001)
    assert liar.run(60, sent=100) <= 8 / 60 + 0.01
    assert liar.reserved == 0.001


def test_a_little_more_than_declared_and_a_burst_behind_a_pause_are_let_through(clock: Clock) -> None:
    honest = Live(clock, capacity(), 24, 24)
    assert honest.run(30, sent=24) == pytest.approx(24, abs=0.2)
    assert honest.run(30, sent=26) == pytest.approx(26, abs=0.2)
    honest.run(4, sent=0)
    assert honest.run(2, sent=60) == pytest.approx(60, abs=3)
    assert honest.run(60, sent=60) < 24 * TOLERANCE * 1.1


def test_a_stream_that_declares_nothing_gets_what_it_sends_while_there_is_room(clock: Clock) -> None:
    stream = Live(clock, capacity(), 24, None)
    assert stream.run(30, sent=50) == pytest.approx(50, abs=0.5)
    assert stream.reserved == pytest.approx(50, rel=0.05)


def test_without_room_it_is_held_until_there_is(clock: Clock) -> None:
    machine = capacity()
    other = machine.reserve(Demand(SIZE, 45, 10.0))
    stream = Live(clock, machine, 24, None)
    stream.run(20, sent=60)
    assert stream.run(20, sent=60) == pytest.approx(24 * TOLERANCE, rel=0.05)
    assert stream.reserved == 24
    other.release()
    stream.run(60, sent=60)
    assert stream.run(10, sent=60) == pytest.approx(60, rel=0.05)


def test_who_sends_less_for_long_gives_back_what_it_does_not_use_and_may_take_it_again(clock: Clock) -> None:
    machine = capacity()
    stream = Live(clock, machine, 60, 60)
    stream.run(5, sent=10)
    assert stream.reserved == 60
    stream.run(10, sent=10)
    assert stream.reserved == pytest.approx(10, rel=0.15)
    machine.reserve(Demand(SIZE, 40, 10.0)).release()
    stream.run(20, sent=55)
    assert stream.reserved == pytest.approx(55, rel=0.1)
    assert stream.run(10, sent=55) == pytest.approx(55, rel=0.05)


def test_a_busy_server_is_no_reason_to_reserve_less(clock: Clock) -> None:
    stream = Live(clock, capacity(), 60, 60)
    stream.run(30, sent=10, starved=False)
    assert stream.reserved == 60


def test_a_stream_that_stops_does_not_wait_any_more() -> None:
    machine = capacity()
    demand = Demand(SIZE, 0.001, 10.0)
    hold = RateHold(10.0)
    hold.begin(machine.reserve(demand), demand, 0.001)
    for _ in range(8):
        hold.wait()
        hold.take()
    waiting = threading.Thread(target=hold.wait)
    waiting.start()
    hold.stop()
    waiting.join(10)
    assert not waiting.is_alive()
