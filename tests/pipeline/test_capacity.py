"""Who is let in, and that those who are keep their objective: streams in simulated time on the real rules."""

from __future__ import annotations

import heapq
import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from acfd_stream.config import CapacityConfig, DetectConfig, SchedulerConfig, StreamQueueConfig
from acfd_stream.errors import ConfigError, OverloadedError
from acfd_stream.metrics import Metrics, Refusal
from acfd_stream.pipeline.batching import BatchQueue, QueuedPicture, StreamQueue
from acfd_stream.pipeline.capacity import Capacity, Reservation
from acfd_stream.pipeline.costs import Costs, Size, measure_costs
from acfd_stream.pipeline.cpu_overhead import measure_cpu_overhead
from acfd_stream.pipeline.demand import Demand
from tests.clock import Clock
from tests.pipeline.fake_engine import FakeEngine, picture

HD: Size = (720, 1280)
OBJECTIVE = 0.05
LIVE = Demand(HD, 24.0, OBJECTIVE)
FILE = Demand(HD)
SECONDS = 20.0
"""Length of a simulation."""


def costs(batches: tuple[float, ...] = (1.0, 0.55)) -> Costs:
    """About those of a machine with two cores."""
    return Costs(DetectConfig(size=448), {((256, 448),): 0.011}, 0.001, batches)


def capacity(metrics: Metrics | None = None, **config: float) -> Capacity:
    return Capacity(costs(), CapacityConfig(cores=2, **config), SchedulerConfig(), metrics)  # type: ignore[arg-type]


def fill(room: Capacity, demand: Demand) -> list[Reservation]:
    """As many such streams as are let in."""
    inside = []
    while len(inside) < 1000:
        try:
            inside.append(room.reserve(demand))
        except OverloadedError:
            break
    return inside


def test_streams_are_let_in_until_the_machine_is_full_and_again_when_one_leaves() -> None:
    registry = CollectorRegistry()
    room = capacity(Metrics(registry))
    assert room.ask(HD, 24.0).fits
    assert room.headroom == 1.0
    inside = fill(room, LIVE)
    assert 2 <= len(inside) == room.streams
    answer = room.ask(HD, 24.0)
    assert (answer.fits, answer.may_fit_later, answer.refusal) == (False, True, Refusal.CAPACITY)
    assert "1280×720" in answer.reason
    assert answer.headroom == room.headroom < 0.5
    assert registry.get_sample_value("acfd_capacity_headroom_ratio") == room.headroom
    assert registry.get_sample_value("acfd_admission_rejected_total", {"reason": "capacity"}) == 1  # asking counts none
    inside[0].release()
    inside[0].release()
    with room.reserve(LIVE):
        assert room.streams == len(inside)
    assert room.streams == len(inside) - 1


def test_a_stream_that_can_never_keep_its_objective_is_told_so() -> None:
    answer = capacity().ask((4320, 7680), 24.0, 0.05)
    assert not answer.fits
    assert not answer.may_fit_later
    assert answer.reason.startswith("one 7680×4320 frame takes 1")
    assert answer.reason.endswith("by itself, and the objective is 50.0 ms")


def test_a_machine_where_now_and_then_a_picture_takes_long_lets_in_fewer() -> None:
    counts = []
    for slow in (0.011, 0.033):
        model = costs((1.0,))
        for number in range(64):
            model.observe(0.011, 1, slow if number % 10 == 0 else 0.011)
        assert model.tail >= slow / 0.011 / 1.3
        room = Capacity(model, CapacityConfig(cores=2, load_limit=1.0), SchedulerConfig())
        counts.append(len(fill(room, LIVE)))
    assert counts[0] > counts[1]


def test_a_machine_that_falters_keeps_more_free_beside_a_stream_and_still_takes_one() -> None:
    counts = []
    for often in (100, 10):  # never, and one picture in ten
        model = Costs(DetectConfig(size=448), {((256, 448),): 0.008})
        for number in range(64):
            model.observe(0.009, 1, 0.014 if number % often == 5 else 0.009)
        assert model.tail == (1.0 if often == 100 else pytest.approx(1.55, abs=0.1))
        room = Capacity(model, CapacityConfig(cores=2), SchedulerConfig())
        counts.append(len(fill(room, Demand(HD, 24.0, 0.5))))
        assert len(fill(Capacity(model, CapacityConfig(cores=2)), Demand(HD, 55.0, 0.5))) == 1
    assert counts[0] > counts[1] >= 1


