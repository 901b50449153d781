"""Who is next, told from the rules alone: no thread, and time is an argument."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from acfd_stream.config import SchedulerConfig, StreamQueueConfig
from acfd_stream.pipeline.batching import BatchQueue, QueuedPicture, StreamQueue
from tests.pipeline.fake_engine import flat_costs, picture

PICTURE = picture(1)


def backlog(batch: int = 4, **config: float) -> BatchQueue:
    return BatchQueue(flat_costs(), SchedulerConfig(**config), batch)  # type: ignore[arg-type]


def come(rules: BatchQueue, stream: StreamQueue, now: float, count: int = 1) -> None:
    seconds = stream.config.deadline_seconds
    for _ in range(count):
        rules.add(stream, QueuedPicture(PICTURE, 0.01, 1, now, math.inf if seconds is None else now + seconds))


def run(rules: BatchQueue, now: float) -> list[StreamQueue]:
    """The streams of the batch that leaves now, which is done at once."""
    batch, _ = rules.next_batch(now)
    for stream, _ in batch:
        stream.running -= 1
    return [stream for stream, _ in batch]


def test_a_lone_stream_waits_for_nobody() -> None:
    rules = backlog(wait_share=1.0)
    stream = rules.open_stream(StreamQueueConfig(), 0.0)
    rules.open_stream(StreamQueueConfig(), 0.0)  # from which nothing ever came
    for frame in range(5):
        come(rules, stream, frame / 24)
        assert run(rules, frame / 24) == [stream]


def test_a_batch_waits_for_a_stream_whose_picture_is_about_to_come() -> None:
    rules = backlog(wait_share=0.25)
    first, second = (rules.open_stream(StreamQueueConfig(deadline_seconds=0.04), 0.0) for _ in range(2))
    for frame in range(3):
        come(rules, first, frame / 25)
        come(rules, second, frame / 25 + 0.004)
        assert len(run(rules, frame / 25 + 0.004)) == 2
    come(rules, first, 0.12)
    batch, ask_again = rules.next_batch(0.12)
    assert not batch
    assert 0.124 <= ask_again <= 0.13
    come(rules, second, 0.1245)
    assert run(rules, 0.1245) == [first, second]


def test_what_does_not_come_is_waited_for_no_longer_than_it_saves() -> None:
    rules = backlog(wait_share=1.0)
    first, second = (rules.open_stream(StreamQueueConfig(deadline_seconds=0.04), 0.0) for _ in range(2))
    for frame in range(3):
        come(rules, first, frame / 25)
        come(rules, second, frame / 25 + 0.004)
        run(rules, frame / 25 + 0.004)
    come(rules, first, 0.12)
    _, ask_again = rules.next_batch(0.12)
    saved = 0.01 + 0.01 - 2 * 0.01 * 0.6
    assert ask_again <= 0.12 + saved
    assert run(rules, ask_again) == [first]
    come(rules, first, 0.16)
    assert run(rules, 0.16) == [first]  # the other one has stopped: not waited for again


def test_batches_go_by_priority_then_by_deadline() -> None:
    rules = backlog(batch=1)
    late, soon, urgent = (
        rules.open_stream(StreamQueueConfig(priority=priority, deadline_seconds=seconds), 0.0)
        for priority, seconds in ((1, 0.08), (1, 0.03), (0, 0.5))
    )
    for stream in (late, soon, urgent):
        come(rules, stream, 1.0)
    assert [run(rules, 1.0)[0] for _ in range(3)] == [urgent, soon, late]


def test_one_stream_takes_no_more_of_a_batch_than_its_share() -> None:
    rules = backlog()
    greedy = rules.open_stream(StreamQueueConfig(batch_share=2), 0.0)
    come(rules, greedy, 0.0, count=8)
    assert run(rules, 0.0) == [greedy, greedy]


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_greedy_stream_harms_no_other(batch: int) -> None:
    """Three streams with a picture every 25 ms, and one that always has eight waiting, on an engine at its limit."""
    rules = backlog(batch=batch)
    greedy, *others = (rules.open_stream(StreamQueueConfig(deadline_seconds=0.04), 0.0) for _ in range(4))
    due = dict.fromkeys(others, 0.0)
    now, longest, served = 0.0, 0.0, Counter[StreamQueue]()
    while now < 5.0:
        come(rules, greedy, now, count=8 - len(greedy.waiting))
        for stream in others:
            while due[stream] <= now:
                come(rules, stream, due[stream])
                due[stream] += 0.05 if batch == 1 else 0.025
        picked, ask_again = rules.next_batch(now)
        now = now + rules.costs.batch_seconds(0.01 * len(picked), len(picked)) if picked else ask_again
        for stream, queued in picked:
            stream.running -= 1
            served[stream] += 1
            longest = max(longest, now - queued.arrived if stream is not greedy else 0.0)
    assert longest <= 0.06
    assert min(served[stream] for stream in others) >= 0.95 * 5.0 / (0.05 if batch == 1 else 0.025)
    assert served[greedy] > 5.0 / 0.05  # what is left is its own


def test_a_file_gets_its_turn_though_live_streams_fill_the_engine() -> None:
    rules = backlog(batch=1, ageing_seconds=0.5)
    file = rules.open_stream(StreamQueueConfig.background(), 0.0)
    live = [rules.open_stream(StreamQueueConfig(), 0.0) for _ in range(3)]
    come(rules, file, 0.0, count=8)
    served = [0.0]
    for step in range(1000):
        now = step * 0.01
        for stream in live:
            come(rules, stream, now, count=1 - len(stream.waiting))
        if file in run(rules, now):
            served.append(now)
            come(rules, file, now)
    assert np.diff(served).max() <= 0.5 + 0.02
    assert len(served) <= 1 + 10.0 / 0.5  # and no more than that


@pytest.mark.parametrize("files", [1, 4])
def test_no_file_goes_before_a_live_stream_by_priority(files: int) -> None:
    rules = backlog(batch=1)
    streams = [rules.open_stream(StreamQueueConfig(priority=0, deadline_seconds=None), 0.0) for _ in range(files)]
    live = rules.open_stream(StreamQueueConfig(priority=9), 0.0)
    for stream in (*streams, live):
        come(rules, stream, 0.0)
    assert [run(rules, 0.0)[0] for _ in range(2)] == [live, streams[0]]


def test_files_that_have_waited_come_one_after_the_other() -> None:
    """Not all at once, when four of them have waited for a second: live pictures would be late."""
    rules = backlog(batch=1)
    files = [rules.open_stream(StreamQueueConfig.background(), 0.0) for _ in range(4)]
    live = rules.open_stream(StreamQueueConfig(), 0.0)
    for stream in files:
        come(rules, stream, 0.0, count=8)
    served = []
    for step in range(400):
        come(rules, live, step * 0.01, count=1 - len(live.waiting))
        served += [(step, stream) for stream in run(rules, step * 0.01) if stream is not live]
    assert np.diff([step for step, _ in served]).min() >= 20
    assert Counter(stream for _, stream in served) == dict.fromkeys(files, 3)


def test_a_file_holds_up_a_live_stream_for_a_short_batch_only() -> None:
    rules = backlog(background_share=0.3)
    file = rules.open_stream(StreamQueueConfig.background(), 0.0)
    come(rules, file, 0.0, count=8)
    assert run(rules, 0.0) == [file] * 4
    rules.open_stream(StreamQueueConfig(deadline_seconds=0.05), 0.0)
    assert run(rules, 0.0) == [file] * 3  # 15 ms of work
    assert rules.costs.batch_seconds(0.03, 3) <= 0.3 * 0.05


def test_a_batch_ends_before_its_earliest_deadline() -> None:
    rules = backlog()
    streams = [
        rules.open_stream(StreamQueueConfig(deadline_seconds=seconds), 0.0) for seconds in (0.0125, 0.1, 0.1, 0.1)
    ]
    for stream in streams:
        come(rules, stream, 0.0)
    assert run(rules, 0.0) == streams[:2]
    assert run(rules, 0.0) == streams[2:]


def test_what_is_late_anyway_holds_no_batch_small() -> None:
    rules = backlog()
    streams = [
        rules.open_stream(StreamQueueConfig(deadline_seconds=seconds), 0.0) for seconds in (0.001, 0.1, 0.1, 0.1)
    ]
    for stream in streams:
        come(rules, stream, 0.0)
    assert run(rules, 0.0) == streams


def test_batches_are_no_larger_than_makes_them_cheaper() -> None:
    rules = BatchQueue(flat_costs(batches=(1.0, 0.55, 0.54, 0.54)), SchedulerConfig(), 4)
    assert rules.most == 2


def test_what_is_in_a_hurry_goes_alone_where_batches_hardly_pay_and_files_together() -> None:
    rules = BatchQueue(
        flat_costs(batches=(1.0, 0.85, 0.86, 0.84)), SchedulerConfig(), 4
    )  # threads that share a picture
    live = [rules.open_stream(StreamQueueConfig(), 0.0) for _ in range(2)]
    for stream in live:
        come(rules, stream, 0.0)
    assert [run(rules, 0.0), run(rules, 0.0)] == [[live[0]], [live[1]]]
    for stream in live:
        rules.close_stream(stream)
    file = rules.open_stream(StreamQueueConfig.background(), 0.1)
    come(rules, file, 0.1, count=4)
    assert run(rules, 0.1) == [file, file]


def test_a_closed_lane_leaves_nothing_behind() -> None:
    rules = backlog()
    stream = rules.open_stream(StreamQueueConfig(), 0.0)
    come(rules, stream, 0.0, count=3)
    assert len(rules.close_stream(stream)) == 3
    assert rules.next_batch(0.0) == ([], math.inf)
    assert rules.waiting == 0
