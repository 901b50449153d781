"""How far a run is: counts, speeds, the episodes that are recorded now, and failures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from acfd_stream.archive.records import EpisodeStatus
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress

SETTLED = (EpisodeStatus.DONE, EpisodeStatus.BROKEN, EpisodeStatus.FAILING)
_WINDOW_SECONDS = 30.0  # over which speeds are taken


@dataclass(frozen=True)
class RunningEpisode:
    """One episode that a worker records."""

    name: str
    worker: str
    progress: RecordingProgress | None  # None: it has just begun


@dataclass(frozen=True)
class RunSnapshot:
    """A run at one moment."""

    counts: dict[EpisodeStatus, int]  # of the videos that this run found
    at_work: tuple[RunningEpisode, ...]
    failures: tuple[tuple[str, str], ...]  # name and reason, those of this run
    seconds: float  # since it began
    frames: int  # tracked in this run
    frames_per_second: float | None  # lately; None: nothing yet
    real_time_factor: float | None  # seconds of video a second, lately
    seconds_left: float | None
    workers: int
    pause: str = ""  # why the run waits; empty: it does not

    @property
    def total(self) -> int:
        """All videos."""
        return sum(self.counts.values())

    @property
    def settled(self) -> int:
        """Videos that this run is through with."""
        return sum(self.counts[state] for state in SETTLED)


@dataclass(frozen=True)
class RunEnd:
    """How a run ended."""

    snapshot: RunSnapshot
    is_stopped: bool
    has_changed: bool  # an episode was finished or set aside

    @property
    def is_all_done(self) -> bool:
        """Whether every video has its results."""
        return self.snapshot.counts[EpisodeStatus.DONE] == self.snapshot.total


class RunObserver(Protocol):
    """Shows a run to a person or a log."""

    def show(self, snapshot: RunSnapshot) -> None:
        """Show how far the run is; called several times per second."""

    def note(self, event: str, **about: Any) -> None:
        """Show an event: "begin", "episode", "retry", "lost", "paused" or "resumed"."""


class NoObserver:
    """Shows nothing."""

    def show(self, snapshot: RunSnapshot) -> None:
        """Show nothing."""

    def note(self, event: str, **about: Any) -> None:
        """Note nothing."""


@dataclass
class _Running:
    """The recording of one video."""

    size: int
    frames: int = 0  # tracked in this run by attempts that have ended
    video_seconds: float = 0.0
    progress: RecordingProgress | None = None
    worker: str = ""
    begun_seconds: float | None = None  # of the video, when the attempt began


@dataclass
class RunCounters:
    """Counts what a run does."""

    clock: Callable[[], float] = time.monotonic
    counts: dict[EpisodeStatus, int] = field(default_factory=lambda: dict.fromkeys(EpisodeStatus, 0))
    failures: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._states: dict[str, EpisodeStatus] = {}
        self._at_work: dict[str, _Running] = {}
        self._frames = 0
        self._video_seconds = 0.0
        self._bytes_left = 0.0
        self._bytes_done = 0.0
        self._samples: deque[tuple[float, int, float]] = deque()

    def put(self, name: str, state: EpisodeStatus, error: str = "", size: int | None = None) -> None:
        """Note the status of a video; ``error`` is why it is set aside, ``size`` its bytes."""
        before = self._states.get(name)
        if before is not None:
            self.counts[before] -= 1
        self.counts[state] += 1
        self._states[name] = state
        if state is EpisodeStatus.WAITING and before is None:
            self._bytes_left += size or 0
        if error and state in (EpisodeStatus.BROKEN, EpisodeStatus.FAILING):
            self.failures.append((name, error))

    def began(self, name: str, worker: str, size: int | None) -> None:
        """Note that a worker records the video."""
        self._at_work[name] = _Running(size or 0, worker=worker)
        self.put(name, EpisodeStatus.RUNNING)

    def progressed(self, name: str, progress: RecordingProgress) -> int:
        """Note how far it is; returns how many frames are new."""
        share = self._at_work[name]
        if share.begun_seconds is None:
            rate = progress.video_seconds / progress.frames if progress.frames else 0.0
            share.begun_seconds = progress.video_seconds - rate * progress.new_frames
        new = progress.new_frames - share.frames
        seconds = max(0.0, progress.video_seconds - share.begun_seconds)
        self._frames += new
        self._video_seconds += seconds - share.video_seconds
        share.frames, share.video_seconds, share.progress = progress.new_frames, seconds, progress
        return new

    def ended(self, name: str, outcome: RecordingOutcome | None) -> int:
        """Note that no worker records it any more; None: its worker was lost. Returns how many frames are new."""
        share = self._at_work.pop(name, None)
        if share is None:
            return 0
        new = max(0, (outcome.new_frames if outcome is not None else share.frames) - share.frames)
        self._frames += new
        if outcome is not None and share.begun_seconds is None and outcome.frames:
            self._video_seconds += outcome.video_seconds * outcome.new_frames / outcome.frames
        return new

    def settled(self, size: int | None) -> None:
        """Note that the run is through with a video of ``size`` bytes."""
        self._bytes_done += size or 0

    def snapshot(self, workers: int) -> RunSnapshot:
        """How far the run is."""
        now = self.clock()
        self._samples.append((now, self._frames, self._video_seconds))
        while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW_SECONDS:
            self._samples.popleft()
        then, frames, seconds = self._samples[0]
        is_fresh = now - then < 0.5 or self._frames == frames
        return RunSnapshot(
            counts=dict(self.counts),
            at_work=tuple(RunningEpisode(name, share.worker, share.progress) for name, share in self._at_work.items()),
            failures=tuple(self.failures),
            seconds=now - self._began,
            frames=self._frames,
            frames_per_second=None if is_fresh else (self._frames - frames) / (now - then),
            real_time_factor=None if is_fresh else (self._video_seconds - seconds) / (now - then),
            seconds_left=self._seconds_left(now - self._began),
            workers=workers,
        )

    def _seconds_left(self, seconds: float) -> float | None:
        """By bytes of video: they are known from the beginning."""
        done = self._bytes_done + sum(_part_done(share) * share.size for share in self._at_work.values())
        if done <= 0 or seconds < 1:
            return None
        return max(0.0, self._bytes_left - done) * seconds / done


def done_values(outcome: RecordingOutcome) -> dict[str, Any]:
    """What an event says of a finished video; ``fps`` is None where only outputs were made."""
    speed = outcome.new_frames / outcome.seconds if outcome.seconds > 0 else None
    return {
        "frames": outcome.frames,
        "tracks": outcome.tracks,
        "seconds": round(outcome.seconds, 3),
        "fps": None if speed is None else round(speed, 1),
        "warnings": list(outcome.warnings),
        "gaps": len(outcome.gaps),
    }


def _part_done(share: _Running) -> float:
    progress = share.progress
    if progress is None or not progress.expected_frames:
        return 0.0
    return min(1.0, progress.new_frames / progress.expected_frames)
