"""What is counted of an episode while it is tracked: it is kept with its checkpoints, so that it is of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from acfd_stream.errors import ResumeError
from acfd_stream.outputs import ResultFile
from acfd_stream.recording.task import EpisodeOutcome, EpisodeState
from acfd_stream.types import FrameResult

if TYPE_CHECKING:
    from acfd_stream.outputs.report.episode import EpisodeSpeed


@dataclass
class Figures:
    """Counts over the frames so far, of all attempts."""

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

    def count_work(self, seconds: float, stage_seconds: Mapping[str, float]) -> None:
        """Enter what the frames since the last call took."""
        self.worked_seconds += seconds
        for stage, more in stage_seconds.items():
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + more

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Figures:
        """The figures that ``values`` was taken from.

        Raises:
            ResumeError: they are of another version.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ResumeError(f"checkpoint has other figures ({error}); begin at the beginning") from error

    @classmethod
    def of_results(cls, results: ResultFile) -> Figures:
        """The figures of finished results, but for the time they took."""
        figures = cls()
        for result in results:
            figures.count(result, results.end.tracks)
        figures.video_seconds, figures.worked_frames = results.duration_seconds, 0
        return figures

    def outcome(self, state: EpisodeState, before: Figures) -> EpisodeOutcome:
        """What there is to say of an attempt that began with the figures ``before``."""
        stages = {stage: total - before.stage_seconds.get(stage, 0.0) for stage, total in self.stage_seconds.items()}
        return EpisodeOutcome(
            state,
            frames=self.frames,
            tracks=self.tracks,
            shots=self.shots,
            reused=self.reused,
            video_seconds=self.video_seconds,
            seconds=self.worked_seconds - before.worked_seconds,
            new_frames=self.worked_frames - before.worked_frames,
            stage_seconds=tuple((stage, seconds) for stage, seconds in stages.items() if seconds > 0),
        )

    def speed(self) -> EpisodeSpeed | None:
        """For the report; None where nothing was measured."""
        from acfd_stream.outputs.report.episode import EpisodeSpeed

        if not self.worked_frames:
            return None
        means = {stage: seconds / self.worked_frames for stage, seconds in self.stage_seconds.items()}
        return EpisodeSpeed(self.worked_seconds, self.worked_frames, means)
