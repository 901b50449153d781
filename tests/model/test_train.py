"""A tiny training that must learn, stop, go on, and leave a model file that says the same as the network."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from acfd_stream.config import DetectConfig
from acfd_stream.detect import Detector
from acfd_stream.model.datasets import Sample, read_picture
from acfd_stream.model.evaluate import evaluate
from acfd_stream.model.export import Description, export, load_network, save_weights
from acfd_stream.model.losses import FACE
from acfd_stream.model.network import NetworkConfig
from acfd_stream.model.predict import TorchDetector
from acfd_stream.model.toon import picture
from acfd_stream.model.train import ScheduleConfig, TrainConfig, Trainer
from acfd_stream.model.vovnet import BackboneConfig
from acfd_stream.ops.anchors import AnchorSpec

TINY = NetworkConfig(
    BackboneConfig((8, 8, 16), (16,) * 6, (32,) * 6, (1,) * 6, layers=2), pyramid_channels=32, head_layers=1
)
SIDE = 160
PICTURES = 8


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Drawn pictures with faces that a tiny network can see."""
    folder = tmp_path_factory.mktemp("drawn")
    found: list[Sample] = []
    seed = 0
    while len(found) < PICTURES:
        seed += 1
        image, boxes = picture(np.random.default_rng(seed), (SIDE, SIDE))
        if len(boxes) and np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)).min() > 16:
            cv2.imwrite(str(folder / f"{seed}.png"), image[..., ::-1])
            found.append(Sample(folder / f"{seed}.png", boxes, np.full(len(boxes), FACE, np.int8)))
    return found


def trainer(**schedule: object) -> Trainer:
    values = {"kind": "steps", "iterations": 220, "learning_rate": 4e-3, "warmup": 20, "milestones": (0.8,), "ema": 0.9}
    config = TrainConfig("tiny", [], "none", network=TINY, schedule=ScheduleConfig(**(values | schedule)))
    return Trainer(config, [], np.ones(1))


def batch_of(samples: list[Sample]) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    pictures = torch.stack([torch.from_numpy(read_picture(sample.file)[0]) for sample in samples])
    return pictures, [(torch.from_numpy(s.boxes_xyxy), torch.from_numpy(s.kinds)) for s in samples]


@pytest.fixture(scope="module")
def trained(samples: list[Sample]) -> Trainer:
    run = trainer()
    pictures, targets = batch_of(samples)
    while run.progress < 1:
        run.step(pictures, targets)
    return run


def test_a_tiny_run_overfits_eight_pictures(trained: Trainer, samples: list[Sample]) -> None:
    detect = TorchDetector(trained.averaged, AnchorSpec(), DetectConfig(size=SIDE)).detect
    assert evaluate(samples, detect).ap50 >= 0.99


def test_exported_file_detects_as_the_network_does(trained: Trainer, samples: list[Sample], tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    export(trained.averaged, AnchorSpec(), Description("tiny", "0", SIDE, "drawn", "2026-01-01"), path)
    with Detector.open(path, device="cpu", config=DetectConfig(size=SIDE)) as detector:
        assert detector.spec.name == "tiny"
        assert evaluate(samples, detector.detect).ap50 >= 0.99


def test_published_weights_give_the_same_network(trained: Trainer, tmp_path: Path) -> None:
    save_weights(trained.averaged, tmp_path / "tiny.safetensors")
    network = load_network(trained.config, tmp_path / "tiny.safetensors")
    for name, value in network.state_dict().items():
        expected = trained.averaged.state_dict()[name]
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4)  # they are kept as fp16


def test_a_resumed_run_goes_on_as_if_never_stopped(samples: list[Sample], tmp_path: Path) -> None:
    pictures, targets = batch_of(samples[:2])
    whole, first, second = trainer(), trainer(), trainer(learning_rate=4e-3)
    for _ in range(4):
        whole.step(pictures, targets)
    for _ in range(2):
        first.step(pictures, targets)
    first.save(tmp_path / "last.pt")
    second.load(tmp_path / "last.pt")
    for _ in range(2):
        second.step(pictures, targets)
    assert (second.iteration, second.learning_rate()) == (whole.iteration, whole.learning_rate())
    for one, other in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_paper_schedule_warms_up_and_falls_tenfold_at_its_milestones() -> None:
    run = trainer(iterations=300, milestones=(200 / 300, 250 / 300, 280 / 300), learning_rate=0.04, warmup=10)
    rates = {}
    for run.iteration in (0, 9, 199, 200, 250, 280):
        rates[run.iteration] = run.learning_rate()
    assert rates[0] == pytest.approx(1e-6 + 0.1 * (0.04 - 1e-6))
    assert [rates[k] for k in (9, 199, 200, 250, 280)] == pytest.approx([0.04, 0.04, 4e-3, 4e-4, 4e-5], rel=0.02)


def test_budget_schedule_follows_the_clock() -> None:
    run = trainer(kind="budget", minutes=10.0, sizes=(64, 128), warmup=1)
    assert (run.progress, run.size()) == (0, 64)
    run.seconds = 300.0
    assert (run.progress, run.size()) == (0.5, 128)
    assert run.learning_rate() == pytest.approx(4e-3 * 0.505)
    run.seconds = 600.0
    assert run.learning_rate() == pytest.approx(4e-5)


def test_run_draws_learns_and_leaves_checkpoint_and_curve(samples: list[Sample], tmp_path: Path) -> None:
    class Fixed:
        def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            sample = samples[rng.integers(len(samples))]
            return read_picture(sample.file)[0], sample.boxes_xyxy, sample.kinds

    config = replace(trainer(iterations=100, sizes=(64,), batch=2).config)
    run = Trainer(config, [Fixed()], np.ones(1), workers=0)
    run.run(tmp_path, validate=lambda network: 0.5)
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["ap50"] == 0.5
    assert rows[0]["iteration"] == 100
    assert (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("module", ["train", "evaluate", "export"])
def test_missing_files_are_one_line(module: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    arguments = {
        "train": ["--config", missing, "--data", missing, "--out", missing],
        "evaluate": ["--model", missing + ".onnx", "--data", missing, "icartoonface_val"],
        "export": ["--config", missing, "--checkpoint", missing, "--output", missing],
    }[module]
    command = [sys.executable, "-m", f"acfd_stream.model.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1
    assert "none" in done.stderr
