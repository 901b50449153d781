"""Differences of live streams: no frame waits for later ones, and late results are marked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from acfd_stream.checked import or_default
from acfd_stream.config import PaceConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.pipeline.settled_frame import SettledFrame
from acfd_stream.types import Outcome, Verdict


class Gate(Protocol):
    """Holds back the frames of a session."""

    def wait(self) -> None:
        """Return when the next frame may be taken."""

    def take(self) -> None:
        """A frame was taken, and not dropped."""


def configs_for(
    pace: PaceConfig, video: VideoConfig | None, track: TrackConfig | None, shot: ShotConfig | None
) -> tuple[VideoConfig, TrackConfig, ShotConfig]:
    """The configs of a stream with this pace; None stands for the pace's defaults.

    Raises:
        ConfigError: one is something else.
    """
    configs = (
        or_default(video, "video_config", VideoConfig),
        or_default(track, "track_config", TrackConfig),
        or_default(shot, "shot_config", ShotConfig),
    )
    if not pace.is_live:
        return configs
    video = replace(configs[0], low_delay=True)
    return video, track or TrackConfig(fills_gaps=False), shot or ShotConfig(lookahead_frames=0)


def verdict_now(settled: SettledFrame, pace: PaceConfig) -> Verdict:
    """On-time status of a settled frame whose latency ends now."""
    latency = None if settled.arrived_at is None else time.perf_counter() - settled.arrived_at
    if settled.verdict.outcome is not Outcome.OK:
        return replace(settled.verdict, latency_seconds=latency)
    return settled.verdict if latency is None else verdict_for(latency, settled.timings, pace)


def verdict_for(latency_seconds: float, timings: Mapping[str, float], pace: PaceConfig) -> Verdict:
    """On-time status of a frame with this latency; the cause of a late one is its slowest stage."""
    if not pace.is_live or latency_seconds <= pace.objective_seconds:
        return Verdict(latency_seconds=latency_seconds)
    return Verdict(Outcome.LATE, latency_seconds, slowest_stage(timings))


def slowest_stage(timings: Mapping[str, float]) -> str | None:
    """The stage that took longest, the cause of a late frame; None without times."""
    return max(timings, key=timings.__getitem__, default=None)
