"""A tiny training that must learn, stop, go on, and leave a model file that says the same as the network."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from acfd_stream.config import DetectConfig
from acfd_stream.detect import Detector
from acfd_stream.detect.half_graph import half_model
from acfd_stream.detect.onnx_graph import load_model
from acfd_stream.errors import ConfigError
from acfd_stream.model import trainer as training
from acfd_stream.model.acb import fuse
from acfd_stream.model.checkpoints import load_network, save_weights
from acfd_stream.model.evaluate import main as evaluate_command
from acfd_stream.model.evaluation import evaluate
from acfd_stream.model.export import main as export_command
from acfd_stream.model.network import NetworkConfig
from acfd_stream.model.predict import TorchDetector, normalise
from acfd_stream.model.readers import FACE, Sample, read_picture
from acfd_stream.model.settings import DistillConfig, GraftConfig, ScheduleConfig, TrainConfig
from acfd_stream.model.toon import picture
from acfd_stream.model.trainer import Trainer
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
    run = trainer(kind="cosine", iterations=140)
    pictures, targets = batch_of(samples)
    while run.progress < 1:
        run.step(pictures, targets)
    return run


def test_a_tiny_run_overfits_eight_pictures(trained: Trainer, samples: list[Sample]) -> None:
    detect = TorchDetector(trained.averaged, AnchorSpec(), DetectConfig(size=SIDE)).detect
    assert evaluate(samples, detect).ap50 >= 0.99


@pytest.fixture(scope="module")
def exported(trained: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the trained network as a checkpoint and its config, and all that ``export`` writes and says of it."""
    folder = tmp_path_factory.mktemp("exported")
    trained.save(folder / "tiny.pt")
    backbone = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(TINY.backbone).items()}
    lines = [f"{key} = {json.dumps(value)}" for key, value in backbone.items()]
    head = ['name = "tiny"', 'validation = "none"', "data = []", "[network]", "pyramid_channels = 32"]
    (folder / "tiny.toml").write_text("\n".join([*head, "[network.backbone]", *lines]))
    paths = {"config": "tiny.toml", "checkpoint": "tiny.pt", "output": "new/tiny.onnx", "half": "newer/half.onnx"}
    paths |= {"weights": "new/tiny.safetensors"}
    call = [word for name, path in paths.items() for word in (f"--{name}", str(folder / path))]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert export_command([*call, "--size", str(SIDE)]) == 0  # takes a minute, so no other test does it again
    (folder / "said").write_text(said.getvalue())
    return folder


def test_exported_file_detects_as_the_network_does(exported: Path, samples: list[Sample]) -> None:
    with Detector.open(exported / "new/tiny.onnx", device="cpu", config=DetectConfig(size=SIDE)) as detector:
        assert detector.spec.name == "tiny"
        assert evaluate(samples, detector.detect).ap50 >= 0.99


def test_exported_file_names_no_path_of_the_machine(exported: Path) -> None:
    assert str(Path(__file__).parents[2]).encode() not in (exported / "new/tiny.onnx").read_bytes()


def test_the_half_file_is_what_a_gpu_is_given_of_the_model(exported: Path) -> None:
    assert (exported / "said").read_text().splitlines() == [str(exported / "new/tiny.onnx")]  # a script can take it
    half = exported / "newer/half.onnx"
    assert half.read_bytes() == half_model(exported / "new/tiny.onnx")
    types = {tensor.name: tensor.data_type for tensor in load_model(half).graph.initializer}
    assert types["network.outputs.weight.float16"] == onnx.TensorProto.FLOAT16


