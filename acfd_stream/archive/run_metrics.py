"""What an archive run counts, for Prometheus. The names stand in docs/metrics.md, and a test compares the two."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from acfd_stream.archive.records import EpisodeRowState
from acfd_stream.archive.run_progress import View
from acfd_stream.recording.task import EpisodeState

_ATTEMPTS = (*(state.value for state in EpisodeState), "lost")


class ArchiveMetrics:
    """All that is counted of one run; every series is there from the beginning.

    Args:
        registry: where it is scraped from; None: one that nobody reads.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # doubles every counter, and nothing reads it
        self.registry = registry if registry is not None else CollectorRegistry()
        own = self.registry
        episodes = Gauge("acfd_archive_episodes", "Videos by state", ("state",), registry=own)
        self._episodes = {state: episodes.labels(state.value) for state in EpisodeRowState}
        attempts = Counter("acfd_archive_attempts", "Tries that ended, by how", ("outcome",), registry=own)
        self._attempts = {outcome: attempts.labels(outcome) for outcome in _ATTEMPTS}
        self._frames = Counter("acfd_archive_frames", "Frames tracked", registry=own)
        self._video = Counter("acfd_archive_video_seconds", "Video of episodes that are done", registry=own)
        self._workers = Gauge("acfd_archive_workers", "Workers that the run has", registry=own)
        self._busy = Gauge("acfd_archive_workers_busy", "Workers that are at an episode", registry=own)

    def frames(self, count: int) -> None:
        """Count frames that were tracked."""
        self._frames.inc(count)

    def video_seconds(self, seconds: float) -> None:
        """Count the video of an episode that is done."""
        self._video.inc(seconds)

    def attempt(self, outcome: str) -> None:
        """Count a try that ended: a value of ``EpisodeState``, or "lost"."""
        self._attempts[outcome].inc()

    def show(self, view: View) -> None:
        """Set what stands at a moment."""
        for state, count in view.counts.items():
            self._episodes[state].set(count)
        self._workers.set(view.workers)
        self._busy.set(len(view.at_work))