def test_a_long_objective_lets_in_what_a_short_one_does_not() -> None:
    counts = [len(fill(capacity(load_limit=1.0), Demand(HD, 10.0, seconds))) for seconds in (0.03, 0.05, 0.2)]
    assert counts[0] < counts[1] < counts[2]


def test_a_slower_engine_or_decoder_lets_in_fewer() -> None:
    room = capacity()
    before = len(fill(room, LIVE))
    slow = capacity()
    guess = slow.reserve(FILE)
    for _ in range(200):
        slow.observe(HD, 0.012, 0.003)
    inside = fill(slow, LIVE)
    assert len(inside) < before
    for reservation in (guess, *inside):
        reservation.release()
    assert len(fill(slow, LIVE)) == before  # nobody is there to show whether it is still slow
    tired = costs()
    for _ in range(200):
        tired.observe(0.022, 2, 0.022 * 0.55 * 2.0)
    assert tired.pace == pytest.approx(2.0, abs=0.01)
    assert len(fill(Capacity(tired, CapacityConfig(cores=2)), LIVE)) < before


def test_where_held_drawings_and_tracks_take_longer_fewer_are_let_in_from_the_start() -> None:
    def room(upkeep_seconds: float, **config: float) -> Capacity:
        limits = CapacityConfig(cores=2, **config)  # type: ignore[arg-type]
        return Capacity(costs(), limits, SchedulerConfig(), upkeep_seconds=upkeep_seconds)

    quick, slow = len(fill(room(0.001), LIVE)), len(fill(room(0.016), LIVE))
    assert quick > slow
    assert len(fill(room(0.016, frame_seconds=0.001), LIVE)) == quick  # a number in the config is not asked about
    learning = room(0.004)
    guess = learning.reserve(FILE)
    for _ in range(200):
        learning.observe(HD, 0.003, 0.016)
    inside = fill(learning, LIVE)
    assert len(inside) == slow
    for reservation in (guess, *inside):
        reservation.release()
    assert len(fill(learning, LIVE)) == len(fill(room(0.004), LIVE))
    stopped = room(0.004)
    stopped.reserve(FILE)
    for _ in range(200):
        stopped.observe(HD, 0.003, 9.0)  # somebody stopped the machine: it counts for four times what was measured
    assert len(fill(stopped, LIVE)) == slow


def test_the_cpu_overhead_is_that_of_frames_that_change_all_over() -> None:
    clock = Clock()

    def ticking() -> float:
        clock.now += 0.002
        return clock.now

    assert measure_cpu_overhead((96, 128), ticking) == pytest.approx(0.002)
    assert 1e-5 < measure_cpu_overhead((96, 128)) < 0.5


def test_files_take_what_is_left_and_only_so_many() -> None:
    registry = CollectorRegistry()
    room = capacity(Metrics(registry), file_streams=2)
    files = [room.reserve(FILE), room.reserve(FILE)]
    with pytest.raises(OverloadedError, match="2 streams in file mode are open"):
        room.reserve(FILE)
    assert registry.get_sample_value("acfd_admission_rejected_total", {"reason": "file_streams"}) == 1
    assert room.headroom > 0.9
    assert fill(room, LIVE)
    files[0].release()


def test_a_guess_is_replaced_by_what_the_container_says() -> None:
    room = capacity()
    guess = room.reserve(LIVE)
    with pytest.raises(OverloadedError, match="by itself"):
        guess.change(Demand((4320, 7680), 24.0, OBJECTIVE))
    assert room.streams == 1
    before = room.headroom
    guess.change(Demand((360, 640), 24.0, OBJECTIVE))
    assert room.headroom > before


def test_a_stream_inside_may_shrink_on_a_machine_that_has_slowed() -> None:
    room = capacity()
    first, *_ = fill(room, LIVE)
    for _ in range(200):
        room.observe(HD, 0.018, 0.003)
    first.change(Demand((360, 640), 24.0, OBJECTIVE))


def test_no_more_shapes_than_stay_compiled() -> None:
    room = capacity(view_sizes=2)
    room.reserve(Demand((720, 1280), 1.0, OBJECTIVE))
    room.reserve(Demand((480, 640), 1.0, OBJECTIVE))
    assert room.ask((1080, 1920), 1.0).fits  # seen as large as 720×1280
    assert "3 different shapes" in room.ask((1280, 720), 1.0).reason


