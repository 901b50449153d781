"""What is counted while a video is recorded, and how fast that was."""

from __future__ import annotations

import time
from array import array
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from acfd_stream import stored
from acfd_stream.errors import ResumeError
from acfd_stream.outputs import ResultFile
from acfd_stream.recording.task import (
    RecordingOutcome,
    RecordingProgress,
    RecordingStage,
    RecordingState,
    TrackingSpeed,
)
from acfd_stream.types import FrameResult

if TYPE_CHECKING:
    from acfd_stream.outputs.report.episode import EpisodeSpeed
    from acfd_stream.pipeline.stage_times import StageTimes


_MOST_SECONDS = 1e12  # above every duration


@dataclass
class RecordingStats:
    """Counts over the frames so far, of all attempts. Checkpoints store the fields by these names."""

    frames: int = 0
    tracks: int = 0
    shots: int = 0
    reused: int = 0
    video_seconds: float = 0.0
    first_seconds: float | None = None  # time of the first frame
    worked_seconds: float = 0.0
    worked_frames: int = 0  # those made in this time: more than ``frames`` where some were made again after a kill
    stage_seconds: dict[str, float] = field(default_factory=dict)

    def count(self, result: FrameResult, tracks: int) -> None:
        """Enter one frame."""
        self.frames += 1
        self.worked_frames += 1
        self.tracks, self.shots = tracks, result.shot + 1
        self.reused += result.reused
        if self.first_seconds is None:
            self.first_seconds = result.pts_seconds
        self.video_seconds = result.pts_seconds - self.first_seconds

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> RecordingStats:
        """The statistics that ``values`` was taken from.

        Raises:
            ResumeError: they are of another version, or damaged.
        """
        try:
            stats = cls(**stored.fields(values, "figures"))
        except TypeError as error:
            raise ResumeError(f"checkpoint has other statistics ({error}); begin at the beginning") from error
        for name in ("frames", "tracks", "shots", "reused", "worked_frames"):
            stored.whole(getattr(stats, name), name)
        seconds = [
            stats.video_seconds,
            stats.worked_seconds,
            *stored.fields(stats.stage_seconds, "stage_seconds").values(),
        ]
        for value in [*seconds, 0.0 if stats.first_seconds is None else stats.first_seconds]:
            stored.real(value, "seconds of a recording", -_MOST_SECONDS, _MOST_SECONDS)
        return stats

    @classmethod
    def of_results(cls, results: ResultFile, speed: TrackingSpeed | None) -> RecordingStats:
        """The statistics of finished results, which were made at ``speed``."""
        stats = cls()
        for result in results:
            stats.count(result, results.end.tracks)
        stats.video_seconds, stats.worked_frames = results.duration_seconds, 0
        if speed is not None:
            stats.worked_seconds, stats.worked_frames = speed.seconds, speed.frames
            stats.stage_seconds = dict(speed.stage_seconds)
        return stats

    def speed(self) -> EpisodeSpeed | None:
        """For the report; None where nothing was measured."""
        return speed_of(TrackingSpeed(self.worked_seconds, self.worked_frames, self.stage_seconds))


def speed_of(tracking: TrackingSpeed | None) -> EpisodeSpeed | None:
    """A speed for the report; None where nothing was measured."""
    from acfd_stream.outputs.report.episode import EpisodeSpeed

    if tracking is None or not tracking.frames:
        return None
    means = {stage: seconds / tracking.frames for stage, seconds in tracking.stage_seconds.items()}
    return EpisodeSpeed(tracking.seconds, tracking.frames, means)


class Attempt:
    """One try at a recording: the statistics so far, and what they were when the try began."""

    def __init__(self) -> None:
        self.stats = RecordingStats()
        self._before = RecordingStats()
        self._began = self._measured_at = time.perf_counter()
        self._stage_times: StageTimes | None = None
        self._stage_totals: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Since the try began."""
        return time.perf_counter() - self._began

    def begin_with(self, stats: RecordingStats) -> None:
        """Continue the statistics of earlier tries."""
        self.stats, self._before = stats, deepcopy(stats)

    def follow(self, stage_times: StageTimes) -> None:
        """Take the times of the frames to come from ``stage_times``."""
        self._stage_times, self._stage_totals, self._measured_at = stage_times, {}, time.perf_counter()

    def measure(self) -> None:
        """Enter into the statistics what the frames since the last call took."""
        if self._stage_times is None:
            return
        now = time.perf_counter()
        self.stats.worked_seconds += now - self._measured_at
        totals = {stage: times.count * times.mean_seconds for stage, times in self._stage_times.summary().items()}
        for stage, total in totals.items():
            more = total - self._stage_totals.get(stage, 0.0)
            self.stats.stage_seconds[stage] = self.stats.stage_seconds.get(stage, 0.0) + more
        self._stage_totals, self._measured_at = totals, now

    def progress(
        self, expected_frames: int | None, stage: RecordingStage = RecordingStage.TRACK, result_bytes: int = 0
    ) -> RecordingProgress:
        """How far the recording is; while outputs are made, the speed stays that of the tracking."""
        tracked_seconds = self.stats.worked_seconds - self._before.worked_seconds
        return RecordingProgress(
            frames=self.stats.frames,
            expected_frames=expected_frames,
            tracks=self.stats.tracks,
            seconds=self.seconds if stage is RecordingStage.TRACK else tracked_seconds,
            new_frames=self.stats.worked_frames - self._before.worked_frames,
            video_seconds=self.stats.video_seconds,
            stage=stage,
            result_bytes=result_bytes,
        )

    def outcome(self, state: RecordingState) -> RecordingOutcome:
        """Counts of the whole recording, and how fast this try was."""
        stats, before = self.stats, self._before
        stages = {stage: total - before.stage_seconds.get(stage, 0.0) for stage, total in stats.stage_seconds.items()}
        return RecordingOutcome(
            state,
            frames=stats.frames,
            tracks=stats.tracks,
            shots=stats.shots,
            reused=stats.reused,
            video_seconds=stats.video_seconds,
            seconds=stats.worked_seconds - before.worked_seconds,
            new_frames=stats.worked_frames - before.worked_frames,
            stage_seconds=tuple((stage, seconds) for stage, seconds in stages.items() if seconds > 0),
        )


class FrameCosts:
    """The work on each frame, from the first one on: its middle and 95th percentile for a report."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stages: dict[str, float] = defaultdict(float)
        self._work = array("d")

    def count(self, result: FrameResult) -> None:
        """Enter a frame."""
        from acfd_stream.outputs.report.text_format import WAITING_STAGES

        work = {stage: seconds for stage, seconds in result.timings.items() if stage not in WAITING_STAGES}
        for stage, seconds in work.items():
            self._stages[stage] += seconds
        self._work.append(sum(work.values()))

    def speed(self) -> EpisodeSpeed:
        """For the report."""
        from acfd_stream.outputs.report.episode import EpisodeSpeed

        frames, seconds, ranked = len(self._work), time.perf_counter() - self._began, sorted(self._work)
        percentiles = [ranked[min(frames - 1, int(frames * share))] for share in (0.5, 0.95)] if self._stages else ()
        return EpisodeSpeed(seconds, frames, {name: each / frames for name, each in self._stages.items()}, *percentiles)
