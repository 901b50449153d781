"""What is different for a live stream: nothing waits for later frames, and every result is judged by its age."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from acfd_stream.config import PaceConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.pipeline.stream import Settled
from acfd_stream.types import FrameResult, Outcome, Verdict


def configs_for(
    pace: PaceConfig, video: VideoConfig | None, track: TrackConfig | None, shot: ShotConfig | None
) -> tuple[VideoConfig, TrackConfig, ShotConfig]:
    """The configs of a stream of this pace, where None stands for the default of that pace."""
    if not pace.is_live:
        return video or VideoConfig(), track or TrackConfig(), shot or ShotConfig()
    video = replace(video or VideoConfig(), low_delay=True)
    return video, track or TrackConfig(fills_gaps=False), shot or ShotConfig(lookahead_frames=0)


def judged(settled: Settled, pace: PaceConfig) -> FrameResult:
    """The result with the verdict on its age, which ends now."""
    result = settled.result
    latency = None if settled.arrived_at is None else time.perf_counter() - settled.arrived_at
    if result.verdict.outcome is not Outcome.OK:
        return replace(result, verdict=replace(result.verdict, latency_seconds=latency))
    return result if latency is None else replace(result, verdict=aged(latency, result.timings, pace))


def aged(latency_seconds: float, timings: Mapping[str, float], pace: PaceConfig) -> Verdict:
    """The verdict on a frame that was seen: late, by the stage that took longest, or not."""
    if not pace.is_live or latency_seconds <= pace.objective_seconds:
        return Verdict(latency_seconds=latency_seconds)
    return Verdict(Outcome.LATE, latency_seconds, max(timings, key=timings.__getitem__, default=None))
