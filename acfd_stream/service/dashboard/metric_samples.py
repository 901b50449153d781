"""Gauges and counters of the last minutes: a ring of samples of the metrics."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from acfd_stream.metrics import Metrics

STEP_SECONDS = 2.0
STEPS = 150
_NAMES = (
    "acfd_capacity_headroom_ratio",
    "acfd_queue_depth",
    "acfd_inflight_bytes",
    "acfd_admission_rejected_total",
    "acfd_decode_errors_total",
    "acfd_jobs_waiting",
    "acfd_batch_size_sum",
    "acfd_batch_size_count",
)
LOAD = "load"
"""Key of a sample for the runnable tasks per core of the whole machine."""
Sample = dict[str, float]


def machine_load() -> float:
    """Runnable tasks per core in the last minute, other programs included."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


class Samples:
    """Samples of the metrics at each of the last steps; one thread takes them, any may read."""

    def __init__(self, metrics: Metrics, load: Callable[[], float] = machine_load) -> None:
        self._load = load
        self._registry = metrics.registry.restricted_registry(_NAMES)
        self._ring: deque[Sample] = deque(maxlen=STEPS)

    def take(self) -> None:
        """Store a sample of the current values."""
        self._ring.append(self.now())

    def now(self) -> Sample:
        """Current values: name → sum over labels, and ``name{value}`` for each value of a single label."""
        sample: Sample = dict.fromkeys(_NAMES, 0.0)
        sample[LOAD] = self._load()
        for family in self._registry.collect():
            for entry in family.samples:
                if entry.name not in sample:
                    continue
                sample[entry.name] += entry.value
                if len(entry.labels) == 1:
                    sample[f"{entry.name}{{{next(iter(entry.labels.values()))}}}"] = entry.value
        return sample

    def series(self, name: str) -> list[float | None]:
        """One value per step, the latest last; None for steps without a sample."""
        values: list[float | None] = [sample.get(name) for sample in list(self._ring)]
        return [None] * (STEPS - len(values)) + values

    def growth(self, name: str, seconds: float) -> float:
        """Increase of a counter in the last ``seconds``."""
        ring = list(self._ring)
        steps = max(1, round(seconds / STEP_SECONDS))
        before = ring[-steps - 1] if len(ring) > steps else ring[0] if ring else None
        return self.now()[name] - before[name] if before is not None else 0.0
