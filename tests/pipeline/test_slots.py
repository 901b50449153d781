"""An engine with several slots: the rules in simulated time, and its threads with an engine that the tests hold up."""

from __future__ import annotations

import heapq
import math
import threading
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from acfd_stream.config import CapacityConfig, DetectConfig, SchedulerConfig, StreamQueueConfig
from acfd_stream.errors import OverloadedError, RunnerError
from acfd_stream.metrics import Metrics
from acfd_stream.pipeline.batching import BatchQueue, QueuedPicture, StreamQueue
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.costs import Costs, measure_costs
from acfd_stream.pipeline.demand import Demand
from acfd_stream.pipeline.scheduler import Scheduler
from tests.clock import Clock
from tests.pipeline.fake_engine import SIZE, WAIT_SECONDS, FakeEngine, Latch, flat_costs, picture
from tests.pipeline.shared_engines import NO_WAIT, Submit, values, waiting_in, when

HD = (720, 1280)
OBJECTIVE = 0.05
LIVE, FILE = Demand(HD, 24.0, OBJECTIVE), Demand(HD)
SECONDS = 20.0
"""Length of a simulation."""
AROUND = 0.008
"""What decoding before and tracking after the engine take of the objective."""


def costs(slots: int, contention: float = 1.15) -> Costs:
    """About those of a small machine: a core a slot."""
    return Costs(DetectConfig(size=448), {((256, 448),): 0.015}, 0.001, (1.0,), slots, contention)


def room_of(model: Costs) -> Capacity:
    return Capacity(model, CapacityConfig(cores=model.slots), SchedulerConfig())


def fill(room: Capacity, most: int = 100) -> int:
    """How many live streams are let in."""
    for count in range(most):
        try:
            room.reserve(LIVE)
        except OverloadedError:
            return count
    return most


@dataclass
class Machine:
    """The real rules on slots that take 0.8 … 1.3 of what is expected; frames come with jitter."""

    model: Costs
    seed: int
    seconds: dict[StreamQueue, list[float]] = field(default_factory=dict)  # of each picture, from coming to being seen
    most: int = 0  # batches that ran at once

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.rules = BatchQueue(self.model, SchedulerConfig(), 4)
        self.running: list[tuple[float, int, list[tuple[StreamQueue, QueuedPicture]]]] = []
        self.due: list[tuple[float, int, StreamQueue]] = []

    def open(self, config: StreamQueueConfig) -> StreamQueue:
        stream = self.rules.open_stream(config, 0.0)
        self.seconds[stream] = []
        heapq.heappush(self.due, (self.random.uniform(0, 1 / 24), len(self.seconds), stream))
        return stream

    def run(self) -> None:
        now, batches = 0.0, 0
        while now < SECONDS:
            self._arrive(now)
            while self.running and self.running[0][0] <= now:
                self._finish(*heapq.heappop(self.running)[::2])
            again = math.inf
            while len(self.running) < self.model.slots:
                batch, again = self.rules.next_batch(now)
                if not batch:
                    break
                batches += 1
                heapq.heappush(self.running, (now + self._taken(batch), batches, batch))
            self.most = max(self.most, len(self.running))
            ends = [self.running[0][0]] if self.running else []
            now = min([again, *ends, *(self.due[0][:1] if self.due else []), SECONDS])

    def _taken(self, batch: list[tuple[StreamQueue, QueuedPicture]]) -> float:
        alone = sum(queued.alone_seconds for _, queued in batch)
        share = self.random.choice([0.8, 0.9, 1.0, 1.3], p=[0.2, 0.3, 0.4, 0.1])
        return self.model.batch_seconds(alone, len(batch), len(self.running) + 1) * float(share)

    def _arrive(self, now: float) -> None:
        while self.due and self.due[0][0] <= now:
            came, number, stream = heapq.heappop(self.due)
            self._come(stream, came, 1 if stream.is_live else 8)
            if stream.is_live:
                later = came + (1 + self.random.uniform(-0.15, 0.15)) / 24
                heapq.heappush(self.due, (later, number, stream))

    def _come(self, stream: StreamQueue, now: float, count: int) -> None:
        seconds = stream.config.deadline_seconds
        for _ in range(count):
            alone = self.model.picture_seconds(HD)
            self.rules.add(
                stream, QueuedPicture(picture(1), alone, 1, now, math.inf if seconds is None else now + seconds)
            )

    def _finish(self, now: float, batch: list[tuple[StreamQueue, QueuedPicture]]) -> None:
        for stream, queued in batch:
            stream.running -= 1
            self.seconds[stream].append(now - queued.arrived)
            if not stream.is_live and not stream.held:
                self._come(stream, now, 8)


