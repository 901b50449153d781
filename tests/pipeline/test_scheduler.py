"""Lanes and the engine's thread, with an engine that the tests hold up and let go."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from acfd_stream.config import SchedulerConfig, StreamQueueConfig
from acfd_stream.errors import RunnerError
from acfd_stream.metrics import Metrics
from acfd_stream.pipeline.batching import TimedDetections
from acfd_stream.pipeline.scheduler import Scheduler
from acfd_stream.pipeline.shared_engine import SharedEngine
from acfd_stream.video.picture import picture_bytes
from tests.clock import Clock
from tests.pipeline.fake_engine import WAIT_SECONDS, FakeEngine, Latch, flat_costs, picture
from tests.pipeline.shared_engines import NO_WAIT, Submit, values, waiting_in, when


def busy(scheduler: Scheduler, submit: Submit, latch: Latch) -> tuple[SharedEngine, Future[list[TimedDetections]]]:
    """The engine at work on a first picture, so that what comes now has to wait."""
    stream = scheduler.open_shared(StreamQueueConfig(in_flight=1))
    first = submit(stream, 99)
    assert latch.entered.wait(WAIT_SECONDS)
    return stream, first


def test_every_stream_gets_its_own_pictures_in_order(submit: Submit) -> None:
    with Scheduler(FakeEngine(), NO_WAIT, costs=flat_costs()) as scheduler:
        streams = [scheduler.open_shared(StreamQueueConfig.background()) for _ in range(6)]
        asked = [[10 * place + 1, 10 * place + 2, 10 * place + 3] for place in range(6)]
        answers = [submit(stream, *wanted) for stream, wanted in zip(streams, asked, strict=True)]
        assert [values(answer) for answer in answers] == asked
        assert streams[0].detect_timed([]) == []
        assert scheduler.held_bytes == 0


def test_streams_share_a_batch(submit: Submit, latch: Latch) -> None:
    engine = FakeEngine(latch)
    with Scheduler(engine, NO_WAIT, costs=flat_costs()) as scheduler:
        busy(scheduler, submit, latch)
        answers = [submit(scheduler.open_shared(), value) for value in (1, 2, 3, 4)]
        when(scheduler, lambda: waiting_in(scheduler) == 4)
        latch.opened.set()
        assert [values(answer) for answer in answers] == [[1], [2], [3], [4]]
        assert sorted(engine.batches[1]) == [1, 2, 3, 4]


def test_a_bad_picture_harms_only_its_own_stream(submit: Submit, latch: Latch) -> None:
    with Scheduler(FakeEngine(latch), NO_WAIT, costs=flat_costs()) as scheduler:
        busy(scheduler, submit, latch)
        good, bad, fine = (submit(scheduler.open_shared(), value) for value in (1, 0, 3))
        when(scheduler, lambda: waiting_in(scheduler) == 3)
        latch.opened.set()
        assert values(good) == [1]
        assert values(fine) == [3]
        with pytest.raises(ValueError, match="a black picture"):
            bad.result(WAIT_SECONDS)
        assert scheduler.is_running


def test_a_cancelled_stream_frees_its_places_at_once(submit: Submit, latch: Latch) -> None:
    engine = FakeEngine(latch)
    with Scheduler(engine, NO_WAIT, costs=flat_costs()) as scheduler:
        running, first = busy(scheduler, submit, latch)
        held = scheduler.held_bytes
        stream = scheduler.open_shared(StreamQueueConfig.background())
        answer = submit(stream, 1, 2, 3)
        when(scheduler, lambda: waiting_in(scheduler) == 3)
        stream.close()
        assert (waiting_in(scheduler), scheduler.held_bytes) == (0, held)
        running.close()  # while its picture is being looked at
        for future in (answer, first):
            with pytest.raises(RunnerError, match="is closed"):
                future.result(WAIT_SECONDS)
        with pytest.raises(RunnerError, match="is closed"):
            stream.detect_timed([picture(1)])
        latch.opened.set()
        when(scheduler, lambda: scheduler.held_bytes == 0)
    assert engine.batches == [[99]]


def test_a_stream_holds_no_more_pictures_than_it_may(submit: Submit, latch: Latch) -> None:
    with Scheduler(FakeEngine(latch), NO_WAIT, costs=flat_costs()) as scheduler:
        busy(scheduler, submit, latch)
        answer = submit(scheduler.open_shared(StreamQueueConfig(in_flight=3)), *range(1, 9))
        other = submit(scheduler.open_shared(), 50)
        when(scheduler, lambda: waiting_in(scheduler) == 4)
        latch.opened.set()
        assert values(answer) == list(range(1, 9))
        assert values(other) == [50]


def test_bytes_are_bounded_and_every_stream_may_hold_one_picture(submit: Submit, latch: Latch) -> None:
    size = picture_bytes(picture(1))
    config = replace(NO_WAIT, queue_bytes=2**20)
    room = 2**20 // size
    with Scheduler(FakeEngine(latch), config, costs=flat_costs()) as scheduler:
        busy(scheduler, submit, latch)
        greedy = submit(scheduler.open_shared(StreamQueueConfig(in_flight=64)), *[1] * 40)
        when(scheduler, lambda: scheduler.held_bytes == room * size)
        late = [submit(scheduler.open_shared(StreamQueueConfig(in_flight=64)), *[value] * 40) for value in (2, 3)]
        when(scheduler, lambda: scheduler.held_bytes == (room + 2) * size)
        latch.opened.set()
        assert [set(values(answer)) for answer in (greedy, *late)] == [{1}, {2}, {3}]
        assert scheduler.held_bytes == 0


def test_draining_looks_at_what_waits_and_takes_no_more(submit: Submit, latch: Latch) -> None:
    scheduler = Scheduler(FakeEngine(latch), NO_WAIT, costs=flat_costs())
    _, first = busy(scheduler, submit, latch)
    stream = scheduler.open_shared(StreamQueueConfig.background())
    waiting = submit(stream, 1, 2)
    when(scheduler, lambda: waiting_in(scheduler) == 2)
    with ThreadPoolExecutor(1) as closing:
        closed = closing.submit(scheduler.close)
        when(scheduler, lambda: not scheduler.is_running)
        for refused in (scheduler.open_shared, lambda: stream.detect_timed([picture(1)])):
            with pytest.raises(RunnerError, match="closed"):
                refused()
        latch.opened.set()
        closed.result(WAIT_SECONDS)
    assert values(first) == [99]
    assert values(waiting) == [1, 2]


def test_breaking_off_hangs_nobody_even_when_the_engine_does(submit: Submit, latch: Latch) -> None:
    scheduler = Scheduler(FakeEngine(latch), NO_WAIT, costs=flat_costs())
    _, first = busy(scheduler, submit, latch)
    stream = scheduler.open_shared(StreamQueueConfig(in_flight=2))
    waiting = submit(stream, 1, 2, 3)  # the third waits for room
    when(scheduler, lambda: waiting_in(scheduler) == 2)
    scheduler.close(drain=False, timeout_seconds=0.01)
    for future in (first, waiting):
        with pytest.raises(RunnerError, match="the scheduler is closed"):
            future.result(WAIT_SECONDS)
    latch.opened.set()
    scheduler.close(drain=False)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("acfd-engine")]


def test_a_fault_of_the_engines_thread_is_told_to_all(submit: Submit) -> None:
    def stop(values: list[int]) -> None:
        raise SystemExit("gone")

    with Scheduler(FakeEngine(stop), NO_WAIT, costs=flat_costs()) as scheduler:
        stream = scheduler.open_shared()
        with pytest.raises(RunnerError, match="engine thread failed: SystemExit: gone"):
            submit(stream, 1).result(WAIT_SECONDS)
        when(scheduler, lambda: not scheduler.is_running)
        with pytest.raises(RunnerError, match="an engine thread failed"):
            stream.detect_timed([picture(1)])


def test_batches_queue_and_bytes_are_counted(submit: Submit, latch: Latch) -> None:
    registry = CollectorRegistry()
    with Scheduler(FakeEngine(latch), NO_WAIT, costs=flat_costs(), metrics=Metrics(registry)) as scheduler:
        _, first = busy(scheduler, submit, latch)
        answers = [submit(scheduler.open_shared(), value) for value in (1, 2)]
        when(scheduler, lambda: waiting_in(scheduler) == 2)
        assert registry.get_sample_value("acfd_queue_depth", {"stage": "infer"}) == 2
        assert registry.get_sample_value("acfd_inflight_bytes", {"pool": "engine"}) == scheduler.held_bytes > 0
        latch.opened.set()
        assert [values(answer) for answer in (first, *answers)] == [[99], [1], [2]]
    assert registry.get_sample_value("acfd_batch_size_sum") == 3
    assert registry.get_sample_value("acfd_batch_size_count") == 2
    assert registry.get_sample_value("acfd_queue_depth", {"stage": "infer"}) == 0
    assert registry.get_sample_value("acfd_inflight_bytes", {"pool": "engine"}) == 0


def test_the_time_in_the_queue_is_part_of_the_queue_stage(submit: Submit, latch: Latch) -> None:
    ticks = iter(range(1000))
    engine = FakeEngine(latch)
    with Scheduler(engine, NO_WAIT, costs=flat_costs(), clock=lambda: float(next(ticks))) as scheduler:
        busy(scheduler, submit, latch)
        answer = submit(scheduler.open_shared(), 1)
        when(scheduler, lambda: waiting_in(scheduler) == 1)
        latch.opened.set()
        assert answer.result(WAIT_SECONDS)[0][1]["queue"] >= 1.0


def test_the_engine_has_seen_every_size_and_batch_before_it_is_ready() -> None:
    clock = Clock()

    def work(values: list[int]) -> None:
        clock.now += 0.01  # a batch of four takes no longer than one picture: it is what files get

    engine = FakeEngine(work)
    with Scheduler(engine, SchedulerConfig(warm_sizes=((96, 128), (128, 96))), clock=clock) as scheduler:
        assert {len(batch) for batch in engine.batches} == {1, 2, 3, 4}
        warmed = len(engine.batches)
        stream = scheduler.open_shared()
        stream.detect_timed([picture(7, (96, 128))])
        assert engine.batches[warmed:] == [[7]]
        stream.detect_timed([picture(7, (64, 128))])  # a size that has to be made ready first
        assert engine.batches[warmed + 1 :] == [[128], [128] * 4, [7]]


def test_an_idle_engine_notices_that_the_machine_has_changed() -> None:
    clock, speed = Clock(), 0.04

    def work(values: list[int]) -> None:
        clock.now += speed

    costs = flat_costs(0.01)
    with Scheduler(FakeEngine(work), replace(NO_WAIT, probe_seconds=0.001), costs=costs, clock=clock) as scheduler:
        when(scheduler, lambda: costs.pace > 3.5)
        speed = 0.01
        when(scheduler, lambda: costs.pace < 1.1)


def test_first_picture_behind_a_rest_is_no_measure_of_the_engine() -> None:
    clock, looks = Clock(), 0

    def work(values: list[int]) -> None:
        nonlocal looks
        clock.now += 0.01 if looks % 2 else 0.03
        looks += 1

    costs = flat_costs(0.01)
    with Scheduler(FakeEngine(work), replace(NO_WAIT, probe_seconds=0.001), costs=costs, clock=clock) as scheduler:
        when(scheduler, lambda: looks > 40)
    assert costs.pace == pytest.approx(1.0)


def test_streams_that_come_go_and_fail_at_random_leave_nothing_behind(submit: Submit) -> None:
    registry = CollectorRegistry()
    config = replace(NO_WAIT, queue_bytes=2**20)
    scheduler = Scheduler(FakeEngine(), config, costs=flat_costs(1e-4), metrics=Metrics(registry))

    def stream(seed: int) -> None:
        random = Random(seed)
        for _ in range(30):
            with scheduler.open_shared(StreamQueueConfig(in_flight=random.randint(1, 6))) as stream:
                asked = [random.choice([0, 1, 7, 7, 7]) for _ in range(random.randint(1, 9))]
                answer = submit(stream, *asked)
                if random.random() < 0.3:
                    stream.close()
                try:
                    assert values(answer) == asked
                except (RunnerError, ValueError) as error:
                    assert stream.is_closed or 0 in asked, error  # noqa: PT017  # which of the two is the point

    with ThreadPoolExecutor(8) as streams:
        list(streams.map(stream, range(8)))
    scheduler.close()  # a picture of a closed stream may still have been looked at
    assert (scheduler.held_bytes, waiting_in(scheduler)) == (0, 0)
    assert registry.get_sample_value("acfd_queue_depth", {"stage": "infer"}) == 0
    assert registry.get_sample_value("acfd_inflight_bytes", {"pool": "engine"}) == 0
