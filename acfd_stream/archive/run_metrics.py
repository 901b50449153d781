"""The Prometheus metrics of an archive run. A test compares their names with docs/metrics.md."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from acfd_stream.archive.records import EpisodeStatus
from acfd_stream.archive.run_progress import RunSnapshot
from acfd_stream.recording.task import RecordingState
from acfd_stream.types import Gap

_ATTEMPTS = (*(state.value for state in RecordingState), "lost")


class ArchiveMetrics:
    """The metrics of one run; every series exists from the beginning.

    Args:
        registry: what is scraped; None: a new one.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # doubles every counter, and nothing reads it
        self.registry = registry if registry is not None else CollectorRegistry()
        own = self.registry
        episodes = Gauge("acfd_archive_episodes", "Videos by state", ("state",), registry=own)
        self._episodes = {state: episodes.labels(state.value) for state in EpisodeStatus}
        attempts = Counter("acfd_archive_attempts", "Tries that ended, by how", ("outcome",), registry=own)
        self._attempts = {outcome: attempts.labels(outcome) for outcome in _ATTEMPTS}
        self._frames = Counter("acfd_archive_frames", "Frames tracked", registry=own)
        self._video = Counter("acfd_archive_video_seconds", "Video of episodes that are done", registry=own)
        self._gaps = Counter("acfd_archive_gaps", "Holes in the video of episodes that are done", registry=own)
        self._missing = Counter("acfd_archive_missing_seconds", "Video that is missing in holes", registry=own)
        self._workers = Gauge("acfd_archive_workers", "Workers that the run has", registry=own)
        self._paused = Gauge("acfd_archive_paused", "1 while the run waits for room or for the manifest", registry=own)
        self._busy = Gauge("acfd_archive_workers_busy", "Workers that are at an episode", registry=own)

    def frames(self, count: int) -> None:
        """Count frames that were tracked."""
        self._frames.inc(count)

    def video_seconds(self, seconds: float) -> None:
        """Count the video of an episode that is done."""
        self._video.inc(seconds)

    def gaps(self, gaps: Sequence[Gap]) -> None:
        """Count the holes of an episode that is done."""
        self._gaps.inc(len(gaps))
        self._missing.inc(sum(gap.missing_seconds for gap in gaps))

    def attempt(self, outcome: str) -> None:
        """Count a try that ended: a value of ``RecordingState``, or "lost"."""
        self._attempts[outcome].inc()

    def show(self, snapshot: RunSnapshot) -> None:
        """Set the gauges."""
        for state, count in snapshot.counts.items():
            self._episodes[state].set(count)
        self._workers.set(snapshot.workers)
        self._busy.set(len(snapshot.at_work))
        self._paused.set(bool(snapshot.pause))