def test_a_folder_that_cannot_be_made_is_one_line(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    paths = {"config": exported / "tiny.toml", "checkpoint": exported / "new/tiny.safetensors"}
    paths |= {"output": tmp_path / "file/tiny.onnx"}
    assert export_command([word for name, path in paths.items() for word in (f"--{name}", str(path))]) == 1
    said = capsys.readouterr().err
    assert said.startswith("acfd-stream export: ")
    assert str(tmp_path / "file") in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("view", [["--size", str(SIDE)], ["--scales", "128,160"]])
def test_checkpoint_weights_and_model_file_score_the_same(
    exported: Path, samples: list[Sample], view: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/set.json").write_text(json.dumps(coco_table(samples)))
    (tmp_path / "images").symlink_to(samples[0].file.parent)
    rows = {}
    for file in ("new/tiny.onnx", "tiny.pt", "new/tiny.safetensors"):
        model = ["--model", str(exported / file), "--config", str(exported / "tiny.toml"), "--threads", "1"]
        options = [*view, "--data", str(tmp_path), "--at-precision", "0.95", "--json"]
        assert evaluate_command([*model, *options, "set"]) == 0
        rows[Path(file).suffix] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for first, other in ((rows[".onnx"], rows[".pt"]), (rows[".onnx"], rows[".safetensors"])):
        assert first[0]["ap50"] == pytest.approx(other[0]["ap50"], abs=0.005)
        assert first[0]["recall_by_side"] == other[0]["recall_by_side"]
        assert first[1]["threshold"] == pytest.approx(other[1]["threshold"], abs=0.03)  # the server may compute in bf16
    assert rows[".pt"][1]["recall"] > 0.5


def test_a_taught_run_keeps_its_adapter(exported: Path, samples: list[Sample], tmp_path: Path) -> None:
    lesson = DistillConfig(str(exported / "tiny.pt"), str(exported / "tiny.toml"), features=1.0)
    config = replace(trainer().config, distill=lesson)
    run, other = (Trainer(config, [], np.ones(1)) for _ in range(2))
    before = [parameter.detach().clone() for parameter in run.distiller.parameters()]
    run.step(*batch_of(samples[:2]))
    run.save(tmp_path / "last.pt")
    other.load(tmp_path / "last.pt")
    for first, kept, now in zip(before, other.distiller.parameters(), run.distiller.parameters(), strict=True):
        assert torch.equal(kept, now)
        assert not torch.equal(first, now)


def test_a_grafted_run_takes_over_from_its_twin_when_it_is_time(exported: Path, samples: list[Sample]) -> None:
    twin = replace(trainer().config, graft=GraftConfig(str(exported / "tiny.pt"), every=2))
    plain, grafted = trainer(), Trainer(twin, [], np.ones(1))
    distances = []
    for _ in range(2):
        for run in (plain, grafted):
            run.step(*batch_of(samples[:1]))
        pairs = zip(plain.network.parameters(), grafted.network.parameters(), strict=True)
        distances.append(sum(float((one - other).detach().abs().sum()) for one, other in pairs))
    assert distances[0] < 1e-3 * distances[1]


def coco_table(samples: list[Sample]) -> dict[str, object]:
    """The samples as a COCO file."""
    images = [{"id": n, "file_name": s.file.name, "width": SIDE, "height": SIDE} for n, s in enumerate(samples)]
    boxes = [(n, *box) for n, sample in enumerate(samples) for box in sample.boxes_xyxy.tolist()]
    rows = [{"id": k, "image_id": n, "bbox": [x1, y1, x2 - x1, y2 - y1]} for k, (n, x1, y1, x2, y2) in enumerate(boxes)]
    return {"images": images, "annotations": rows, "categories": []}


def test_trained_branches_and_norms_are_one_convolution(trained: Trainer, samples: list[Sample]) -> None:
    batch = normalise(batch_of(samples)[0])
    with torch.no_grad():
        expected = trained.averaged(batch)
        found = fuse(copy.deepcopy(trained.averaged))(batch)
    assert TINY.backbone.norms == "branch"
    torch.testing.assert_close(found[0].sigmoid(), expected[0].sigmoid(), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], expected[1], atol=1e-4, rtol=1e-4)


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


def test_cosine_schedule_falls_over_the_iterations() -> None:
    run = trainer(kind="cosine", iterations=100, sizes=(64, 128), warmup=1)
    rates = {}
    for run.iteration in (0, 50, 100):
        rates[run.iteration] = (run.size(), run.learning_rate())
    assert rates[0] == (64, pytest.approx(4e-3))
    assert rates[50] == (128, pytest.approx(4e-3 * 0.505))
    assert (run.progress, rates[100][1]) == (1, pytest.approx(4e-5))


def test_a_run_begins_with_weights_and_a_fresh_clock(trained: Trainer) -> None:
    run = trainer()
    run.begin_with(trained.averaged)
    assert run.iteration == 0
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, trained.averaged.state_dict()[name])


def test_another_networks_checkpoint_is_refused_in_words(trained: Trainer, tmp_path: Path) -> None:
    trained.save(tmp_path / "last.pt")
    other = replace(trained.config, network=replace(TINY, pyramid_channels=16))
    with pytest.raises(ConfigError, match="another training"):
        Trainer(other, [], np.ones(1)).load(tmp_path / "last.pt")
    with pytest.raises(ConfigError, match="another network than that of config 'tiny'"):
        load_network(other, tmp_path / "last.pt")
    for content in (b"", b"junk"):
        (tmp_path / "last.pt").write_bytes(content)
        with pytest.raises(ConfigError, match="is not a checkpoint"):
            trained.load(tmp_path / "last.pt")


def test_budget_schedule_follows_the_clock() -> None:
    run = trainer(kind="budget", minutes=10.0, sizes=(64, 128), warmup=1)
    assert (run.progress, run.size()) == (0, 64)
    run.seconds = 300.0
    assert (run.progress, run.size()) == (0.5, 128)
    assert run.learning_rate() == pytest.approx(4e-3 * 0.505)
    run.seconds = 600.0
    assert run.learning_rate() == pytest.approx(4e-5)


def test_run_draws_learns_and_leaves_checkpoint_and_curve(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 4)

    class Fixed:
        def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            sample = samples[rng.integers(len(samples))]
            return read_picture(sample.file)[0], sample.boxes_xyxy, sample.kinds

    config = replace(trainer(iterations=8, sizes=(64,), batch=2).config)
    run = Trainer(config, [Fixed()], np.ones(1), workers=0)
    run.run(tmp_path, validate=lambda network: 0.5)
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["ap50"] == 0.5
    assert [row["iteration"] for row in rows] == [4, 8, 8]
    assert (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("module", ["train", "evaluate", "export"])
def test_missing_files_are_one_line(module: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    arguments = {
        "train": ["--config", missing, "--data", missing, "--out", missing],
        "evaluate": ["--model", missing + ".onnx", "--data", missing, "icartoonface_val"],
        "export": ["--config", missing, "--checkpoint", missing, "--output", missing + ".onnx"],
    }[module]
    command = [sys.executable, "-m", f"acfd_stream.model.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1
    assert "none" in done.stderr
