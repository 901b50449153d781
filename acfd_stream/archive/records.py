"""The records of the manifest: an episode and a run, and the columns of its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from acfd_stream.recording.task import RecordingOutcome, TrackingSpeed


class EpisodeStatus(Enum):
    """The status of an episode."""

    WAITING = "waiting"  # to be recorded
    RUNNING = "running"
    DONE = "done"  # all its outputs are there
    BROKEN = "broken"  # the video is damaged; tried again when it, or a setting, changes
    FAILING = "failing"  # too many errors of the machine or the network; the next run tries again


class Claim(Enum):
    """The reply to a run that wants to record an episode."""

    OURS = "ours"  # no other run takes it now
    THEIRS = "theirs"  # another living run has it
    SETTLED = "settled"  # there is nothing to do for it


@dataclass(frozen=True)
class Episode:
    """One episode; ``seconds``, ``new_frames`` and ``stage_seconds`` are of the last attempt that tracked frames."""

    name: str
    source: str
    key: str
    state: EpisodeStatus
    size: int | None = None  # bytes of the video
    attempts: int = 0
    error: str = ""
    frames: int = 0
    expected_frames: int | None = None
    tracks: int = 0
    shots: int = 0
    reused: int = 0
    video_seconds: float = 0.0
    seconds: float = 0.0
    new_frames: int = 0
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    gaps: int = 0  # holes in the video
    missing_seconds: float = 0.0  # in all of them
    outputs: tuple[str, ...] = ()  # made, beside the JSONL
    result_bytes: int = 0  # of the JSONL
    worker: str = ""
    run: int = 0  # that records it; 0: none
    changed: float = 0.0  # seconds since 1970

    @property
    def speed(self) -> TrackingSpeed | None:
        """Of the last attempt that tracked frames; None: there was none."""
        return TrackingSpeed(self.seconds, self.new_frames, self.stage_seconds) if self.new_frames else None

    @property
    def frames_per_second(self) -> float | None:
        """Speed of the last attempt; None: it tracked nothing."""
        return self.new_frames / self.seconds if self.new_frames and self.seconds > 0 else None


@dataclass(frozen=True)
class Run:
    """One run over an archive."""

    run: int
    pid: int
    call: Mapping[str, Any]  # what is needed to repeat it
    started: float  # seconds since 1970
    seen: float
    ended: float | None
    code: int | None


def statistics_of(outcome: RecordingOutcome, speed: TrackingSpeed | None = None) -> dict[str, Any]:
    """The columns of an outcome; the speed only if it tracked frames, else ``speed``, if that is known."""
    if outcome.new_frames:
        speed = TrackingSpeed(outcome.seconds, outcome.new_frames, dict(outcome.stage_seconds))
    about: dict[str, Any] = {}
    if speed is not None:
        stages = json.dumps(dict(speed.stage_seconds))
        about = {"seconds": speed.seconds, "new_frames": speed.frames, "stage_seconds": stages}
    return about | {
        **{name: getattr(outcome, name) for name in ("frames", "tracks", "shots", "reused", "video_seconds")},
        "warnings": json.dumps(list(outcome.warnings)),
        "gaps": len(outcome.gaps),
        "missing_seconds": sum(gap.missing_seconds for gap in outcome.gaps),
    }


def episode_of(row: Any) -> Episode:
    """The episode of a row of the manifest."""
    values = {name: row[name] for name in Episode.__dataclass_fields__}
    values["state"] = EpisodeStatus(values["state"])
    values["stage_seconds"] = json.loads(values["stage_seconds"])
    for name in ("warnings", "outputs"):
        values[name] = tuple(json.loads(values[name]))
    return Episode(**values)
