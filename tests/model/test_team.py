"""Two processes train one network, each on its share of the batch; one of them writes and validates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from acfd_stream.errors import ConfigError
from acfd_stream.model.team import Team

CONFIG = """
name = "tiny"
validation = "set"
evaluate_size = 64
[network]
pyramid_channels = 8
head_layers = 0
[network.backbone]
stem = [4, 4, 8]
split = [8, 8, 8, 8, 8, 8]
concat = [8, 8, 8, 8, 8, 8]
repeat = [1, 1, 1, 1, 1, 1]
layers = 1
[schedule]
kind = "cosine"
iterations = 4
batch = 4
warmup = 1
sizes = [64]
[[data]]
kind = "coco"
annotation = "annotations/set.json"
images = "images"
weight = 1.0
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A config and a set of two pictures with a face each."""
    for folder in ("annotations", "images"):
        (tmp_path / folder).mkdir()
    images = [{"id": n, "file_name": f"{n}.png", "width": 80, "height": 80} for n in (1, 2)]
    rows = [{"id": n, "image_id": n, "bbox": [10 * n, 20, 30, 30]} for n in (1, 2)]
    (tmp_path / "annotations/set.json").write_text(json.dumps({"images": images, "annotations": rows}))
    for n in (1, 2):
        image = np.random.default_rng(n).integers(0, 255, (80, 80, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"images/{n}.png"), image)
    (tmp_path / "tiny.toml").write_text(CONFIG)
    return tmp_path


def trained(data: Path, *launcher: str) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Weights and curve of a run under ``launcher``."""
    out = data / f"run{len(launcher)}"
    paths = ["--config", str(data / "tiny.toml"), "--data", str(data), "--out", str(out)]
    command = [sys.executable, "-m", *launcher, "acfd_stream.model.train", *paths, "--workers", "0", "--threads", "1"]
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    return torch.load(out / "last.pt", weights_only=True)["network"], curve


def test_two_processes_train_one_network_and_one_of_them_writes(data: Path) -> None:
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python", sys.executable, "-m")
    state, curve = trained(data, *launcher)
    assert [row["iteration"] for row in curve] == [4]
    assert "ap50" in curve[0]
    assert all(value.isfinite().all() for value in state.values())


def test_a_team_of_one_needs_nobody() -> None:
    team = Team.join("cpu")
    layer = torch.nn.Linear(2, 2)
    assert (team, team.is_first, team.share(5), team.agree(0.25)) == (Team(0, 1), True, 5, 0.25)
    assert team.wrap(layer) is layer
    team.wait()
    team.leave()


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    assert Team(1, 4).share(8) == 2
    with pytest.raises(ConfigError, match="multiple of the 3 processes, got 16"):
        Team(0, 3).share(16)
