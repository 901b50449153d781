"""How frames fared over the last minutes: a ring of time steps in memory that does not grow.

Latencies go into buckets that widen by 10 %, so a percentile is true to 5 %; whether a frame kept its objective is
counted by itself and exact.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from acfd_stream.types import DropReason, Outcome, Stage

_SHORTEST_SECONDS = 0.0005
_GROWTH = 1.1
_LAST_BUCKET = math.ceil(math.log(120_000) / math.log(_GROWTH))  # 60 s; longer counts as that
_STAGES = tuple(Stage)
PERCENTILES = (50, 95, 99)


@dataclass(slots=True)
class WindowStats:
    """What happened to frames in some span of time."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)  # bucket → frames
    stage_seconds: dict[Stage, float] = field(default_factory=dict)
    causes: Counter[Stage] = field(default_factory=Counter)  # of late frames the stage that took longest
    drops: Counter[DropReason] = field(default_factory=Counter)
    reused: int = 0

    @property
    def answered(self) -> int:
        """Frames whose answer went out."""
        return self.outcomes[Outcome.OK] + self.outcomes[Outcome.LATE]

    @property
    def frames(self) -> int:
        """All of them."""
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
        """Seconds that ``share`` of the answered frames took at most; None without frames."""
        rank = share * self.latencies.total()
        for bucket in sorted(self.latencies):
            count = self.latencies[bucket]
            if rank <= count:
                return _SHORTEST_SECONDS * float(_GROWTH ** (bucket + rank / count))
            rank -= count
        return None

    def stage_means(self) -> dict[Stage, float]:
        """Stage → mean seconds of an answered frame, in the order of ``Stage``."""
        count = max(1, self.answered)
        return {stage: self.stage_seconds[stage] / count for stage in _STAGES if stage in self.stage_seconds}

    def add(self, other: WindowStats) -> None:
        """Take in what ``other`` has counted."""
        self.outcomes.update(other.outcomes)
        self.latencies.update(other.latencies)
        self.causes.update(other.causes)
        self.drops.update(other.drops)
        self.reused += other.reused
        for stage, seconds in other.stage_seconds.items():
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds


@dataclass(frozen=True)
class StepSummary:
    """What a step that is over comes down to. Times are seconds; None: no frames."""

    frames: int = 0
    answered: int = 0
    dropped: int = 0
    goodput: float | None = None
    latencies: tuple[float | None, ...] = (None,) * len(PERCENTILES)
    stage_means: Mapping[Stage, float] = field(default_factory=dict)

    @classmethod
    def of(cls, stats: WindowStats) -> StepSummary:
        """The sum of ``stats``."""
        latencies = tuple(stats.latency(share / 100) for share in PERCENTILES)
        dropped = stats.outcomes[Outcome.DROPPED]
        return cls(stats.frames, stats.answered, dropped, stats.goodput, latencies, stats.stage_means())


_EMPTY = StepSummary()


class History:
    """Tallies of consecutive time steps; safe to use from any thread.

    Args:
        step_seconds: length of a step.
        steps: how many are remembered.
        clock: seconds that never go back.
    """

    def __init__(self, step_seconds: float = 2.0, steps: int = 150, clock: Callable[[], float] = time.monotonic):
        self.step_seconds = step_seconds
        self.steps = steps
        self._clock = clock
        self._began_at = clock()
        self._lock = threading.Lock()
        self._total = WindowStats()
        self._summed: dict[int, StepSummary] = {}  # of the steps that are over, once somebody asked
        self._ring: dict[int, WindowStats] = {}  # by number of the step; empty steps are missing

    def answered(
        self, outcome: Outcome, latency_seconds: float, timings: Mapping[str, float], *, is_reused: bool = False
    ) -> None:
        """Enter an answered frame: its verdict, its time, stage → seconds."""
        place = math.log(max(latency_seconds, _SHORTEST_SECONDS) / _SHORTEST_SECONDS) / math.log(_GROWTH)
        bucket = min(int(place), _LAST_BUCKET)
        with self._lock:
            self._total.outcomes[outcome] += 1
            self._total.reused += is_reused
            stats = self._current()
            stats.outcomes[outcome] += 1
            stats.latencies[bucket] += 1
            stats.reused += is_reused
            for name, seconds in timings.items():
                stage = Stage(name)
                stats.stage_seconds[stage] = stats.stage_seconds.get(stage, 0.0) + seconds
            if outcome is Outcome.LATE and timings:
                stats.causes[Stage(max(timings, key=timings.__getitem__))] += 1

    def lost(self, outcome: Outcome, count: int = 1, reason: DropReason | None = None) -> None:
        """Enter frames that were dropped, with the reason, or failed."""
        with self._lock:
            for stats in (self._current(), self._total):
                stats.outcomes[outcome] += count
                if reason is not None:
                    stats.drops[reason] += count

    def series(self) -> list[StepSummary]:
        """Every remembered step that is over, the latest last; each is summed up once, however often one asks."""
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
        """Outcomes, drops and reused frames since the beginning; times are those of the remembered steps only."""
        with self._lock:
            return _sum([self._total])

    def recent(self, seconds: float) -> WindowStats:
        """What happened in the last ``seconds`` and in the step that is running."""
        with self._lock:
            last = self._number()
            numbers = range(last - self._whole_steps(seconds), last + 1)
            return _sum(self._ring[number] for number in numbers if number in self._ring)

    def rate(self, seconds: float) -> float:
        """Frames a second lately: over the last ``seconds``, or since the beginning where that is less ago."""
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
