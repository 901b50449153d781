"""The sentence on top of the page says what is so: how slow, where, whose, since when."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from acfd_stream.pipeline.live import slowest_stage
from acfd_stream.service.dashboard.diagnosis import Bottleneck, Diagnosis, Level, diagnose
from acfd_stream.service.streams.registry import StreamInfo, StreamMetrics, StreamRegistry
from acfd_stream.types import DropReason, FrameResult, Mode, Outcome, Verdict

OBJECTIVE = 0.05


class Day:
    """A service whose frames are told second by second."""

    def __init__(self, streams: int = 1) -> None:
        self.now = 5000.0
        self.registry = StreamRegistry(clock=lambda: self.now)
        self.streams = [self.registry.open_stream(_card(number)) for number in range(streams)]

    def pass_by(self, seconds: int, verdict: Verdict, stream: int = 0, rate: int = 10, **timings: float) -> None:
        for _ in range(seconds):
            for _ in range(rate):
                self.streams[stream].frame(_result(verdict, timings))
            self.now += 1

    def diagnosis(self) -> Diagnosis:
        return diagnose(self.registry.history(Mode.LIVE), self.streams, OBJECTIVE)


def _card(number: int) -> StreamInfo:
    return StreamInfo(f"id{number}", f"camera {number}", Mode.LIVE, objective_seconds=OBJECTIVE)


def _result(verdict: Verdict, timings: dict[str, float]) -> FrameResult:
    if verdict.outcome is Outcome.LATE:
        verdict = replace(verdict, cause=slowest_stage(timings))
    return FrameResult(0, 0, Fraction(1, 24), 0.0, (), timings=timings, verdict=verdict)


IN_TIME = Verdict(Outcome.OK, 0.02)
LATE = Verdict(Outcome.LATE, 0.08)


def test_without_live_frames_there_is_nothing_to_say() -> None:
    assert Day().diagnosis().level is Level.IDLE


def test_frames_in_time_are_good() -> None:
    day = Day()
    day.pass_by(30, IN_TIME, infer=0.01)
    found = day.diagnosis()
    assert (found.level, found.bottleneck, found.since_seconds) == (Level.GOOD, None, None)
    assert found.detail == "300 frames in the last minute, 100 % within 50 ms; 95 % took at most 20 ms."


@pytest.mark.parametrize(
    ("stage", "bottleneck"),
    [
        ("ingest", Bottleneck.DATA),
        ("decode", Bottleneck.DECODE),
        ("queue", Bottleneck.QUEUE),
        ("infer", Bottleneck.ENGINE),
        ("track", Bottleneck.TRACK),
        ("send", Bottleneck.CLIENT),
    ],
)
def test_the_stage_that_takes_longest_is_named(stage: str, bottleneck: Bottleneck) -> None:
    day = Day()
    day.pass_by(20, LATE, **{"nms": 0.001, stage: 0.07})
    found = day.diagnosis()
    assert (found.level, found.bottleneck) == (Level.POOR, bottleneck)
    assert found.headline == "Live frames: 100 % late."


@pytest.mark.parametrize(
    ("reason", "bottleneck"), [(DropReason.QUEUE_FULL, Bottleneck.QUEUE), (DropReason.CLIENT_SLOW, Bottleneck.CLIENT)]
)
def test_drops_speak_by_their_reason(reason: DropReason, bottleneck: Bottleneck) -> None:
    day = Day()
    day.pass_by(55, IN_TIME, infer=0.01)
    day.pass_by(3, Verdict(Outcome.DROPPED, drop_reason=reason))
    found = day.diagnosis()
    assert (found.level, found.bottleneck) == (Level.FAIR, bottleneck)
    assert found.headline == "Live frames: 5.2 % dropped."


def test_it_says_since_when() -> None:
    day = Day()
    day.pass_by(120, IN_TIME, infer=0.01)
    day.pass_by(50, LATE, queue=0.06)
    since = day.diagnosis().since_seconds
    assert since is not None
    assert 50 <= since <= 54
    assert not day.diagnosis().is_older


def test_it_says_when_it_began_before_what_is_remembered() -> None:
    day = Day()
    day.pass_by(320, LATE, rate=1, queue=0.06)
    assert day.diagnosis().is_older


def test_one_stream_that_has_most_of_it_is_named() -> None:
    day = Day(streams=3)
    for stream in (0, 1):
        day.pass_by(10, IN_TIME, stream, infer=0.01)
    day.pass_by(10, LATE, 2, decode=0.07)
    found = day.diagnosis()
    assert found.stream_id == "id2"
    assert "Most of these frames belong to “camera 2”." in found.detail


def test_what_all_streams_share_is_nobodys() -> None:
    day = Day(streams=3)
    for stream in range(3):
        day.pass_by(10, LATE, stream, queue=0.07)
    found = day.diagnosis()
    assert found.stream_id is None
    assert "spread over 3 streams" in found.detail


def test_a_slow_time_that_is_over_is_forgotten_after_a_minute() -> None:
    day = Day()
    day.pass_by(30, LATE, queue=0.06)
    day.pass_by(66, IN_TIME, infer=0.01)
    assert day.diagnosis().level is Level.GOOD
    meter: StreamMetrics = day.streams[0]
    assert meter.history.total().outcomes[Outcome.LATE] == 300
