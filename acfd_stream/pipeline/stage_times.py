"""Where the time of a stream's frames went: a summary a stage, in memory that does not grow.

Times go into buckets that widen by 2 %, so a percentile is true to 1 % however long the stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acfd_stream.errors import ConfigError

STAGES = ("ingest", "decode", "queue", "preprocess", "infer", "decode_boxes", "nms", "track", "encode", "send")
"""In the order in which a frame meets them."""
_SHORTEST_SECONDS = 1e-6
_GROWTH = 1.02
_BUCKETS = math.ceil(math.log(1e9) / math.log(_GROWTH))  # up to 1000 s; longer counts as that


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
    """Seconds in buckets that widen by 2 %, from a microsecond to 1000 s."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BUCKETS, np.int64)
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        place = math.log(max(seconds, _SHORTEST_SECONDS) / _SHORTEST_SECONDS) / math.log(_GROWTH)
        self.counts[min(int(place), _BUCKETS - 1)] += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def percentile(self, share: float) -> float:
        """Middle of the bucket that holds the smallest time with ``share`` of all at or below it."""
        rank = math.ceil(share * int(self.counts.sum()))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return float(min(_SHORTEST_SECONDS * _GROWTH ** (bucket + 0.5), self.longest))


class StageTimes:
    """Stage times of the frames of a stream; ``stages`` may name others than ``STAGES``."""

    def __init__(self, stages: Sequence[str] = STAGES) -> None:
        self._stages = {stage: LogHistogram() for stage in stages}

    def add(self, timings: Mapping[str, float]) -> None:
        """Enter one frame's stage → seconds; a stage it did not meet is left out.

        Raises:
            ConfigError: a stage is not one of the ledger's.
        """
        for stage, seconds in timings.items():
            if stage not in self._stages:
                raise ConfigError(f"stage must be one of {', '.join(self._stages)}, got {stage!r}")
            self._stages[stage].add(seconds)

    def summary(self) -> dict[str, StageSummary]:
        """Stage → its times, in their order; stages that no frame met are left out."""
        return {stage: _summed(times) for stage, times in self._stages.items() if times.counts.any()}


def _summed(times: LogHistogram) -> StageSummary:
    count = int(times.counts.sum())
    shares = [times.percentile(share) for share in (0.5, 0.95, 0.99)]
    return StageSummary(count, times.total / count, shares[0], shares[1], shares[2], times.longest)