def test_a_frame_that_comes_while_another_is_looked_at_begins_at_once() -> None:
    rules = BatchQueue(costs(2), SchedulerConfig(), 4)
    streams = [rules.open_stream(StreamQueueConfig(), 0.0) for _ in range(2)]
    for place, stream in enumerate(streams):
        now = 0.001 * place
        rules.add(stream, QueuedPicture(picture(1), 0.015, 1, now, now + 0.04))
        assert [owner for owner, _ in rules.next_batch(now)[0]] == [stream]


@pytest.mark.parametrize("slots", [2, 4])
@pytest.mark.parametrize("seed", range(2))
def test_those_who_are_let_in_are_in_time(slots: int, seed: int) -> None:
    model = costs(slots)
    room = room_of(model)
    room.reserve(FILE)
    machine = Machine(model, seed)
    live = [machine.open(StreamQueueConfig(deadline_seconds=0.8 * OBJECTIVE)) for _ in range(fill(room))]
    file = machine.open(StreamQueueConfig.background())
    machine.run()
    assert machine.most == slots
    assert len(live) >= slots
    for stream in live:
        assert len(machine.seconds[stream]) > 0.95 * 24 * SECONDS
        assert np.mean(np.array(machine.seconds[stream]) + AROUND <= OBJECTIVE) >= 0.99
    assert len(machine.seconds[file]) > 5 * SECONDS


def test_twice_as_many_as_are_let_in_would_not_be_in_time() -> None:
    model = costs(2)
    machine = Machine(model, 0)
    live = [
        machine.open(StreamQueueConfig(deadline_seconds=0.8 * OBJECTIVE)) for _ in range(2 * fill(room_of(model)) + 1)
    ]
    machine.run()
    assert min(np.mean(np.array(machine.seconds[stream]) + AROUND <= OBJECTIVE) for stream in live) < 0.9


def test_two_slots_let_in_as_many_as_batches_of_two_and_fewer_where_pictures_slow_each_other() -> None:
    batches = Costs(DetectConfig(size=448), {((256, 448),): 0.015}, 0.001, (1.0, 0.575))
    in_batches = fill(Capacity(batches, CapacityConfig(cores=2), SchedulerConfig()))
    assert fill(room_of(costs(2))) >= in_batches >= 1
    assert fill(room_of(costs(2, contention=2.0))) < fill(room_of(costs(2)))


def test_a_stream_has_no_more_pictures_in_all_slots_than_its_share() -> None:
    rules = BatchQueue(costs(4), SchedulerConfig(), 4)
    greedy, other = (rules.open_stream(StreamQueueConfig(batch_share=2), 0.0) for _ in range(2))
    for _ in range(8):
        rules.add(greedy, QueuedPicture(picture(1), 0.015, 1, 0.0, 0.04))
    taken = Counter(stream for _ in range(4) for stream, _ in rules.next_batch(0.0)[0])
    assert taken == {greedy: 2}
    rules.add(other, QueuedPicture(picture(1), 0.015, 1, 0.001, 0.041))
    assert [stream for stream, _ in rules.next_batch(0.001)[0]] == [other]


