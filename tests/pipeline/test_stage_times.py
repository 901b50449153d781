from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.pipeline.stage_times import STAGES, StageTimes

BUCKET = 0.011  # a bucket is 2 % wide and answered by its middle


def test_percentiles_of_a_stage_are_true_to_a_percent() -> None:
    stage_times = StageTimes()
    times = np.random.default_rng(5).lognormal(-4, 1, 5000)
    for seconds in times:
        stage_times.add({"infer": float(seconds)})
    found = stage_times.summary()["infer"]
    assert found.count == 5000
    assert found.mean_seconds == pytest.approx(times.mean())
    assert found.longest_seconds == times.max()
    for share, seconds in ((0.5, found.p50_seconds), (0.95, found.p95_seconds), (0.99, found.p99_seconds)):
        assert seconds == pytest.approx(np.quantile(times, share, method="inverted_cdf"), rel=BUCKET)


def test_one_time_is_all_its_percentiles() -> None:
    stage_times = StageTimes()
    stage_times.add({"nms": 0.25})
    found = stage_times.summary()["nms"]
    assert (found.p50_seconds, found.p99_seconds) == (pytest.approx(0.25, rel=BUCKET), pytest.approx(0.25, rel=BUCKET))


def test_stages_come_in_the_order_of_the_flow_and_only_those_met() -> None:
    stage_times = StageTimes()
    assert stage_times.summary() == {}
    stage_times.add({"track": 0.1, "decode": 0.1})
    assert list(stage_times.summary()) == ["decode", "track"]
    assert STAGES.index("infer") < STAGES.index("track")


@pytest.mark.parametrize("seconds", [0.0, -1e-9, 1e9])
def test_times_outside_the_buckets_are_counted(seconds: float) -> None:
    stage_times = StageTimes()
    stage_times.add({"decode": seconds})
    assert stage_times.summary()["decode"].count == 1


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stage must be one of ingest, decode, .*, got 'paint'"):
        StageTimes().add({"paint": 1.0})
