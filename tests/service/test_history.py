"""What is remembered of the last minutes: exact counts, near percentiles, and no more memory than that."""

from __future__ import annotations

from fractions import Fraction

import pytest

from acfd_stream.service.streams.history import History
from acfd_stream.service.streams.stream import with_send_time
from acfd_stream.types import DropReason, FrameResult, Outcome, Stage, Verdict
from tests.clock import Clock


@pytest.fixture
def history(clock: Clock) -> History:
    return History(step_seconds=2.0, steps=10, clock=clock)


def test_goodput_counts_lost_frames_as_missed(history: History) -> None:
    for _ in range(6):
        history.answered(Verdict(Outcome.OK, 0.02), {})
    history.answered(Verdict(Outcome.LATE, 0.08, "queue"), {"queue": 0.06, "infer": 0.02})
    history.lost(Outcome.DROPPED, 2, DropReason.STALE)
    history.lost(Outcome.FAILED)
    recent = history.recent(10)
    assert recent.goodput == 0.6
    assert (recent.frames, recent.answered, recent.missed) == (10, 7, 4)
    assert recent.causes == {Stage.QUEUE: 1}
    assert recent.drops == {DropReason.STALE: 2}


def test_the_cause_of_a_late_frame_is_that_of_its_verdict(history: History) -> None:
    history.answered(Verdict(Outcome.LATE, 0.08, "infer"), {"decode": 0.05, "infer": 0.03})
    assert history.recent(10).causes == {Stage.INFER: 1}


@pytest.mark.parametrize(("send_seconds", "cause"), [(0.01, "infer"), (0.09, "send")])
def test_the_cause_of_a_late_frame_is_known_once_it_is_sent(send_seconds: float, cause: str) -> None:
    late = FrameResult(
        0, 0, Fraction(1), 0.0, (), timings={"infer": 0.06}, verdict=Verdict(Outcome.LATE, 0.08, "infer")
    )
    sent = with_send_time(late, send_seconds)
    assert (sent.verdict, sent.timings["send"]) == (Verdict(Outcome.LATE, 0.08, cause), send_seconds)


def test_percentiles_are_near_the_true_ones(history: History) -> None:
    for milliseconds in range(1, 101):
        history.answered(Verdict(Outcome.OK, milliseconds / 1000), {})
    recent = history.recent(10)
    for share in (0.5, 0.95, 0.99):
        assert recent.latency(share) == pytest.approx(share / 10, rel=0.05)


def test_without_frames_there_is_neither_goodput_nor_latency(history: History) -> None:
    recent = history.recent(10)
    assert (recent.goodput, recent.latency(0.5), recent.stage_means()) == (None, None, {})


def test_stages_are_means_over_answered_frames_in_their_order(history: History) -> None:
    history.answered(Verdict(Outcome.OK, 0.02), {"infer": 0.010, "decode": 0.004})
    history.answered(Verdict(Outcome.OK, 0.02), {"infer": 0.020})
    assert list(history.recent(10).stage_means().items()) == [(Stage.DECODE, 0.002), (Stage.INFER, 0.015)]


def test_what_is_older_than_the_ring_is_forgotten(history: History, clock: Clock) -> None:
    history.answered(Verdict(Outcome.OK, 0.02), {})
    clock.now += 20
    history.lost(Outcome.FAILED)
    clock.now += 2
    assert [step.frames for step in history.series()] == [0] * 8 + [1]
    assert history.total().outcomes == {Outcome.OK: 1, Outcome.FAILED: 1}


def test_memory_does_not_grow_with_time(history: History, clock: Clock) -> None:
    for _ in range(1000):
        history.answered(Verdict(Outcome.OK, 0.02), {"infer": 0.01})
        clock.now += 2
        assert len(history.series()) == 9
    assert len(history._ring) <= 10
    assert len(history._summed) <= 10


def test_the_rate_of_a_young_stream_is_not_diluted(clock: Clock) -> None:
    young = History(step_seconds=2.0, steps=10, clock=clock)
    for _ in range(48):
        young.answered(Verdict(Outcome.OK, 0.02), {})
    clock.now += 2
    assert young.rate(10) == pytest.approx(24)
    clock.now += 8
    assert young.rate(10) == pytest.approx(4.8)


def test_what_is_read_is_not_what_is_written_to(history: History) -> None:
    before = history.recent(10)
    history.answered(Verdict(Outcome.OK, 0.02), {})
    assert before.frames == 0
    assert history.recent(10).frames == 1


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e9])
def test_odd_times_find_a_bucket(history: History, seconds: float) -> None:
    history.answered(Verdict(Outcome.LATE, seconds), {})
    latency = history.recent(10).latency(0.99)
    assert latency is not None
    assert 0 <= latency < 1100  # the last bucket holds all above 1000 s
