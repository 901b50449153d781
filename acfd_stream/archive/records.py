"""The records of the manifest: an episode and a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


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
