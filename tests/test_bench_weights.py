"""The comparison of two model files: in turn, in both precisions, with the CPU's flags beside each figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acfd_stream.detect.detector import find_model
from benchmarks import bench_weights, measure


def test_a_model_is_compared_with_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    model = str(find_model("acfd-n"))
    bench_weights.main([model, model, "--size", "320", "--rounds", "2"])
    rows = json.loads((tmp_path / "weights.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["weights_new", "weights_old", "weights_ratio"] * 4
    told = [(row["parameters"]["precision"], row["parameters"]["threads"]) for row in rows[::3]]
    assert told == [("f32", 1), ("f32", 2), ("int8", 1), ("int8", 2)]
    assert "avx2" in rows[0]["parameters"]["cpu_flags"]
    assert all(0.05 < row["median"] < 20 for row in rows[2::3])
