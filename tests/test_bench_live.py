"""What the benchmarks of live streams and of files side by side make of what they have taken."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import pytest

from acfd_stream.client.load_test import LoadRow
from acfd_stream.types import Outcome
from benchmarks.live import CASES, NEVER, WAYS, Taken
from benchmarks.live import rows_of as live_rows
from benchmarks.streams import COUNTS, Load
from benchmarks.streams import rows_of as stream_rows


def test_a_dropped_frame_is_in_every_figure() -> None:
    taken = Taken()
    answered = LoadRow(1, admitted=1, server_seconds=[0.02] * 90, outcomes=Counter({Outcome.OK.value: 90}))
    taken.enter(answered)
    assert (taken.goodput, taken.p99) == (1.0, [0.02])
    answered.outcomes[Outcome.DROPPED.value] = 10
    taken.enter(answered)
    assert taken.goodput == 180 / 190
    assert taken.p99 == [0.02, NEVER]


def test_the_memory_of_a_stream_is_the_slope_over_all_counts() -> None:
    loads = {count: Load([30.0, 30.0 * count], [1e9 + 5e7 * count, 1e9 + 6e7 * count]) for count in COUNTS}
    rows = {row["name"]: row for row in stream_rows(loads, 1080)}
    assert rows["streams_memory"]["median"] == pytest.approx(5.5e7)
    assert rows["streams_kept"]["median"] == pytest.approx((1 + 8) / 2)
    assert rows["streams_4_fps"]["p95"] > 100


def test_the_table_of_the_readme_knows_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    known = importlib.import_module("readme_table").SHOWN
    taken = Taken(p99=[0.03], seconds=[0.02, 0.03], in_time=2)
    names = {row["name"] for height, streams in CASES for way in WAYS for row in live_rows(height, streams, way, taken)}
    loads = {count: Load([1.0], [1.0]) for count in COUNTS}
    names |= {row["name"] for row in stream_rows(loads, 1080)}
    shown = {name for name in known if name.startswith(("live_", "streams_"))}
    assert shown <= names
    assert len(shown) >= len(CASES) * len(WAYS) + len(COUNTS) + 1
