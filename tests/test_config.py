"""Configs: a value of another type is refused as one out of range is, with the name of the setting."""

from __future__ import annotations

from typing import Any

import pytest

from acfd_stream.config import ArchiveConfig, DetectConfig, PaceConfig, StreamQueueConfig, TrackConfig, VideoConfig
from acfd_stream.errors import ConfigError
from acfd_stream.service.settings import Limits, ServiceSettings

WRONG = [
    (DetectConfig, {"size": "a"}, "size must be of type int, got 'a'"),
    (DetectConfig, {"size": None}, "size must be of type int, got None"),
    (DetectConfig, {"scales": 480}, "scales must be of type tuple[int, ...], got 480"),
    (DetectConfig, {"scales": ("480",)}, "scales must be each in 64 … 4096, got ('480',)"),
    (DetectConfig, {"precision": 32}, "precision must be of type str, got 32"),
    (VideoConfig, {"start_seconds": "x"}, "start_seconds must be of type float | None, got 'x'"),
    (TrackConfig, {"keep_score": "0.3"}, "keep_score must be of type float, got '0.3'"),
    (StreamQueueConfig, {"deadline_seconds": "1"}, "deadline_seconds must be of type float | None, got '1'"),
    (PaceConfig, {"queue_frames": 1.5}, "queue_frames must be of type int, got 1.5"),
    (ArchiveConfig, {"attempts": 0}, "attempts must be >= 1, got 0"),
    (ArchiveConfig, {"stall_seconds": float("nan")}, "stall_seconds must be > 0, got nan"),
    (Limits, {"streams": "all"}, "streams must be of type int, got 'all'"),
    (ServiceSettings, {"objective_seconds": 0}, "objective_seconds must be > 0, got 0"),
]


@pytest.mark.parametrize(("config", "values", "message"), WRONG)
def test_a_value_that_cannot_be_used_is_a_config_error(config: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize(("score", "start", "keep"), [(None, 0.55, 0.35), (0.8, 0.8, 0.35), (0.2, 0.2, 0.2), (0, 0, 0)])
def test_tracks_start_from_the_least_score_and_continue_as_by_default(
    score: float | None, start: float, keep: float
) -> None:
    config = TrackConfig.of_min_score(score)
    assert (config.start_score, config.keep_score) == (start, keep)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), "0.5"])
def test_a_least_score_outside_its_range_is_refused_by_its_name(score: Any) -> None:
    with pytest.raises(ConfigError, match=r"min_score must be in \[0, 1\], got"):
        TrackConfig.of_min_score(score)


def test_whole_numbers_stand_for_seconds() -> None:
    assert VideoConfig(start_seconds=1, end_seconds=2).start_seconds == 1
