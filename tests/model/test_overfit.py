"""The runner that learns a few pictures by heart: it steps, scores, keeps its curve and goes on with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.overfit import drawn, main

CONFIG = Path(__file__).parents[2] / "model/configs/acfd-n.toml"


def test_a_run_keeps_its_curve_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["--config", str(CONFIG), "--pictures", "2", "--batch", "2", "--size", "64", "--look", "1"]
    folders = ["--out", str(tmp_path), "--results", str(tmp_path), "--device", "cpu"]
    for iterations in (1, 2):
        assert main([*call, *folders, "--iterations", str(iterations)]) == 1  # nothing is learnt by heart in two steps
        capsys.readouterr()
    result = json.loads((tmp_path / "overfit-acfd-n.json").read_text())
    assert [row["iteration"] for row in result["curve"]] == [1, 2]
    assert all("ap50" in row for row in result["curve"])
    assert result["parameters"]["iterations"] == 2


def test_its_pictures_hold_faces_that_an_anchor_can_match() -> None:
    for image, boxes in drawn(2, 64):
        assert image.shape == (64, 64, 3)
        assert len(boxes) > 0
        assert ((boxes[:, 2:] - boxes[:, :2]).prod(1) > 16**2).all()