def test_what_a_picture_costs_beside_another_is_measured_and_followed() -> None:
    clock, slower = Clock(), 1.0

    def work(values: list[int]) -> None:
        clock.now += (0.010 if len(values) == 1 else 0.013) * slower

    engine = FakeEngine(work)
    engine.concurrency = 2
    measured = measure_costs(engine, [SIZE], 4, clock)
    assert {len(batch) for batch in engine.batches} == {1, 2}
    assert (measured.slots, measured.best_batch) == (2, 1)
    assert [measured.batch_seconds(0.01, 1, running) for running in (1, 2)] == pytest.approx([0.010, 0.013])
    assert measured.busy_seconds(0.01) == pytest.approx(0.0065)
    for _ in range(200):
        measured.observe(0.01, 1, 0.026, 2)
    assert measured.pace == pytest.approx(2.0, abs=0.01)


def test_two_pictures_are_looked_at_side_by_side(submit: Submit) -> None:
    both = threading.Barrier(2, timeout=WAIT_SECONDS)
    registry = CollectorRegistry()
    engine = FakeEngine(lambda values: both.wait() and None)
    with Scheduler(engine, NO_WAIT, costs=flat_costs(batches=(1.0,), slots=2), metrics=Metrics(registry)) as scheduler:
        answers = [submit(scheduler.open_shared(), value) for value in (1, 2)]
        assert [values(answer) for answer in answers] == [[1], [2]]
        assert scheduler.held_bytes == 0
    assert registry.get_sample_value("acfd_batch_size_count") == 2


def test_a_fault_in_one_slot_is_its_own_streams(submit: Submit) -> None:
    both = threading.Barrier(2, timeout=WAIT_SECONDS)
    engine = FakeEngine(lambda values: both.wait() and None)
    with Scheduler(engine, NO_WAIT, costs=flat_costs(batches=(1.0,), slots=2)) as scheduler:
        good, bad = (submit(scheduler.open_shared(), value) for value in (7, 0))
        assert values(good) == [7]
        with pytest.raises(ValueError, match="a black picture"):
            bad.result(WAIT_SECONDS)
        assert scheduler.is_running


def test_a_slot_that_dies_takes_the_scheduler_with_it(submit: Submit, latch: Latch) -> None:
    def work(values: list[int]) -> None:
        if values == [2]:
            raise SystemExit("gone")
        latch(values)

    scheduler = Scheduler(FakeEngine(work), NO_WAIT, costs=flat_costs(batches=(1.0,), slots=2))
    held = submit(scheduler.open_shared(), 1)
    assert latch.entered.wait(WAIT_SECONDS)
    for future in (submit(scheduler.open_shared(), 2), held):
        with pytest.raises(RunnerError, match="engine thread failed: SystemExit: gone"):
            future.result(WAIT_SECONDS)
    latch.opened.set()
    scheduler.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("acfd-engine")]


def test_draining_ends_no_slot_before_all_is_done(submit: Submit, latch: Latch) -> None:
    scheduler = Scheduler(FakeEngine(latch), NO_WAIT, costs=flat_costs(batches=(1.0,), slots=2))
    first = submit(scheduler.open_shared(StreamQueueConfig.background()), 1, 2, 3, 4, 5)
    when(scheduler, lambda: waiting_in(scheduler) == 3)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    when(scheduler, lambda: not scheduler.is_running)
    latch.opened.set()
    assert values(first) == [1, 2, 3, 4, 5]
    closing.join(WAIT_SECONDS)
    assert not closing.is_alive()


def test_nobody_probes_while_a_slot_is_busy(submit: Submit, latch: Latch) -> None:
    engine = FakeEngine(lambda values: latch(values) if values == [1] else None)
    config = replace(NO_WAIT, probe_seconds=0.001)
    with Scheduler(engine, config, costs=flat_costs(batches=(1.0,), slots=2)) as scheduler:
        held = submit(scheduler.open_shared(), 1)
        assert latch.entered.wait(WAIT_SECONDS)
        others = scheduler.open_shared()
        before = len(engine.batches)
        assert values(submit(others, 2, 3, 4)) == [2, 3, 4]
        latch.entered.wait(0.05)
        assert [128] not in engine.batches[before:]
        latch.opened.set()
        assert values(held) == [1]
        when(scheduler, lambda: [128] in engine.batches[before:])
