"""Configs: a value of another type is refused as one out of range is, with the name of the setting."""

from __future__ import annotations

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


def test_whole_numbers_stand_for_seconds() -> None:
    assert VideoConfig(start_seconds=1, end_seconds=2).start_seconds == 1