@pytest.mark.parametrize(
    ("size", "rate", "objective", "message"),
    [((0, 640), 24.0, 0.05, "^size"), (HD, 0.0, 0.05, "frame_rate"), (HD, math.nan, 0.05, "frame_rate")],
)
def test_nonsense_is_refused(size: Size, rate: float, objective: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        capacity().ask(size, rate, objective)


def test_costs_are_measured_on_the_engines_own_time() -> None:
    clock = Clock()

    def work(values: list[int]) -> None:
        clock.now += 0.002 + 0.01 * len(values)

    measured = measure_costs(FakeEngine(work), [(96, 128)], 4, clock)
    assert measured.picture_seconds((96, 128)) == pytest.approx(0.012)
    assert [measured.batch_seconds(0.012 * n, n) for n in (1, 2, 4)] == pytest.approx([0.012, 0.022, 0.042])
    assert measured.picture_seconds((192, 256)) == pytest.approx(0.012)  # the fake does not mind larger ones


@dataclass
class Stream:
    """A simulated stream."""

    queue: StreamQueue
    demand: Demand
    frames: int = 0
    in_time: int = 0


def simulate(demands: list[Demand], seed: int) -> list[Stream]:
    """The real rules on an engine whose batches take 0.8 … 1.3 of what is expected; frames come with jitter."""
    random = np.random.default_rng(seed)
    model = costs()
    rules = BatchQueue(model, SchedulerConfig(), 4)
    streams = [Stream(rules.open_stream(lane_config(demand), 0.0), demand) for demand in demands]
    by_queue = {stream.queue: stream for stream in streams}
    due = [(random.uniform(0, 1 / 24), place) for place in range(len(streams))]
    heapq.heapify(due)
    now = 0.0
    while now < SECONDS:
        while due and due[0][0] <= now:
            came, place = heapq.heappop(due)
            arrive(rules, streams[place], came)
            if streams[place].demand.is_live:
                jittered = came + (1 + random.uniform(-0.15, 0.15)) / streams[place].demand.frame_rate
                heapq.heappush(due, (jittered, place))
        batch, again = rules.next_batch(now)
        if not batch:
            now = min(again, due[0][0] if due else SECONDS)
            continue
        now += model.batch_seconds(sum(queued.alone_seconds for _, queued in batch), len(batch)) * random.choice(
            [0.8, 0.9, 1.0, 1.3], p=[0.2, 0.3, 0.4, 0.1]
        )
        for queue, queued in batch:
            finish(rules, by_queue[queue], queued, now)
    return streams


def lane_config(demand: Demand) -> StreamQueueConfig:
    return StreamQueueConfig(deadline_seconds=0.8 * OBJECTIVE) if demand.is_live else StreamQueueConfig.background()


def arrive(rules: BatchQueue, stream: Stream, now: float) -> None:
    seconds = stream.queue.config.deadline_seconds
    alone = rules.costs.picture_seconds(stream.demand.display_size)
    for _ in range(1 if seconds else 8):
        rules.add(stream.queue, QueuedPicture(picture(1), alone, 1, now, now + seconds if seconds else math.inf))


def finish(rules: BatchQueue, stream: Stream, queued: QueuedPicture, now: float) -> None:
    """Decoding before and tracking after the engine take 8 ms of the objective."""
    stream.queue.running -= 1
    stream.frames += 1
    stream.in_time += now - queued.arrived + 0.008 <= OBJECTIVE
    if not stream.demand.is_live and not stream.queue.held:
        arrive(rules, stream, now)


@pytest.mark.parametrize("seed", range(3))
def test_three_times_as_many_as_fit_leave_those_inside_in_time(seed: int) -> None:
    room = capacity()
    room.reserve(FILE)
    fitting = len(fill(capacity(), LIVE))
    admitted, refusal_seconds = [], []
    for _ in range(3 * fitting):
        begin = time.perf_counter()
        try:
            room.reserve(LIVE)
            admitted.append(LIVE)
        except OverloadedError:
            refusal_seconds.append(time.perf_counter() - begin)
    assert min(refusal_seconds) < 0.1  # a refusal does not wait, though the machine may pause
    assert 2 <= len(admitted) <= fitting
    *live, file = simulate([*admitted, FILE], seed)
    for stream in live:
        assert stream.frames > 0.95 * 24 * SECONDS
        assert stream.in_time >= 0.99 * stream.frames
    assert file.frames > 5 * SECONDS  # what the live ones leave


def test_without_admission_nobody_would_be_in_time() -> None:
    streams = simulate([LIVE] * 4 * len(fill(capacity(), LIVE)), 0)
    assert min(stream.in_time / stream.frames for stream in streams) < 0.9
