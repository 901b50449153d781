"""Counts and latencies of the last minutes, per time step, in a ring of bounded memory.

Latency percentiles come from a histogram whose buckets widen by 10 %. Counts, and so the share of frames in time, are
exact.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from acfd_stream.pipeline.stage_times import LogHistogram
from acfd_stream.types import DropReason, Outcome, Stage, Verdict

PERCENTILES = (50, 95, 99)


def _latencies() -> LogHistogram:
    return LogHistogram(growth=1.1)  # many are kept: one per step and stream


@dataclass(slots=True)
class WindowStats:
    """What happened to the frames of a span of time."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latencies: LogHistogram = field(default_factory=_latencies)  # of answered frames
    stage_seconds: defaultdict[Stage, float] = field(default_factory=lambda: defaultdict(float))  # of answered frames
    causes: Counter[Stage] = field(default_factory=Counter)  # late frames by the stage that took longest
    drops: Counter[DropReason] = field(default_factory=Counter)
    reused: int = 0

    @property
    def answered(self) -> int:
        """Frames that were answered, in time or late."""
        return self.outcomes[Outcome.OK] + self.outcomes[Outcome.LATE]

    @property
    def frames(self) -> int:
        """All frames, dropped and failed ones included."""
        return self.outcomes.total()

    @property
    def missed(self) -> int:
        """Frames that were not answered in time."""
        return self.frames - self.outcomes[Outcome.OK]

    @property
    def goodput(self) -> float | None:
        """Share of frames answered in time; None without frames."""
        return self.outcomes[Outcome.OK] / self.frames if self.frames else None

    def latency(self, share: float) -> float | None:
        """Seconds that ``share`` of the answered frames did not exceed; None without frames."""
        return self.latencies.percentile(share)

    def stage_means(self) -> dict[Stage, float]:
        """Stage → mean seconds per answered frame, in the order of ``Stage``."""
        count = max(1, self.answered)
        return {stage: self.stage_seconds[stage] / count for stage in Stage if stage in self.stage_seconds}

    def add(self, other: WindowStats) -> None:
        """Add the counts of ``other``."""
        self.outcomes.update(other.outcomes)
        self.latencies.merge(other.latencies)
        self.causes.update(other.causes)
        self.drops.update(other.drops)
        self.reused += other.reused
        for stage, seconds in other.stage_seconds.items():
            self.stage_seconds[stage] += seconds


@dataclass(frozen=True)
class StepSummary:
    """Figures of a step that is over. Times are seconds; None: no frames."""

    frames: int = 0
    answered: int = 0
    dropped: int = 0
    goodput: float | None = None
    latencies: tuple[float | None, ...] = (None,) * len(PERCENTILES)
    stage_means: Mapping[Stage, float] = field(default_factory=dict)

    @classmethod
    def of(cls, stats: WindowStats) -> StepSummary:
        """The summary of ``stats``."""
        latencies = tuple(stats.latency(share / 100) for share in PERCENTILES)
        dropped = stats.outcomes[Outcome.DROPPED]
        return cls(stats.frames, stats.answered, dropped, stats.goodput, latencies, stats.stage_means())


_EMPTY = StepSummary()


class History:
    """Statistics of consecutive time steps; safe to use from any thread.

    Args:
        step_seconds: length of a step.
        steps: how many are kept.
        clock: seconds that never decrease.
    """

    def __init__(self, step_seconds: float = 2.0, steps: int = 150, clock: Callable[[], float] = time.monotonic):
        self.step_seconds = step_seconds
        self.steps = steps
        self._clock = clock
        self._began_at = clock()
        self._lock = threading.Lock()
        self._total = WindowStats()
        self._summed: dict[int, StepSummary] = {}  # of steps that are over; filled on request
        self._ring: dict[int, WindowStats] = {}  # by number of the step; empty steps are missing

    def answered(self, verdict: Verdict, timings: Mapping[str, float], *, is_reused: bool = False) -> None:
        """Count an answered frame, with its stage → seconds."""
        with self._lock:
            self._total.outcomes[verdict.outcome] += 1
            self._total.reused += is_reused
            stats = self._current()
            stats.outcomes[verdict.outcome] += 1
            stats.latencies.add(verdict.latency_seconds or 0.0)
            stats.reused += is_reused
            for name, seconds in timings.items():
                stats.stage_seconds[Stage(name)] += seconds
            if verdict.cause is not None:
                stats.causes[Stage(verdict.cause)] += 1

    def lost(self, outcome: Outcome, count: int = 1, reason: DropReason | None = None) -> None:
        """Count frames that were dropped, for a reason, or failed."""
        with self._lock:
            for stats in (self._current(), self._total):
                stats.outcomes[outcome] += count
                if reason is not None:
                    stats.drops[reason] += count

    def series(self) -> list[StepSummary]:
        """All steps that are over, the latest last; each is summarised once."""
        with self._lock:
            running = self._number()
            return [self._sum_of(number) for number in range(running - self.steps + 1, running)]

    def _sum_of(self, number: int) -> StepSummary:
        if number not in self._ring:
            return _EMPTY
        if number not in self._summed:
            self._summed[number] = StepSummary.of(self._ring[number])
        return self._summed[number]

    def total(self) -> WindowStats:
        """Outcomes, drops and reused frames since the start, without times."""
        with self._lock:
            return _sum([self._total])

    def recent(self, seconds: float) -> WindowStats:
        """Statistics of the last ``seconds`` and of the current step."""
        with self._lock:
            last = self._number()
            numbers = range(last - self._whole_steps(seconds), last + 1)
            return _sum(self._ring[number] for number in numbers if number in self._ring)

    def rate(self, seconds: float) -> float:
        """Frames per second over the last ``seconds``, or since the start if that is more recent."""
        now = self._clock()
        span = self._whole_steps(seconds) * self.step_seconds + now % self.step_seconds
        return self.recent(seconds).frames / max(min(span, now - self._began_at), 1.0)

    def _whole_steps(self, seconds: float) -> int:
        return max(1, round(seconds / self.step_seconds))

    def _number(self) -> int:
        return int(self._clock() // self.step_seconds)

    def _current(self) -> WindowStats:
        number = self._number()
        if number not in self._ring:
            for old in [known for known in self._ring if known <= number - self.steps]:
                del self._ring[old]
                self._summed.pop(old, None)
            self._ring[number] = WindowStats()
        return self._ring[number]


def _sum(parts: Iterable[WindowStats]) -> WindowStats:
    total = WindowStats()
    for stats in parts:
        total.add(stats)
    return total
