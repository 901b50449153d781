"""The real model over streams: whatever shares a batch, each stream's results are those of a detector of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from acfd_stream.config import DetectConfig, SchedulerConfig, StreamQueueConfig, VideoConfig
from acfd_stream.detect import Detector
from acfd_stream.metrics import Metrics
from acfd_stream.pipeline.costs import Costs
from acfd_stream.pipeline.scheduler import Scheduler
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import FrameResult

CLIPS = ("bbb_720p_12s.mp4", "popeye_1440x1074_60s.mkv")
PART = VideoConfig(end_seconds=0.7)


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    with Detector.open("acfd-n", config=DetectConfig(batch=8)) as opened:
        yield opened


@pytest.fixture(scope="module")
def clips(shared: Path) -> list[Path]:
    return [shared / "videos" / name for name in CLIPS]


@pytest.fixture(scope="module")
def alone(detector: Detector, clips: list[Path]) -> list[list[FrameResult]]:
    return [list(TrackSession(clip, detector=detector, video_config=PART)) for clip in clips]


def tracked(
    detector: Detector, clips: list[Path], costs: Costs, batch: int
) -> tuple[list[list[FrameResult]], CollectorRegistry]:
    """Both films at once, one live and one behind it, and what was counted."""
    config, registry = SchedulerConfig(batch=batch), CollectorRegistry()
    with (
        Scheduler(detector, config, costs=costs, metrics=Metrics(registry)) as scheduler,
        ThreadPoolExecutor(2) as pool,
    ):
        streams = [
            scheduler.open_shared(config)
            for config in (StreamQueueConfig(in_flight=8), StreamQueueConfig.background(batch))
        ]

        def track(place: int) -> list[FrameResult]:
            return list(TrackSession(clips[place], detector=streams[place], video_config=PART))

        return list(pool.map(track, range(2))), registry


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_two_films_at_once_give_what_each_gives_alone(
    batch: int, detector: Detector, clips: list[Path], alone: list[list[FrameResult]]
) -> None:
    cheap = Costs(detector.config, {((288, 512),): 0.001}, 0.0, [1.0 - 0.1 * place for place in range(8)])
    results, registry = tracked(detector, clips, cheap, batch)
    assert results == alone
    alone_in_batch = registry.get_sample_value("acfd_batch_size_bucket", {"le": "1.0"})
    shared_batches = registry.get_sample_value("acfd_batch_size_count") - alone_in_batch  # type: ignore[operator]
    assert (shared_batches > 0) == (batch > 1)
    assert all(any(result.faces for result in results) for results in alone)


def test_two_films_side_by_side_give_what_each_gives_alone(
    detector: Detector, clips: list[Path], alone: list[list[FrameResult]]
) -> None:
    side_by_side = Costs(detector.config, {((288, 512),): 0.001}, slots=2, contention=1.2)
    results, registry = tracked(detector, clips, side_by_side, 4)
    assert results == alone
    pictures = registry.get_sample_value("acfd_batch_size_sum")
    assert pictures == registry.get_sample_value("acfd_batch_size_count")
