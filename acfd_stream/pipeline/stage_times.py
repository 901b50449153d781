"""Times of a stream's frames per stage, summarised in histograms of bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acfd_stream.errors import ConfigError
from acfd_stream.types import Stage

STAGES = tuple(stage.value for stage in Stage)
_SHORTEST_SECONDS = 1e-6
_LONGEST_SECONDS = 1e3


@dataclass(frozen=True, slots=True)
class StageSummary:
    """Times of one stage over all frames, seconds."""

    count: int
    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    longest_seconds: float


class LogHistogram:
    """Counts of seconds in buckets that widen by ``growth``, from a microsecond to 1000 s.

    A percentile is within ``growth`` of the true one, and near it where a bucket holds many. Memory is bounded.
    """

    __slots__ = ("_counts", "_log_growth", "count", "longest", "total")

    def __init__(self, growth: float = 1.02) -> None:
        self._log_growth = math.log(growth)
        self._counts: Counter[int] = Counter()  # by bucket
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one time; shorter and longer ones than the buckets count in the first or last."""
        in_range = min(max(seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        self._counts[int(math.log(in_range / _SHORTEST_SECONDS) / self._log_growth)] += 1
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def merge(self, other: LogHistogram) -> None:
        """Add the counts of ``other``, which has the same buckets."""
        self._counts.update(other._counts)
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)

    def percentile(self, share: float) -> float | None:
        """Seconds that ``share`` of the times do not exceed, by position within the bucket; None without times."""
        rank = max(1, math.ceil(share * self.count)) - 0.5
        for bucket in sorted(self._counts):
            if rank <= self._counts[bucket]:
                position = bucket + rank / self._counts[bucket]
                return min(_SHORTEST_SECONDS * math.exp(position * self._log_growth), self.longest)
            rank -= self._counts[bucket]
        return None


class StageTimes:
    """Stage times of the frames of a stream; ``stages`` may name others than ``STAGES``."""

    def __init__(self, stages: Sequence[str] = STAGES) -> None:
        self._stages = {stage: LogHistogram() for stage in stages}

    def add(self, timings: Mapping[str, float]) -> None:
        """Enter one frame's stage → seconds; a stage it did not meet is left out.

        Raises:
            ConfigError: a stage is not one of these.
        """
        for stage, seconds in timings.items():
            if stage not in self._stages:
                raise ConfigError(f"stage must be one of {', '.join(self._stages)}, got {stage!r}")
            self._stages[stage].add(seconds)

    def summary(self) -> dict[str, StageSummary]:
        """Stage → its times, in their order; stages that no frame met are left out."""
        return {stage: _summed(times) for stage, times in self._stages.items() if times.count}


def _summed(times: LogHistogram) -> StageSummary:
    p50, p95, p99 = (times.percentile(share) or 0.0 for share in (0.5, 0.95, 0.99))
    return StageSummary(times.count, times.total / times.count, p50, p95, p99, times.longest)
