"""The training of an embedding, its commands, and the model file that it becomes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from acfd_stream.errors import ConfigError
from acfd_stream.identity.embedder import FaceEmbedder
from acfd_stream.model.identity import evaluate, export, quantise, train
from acfd_stream.model.identity.crops import SIDE
from acfd_stream.model.identity.drawn import draw_characters
from acfd_stream.model.identity.predict import open_embed
from acfd_stream.model.identity.scoring import embedder_of, score
from acfd_stream.model.identity.settings import IdentityConfig
from acfd_stream.model.identity.weights import load_network
from acfd_stream.model.opencv import cv2
from acfd_stream.model.predict import normalise
from acfd_stream.networks.model_file import is_quantised, read_metadata
from acfd_stream.networks.precision import MADE_FROM, digest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """
name = "tiny"
left_out = ["drawn1"]

[network]
size = 64
bands = 2
dimensions = 16


[distribution]
weight = 0.1

[schedule]
batch = 16
views = 2
iterations = 30
looked_at = 6
warmup = 5
learning_rate = 3e-3
ema = 0.9

[[data]]
kind = "drawn"
first = 0
count = 10
views = 6
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, with its config: eight drawn characters of one show, two of another left out."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(CONFIG)
    call = ["--config", str(folder / "tiny.toml"), "--data", str(folder), "--out", str(folder), "--threads", "1"]
    assert train.main(call) == 0
    return folder


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def test_a_few_drawn_characters_are_learnt_by_heart(run: Path) -> None:
    network = load_network(IdentityConfig.load(run / "tiny.toml"), run / "last.pt")
    learnt = score(embedder_of(network), draw_characters(0, 8, 6))
    assert learnt.auc > 0.95
    assert (learnt.crops, learnt.characters) == (48, 8)
    before = score(open_embed("colours"), draw_characters(0, 8, 6))
    assert learnt.auc > before.auc


def test_a_run_judges_on_the_show_that_it_leaves_out(run: Path) -> None:
    judged = [row for row in rows(run) if "score_auc" in row]
    assert [row["iteration"] for row in judged] == [7, 14, 21, 28, 30]
    assert judged[-1]["score_characters"] == 2
    assert judged[-1]["crops"] == 30 * 16


def test_a_run_goes_on_where_it_ended(run: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes((run / "last.pt").read_bytes())
    call = ["--config", str(run / "tiny.toml"), "--data", str(run), "--out", str(tmp_path), "--threads", "1"]
    assert train.main([*call, "--iterations", "32", "--leave-out", "drawn1"]) == 0
    assert rows(tmp_path)[-1]["iteration"] == 32
    assert torch.load(tmp_path / "last.pt", weights_only=True)["pictures"] == 32 * 16


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of the run, beside its weights; tests write nothing into its folder."""
    folder = tmp_path_factory.mktemp("exported")
    target = folder / "tiny.onnx"
    call = ["--config", str(run / "tiny.toml"), "--checkpoint", str(run / "last.pt"), "--output", str(target)]
    weights = ["--weights", str(folder / "tiny.safetensors"), "--link-similarity", "0.5", "--version", "1.2"]
    assert export.main([*call, *weights]) == 0
    return target


def test_the_model_file_is_the_network_and_describes_itself(run: Path, exported: Path) -> None:
    pixels = draw_characters(20, 2, 2).pixels
    network = load_network(IdentityConfig.load(run / "tiny.toml"), exported.with_name("tiny.safetensors"))
    expected = embedder_of(network)(pixels)
    session = onnxruntime.InferenceSession(str(exported))
    batch = normalise(torch.from_numpy(pixels)).contiguous().numpy()
    found = session.run(["embeddings"], {"images": batch})[0]
    assert np.abs(found - expected).max() < 0.02  # its weights are fp16
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    with FaceEmbedder.open(exported) as embedder:
        least = {"f32": 0.99999, "bf16": 0.95}[embedder.precision]  # a CPU that has bf16 computes in it
        assert (embedder.embed(pixels) * found).sum(1).min() > least
    values = json.loads(read_metadata(exported)["acfd_stream"])
    assert (values["kind"], values["name"], values["version"]) == ("embedding", "tiny", "1.2")
    assert (values["dimensions"], values["size"], values["link_similarity"]) == (16, SIDE, 0.5)


def write_crops(folder: Path) -> Path:
    crops = draw_characters(8, 2, 7)
    lines = ["file,show,character,quality"]
    for number, (pixels, name) in enumerate(zip(crops.pixels, crops.characters, strict=True)):
        assert cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        lines.append(f"{number}.png,hill,{name},clean")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


def test_the_int8_file_is_of_the_model_file_and_close_to_it(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, table = Path(shutil.copy(exported, tmp_path)), str(write_crops(tmp_path))
    assert quantise.main([str(path), "--table", table, "--most-fall", "-1"]) == 1
    assert "AUC falls by" in capsys.readouterr().err
    assert quantise.main([str(path), "--table", table, "--most-fall", "1"]) == 0
    target = tmp_path / "tiny.int8.onnx"
    assert is_quantised(target)
    assert read_metadata(target)[MADE_FROM] == digest(path)
    pixels = draw_characters(20, 2, 2).pixels
    cosines = (open_embed(str(path))(pixels) * open_embed(str(target))(pixels)).sum(1)
    assert cosines.mean() > 0.7


def test_the_int8_file_keeps_the_mean_of_what_it_was_measured_on(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "made.onnx"
    crops = draw_characters(8, 2, 4).pixels
    quantise.quantise_embedding(exported, crops, target)
    inputs = [{"images": normalise(torch.from_numpy(crop[None])).contiguous().numpy()} for crop in crops]
    means = [quantise._mean_vector(onnx.load(file), inputs) for file in (exported, target)]
    assert np.abs(means[0] - means[1]).max() < 1e-2 * np.abs(means[0]).max()


def test_evaluate_prints_each_show_and_the_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(write_crops(tmp_path))
    assert evaluate.main(["colours", "hill", "--table", table]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["hill", "mean"]
    assert "(14 crops, 2 characters" in lines[0]
    assert evaluate.main(["colours", "hill", "--table", table, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shows"]["hill"]["crops"] == 14
    assert evaluate.main(["colours", "sea", "--table", table]) == 1
    assert evaluate.main(["missing.pt", "hill", "--table", table]) == 1
    assert "weights need --config" in capsys.readouterr().err


def test_export_writes_over_no_file_that_it_reads(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--config", str(run / "tiny.toml"), "--checkpoint", str(run / "last.pt")]
    assert export.main([*files, "--link-similarity", "0.5", "--output", str(run / "last.pt")]) == 1
    assert "choose another name" in capsys.readouterr().err
    assert export.main([*files, "--link-similarity", "2", "--output", str(run / "x.onnx")]) == 1


def test_the_shipped_config_is_valid_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    assert IdentityConfig.load(ROOT / "model/configs/acfd-id.toml").name == "acfd-id"
    for text, message in (("name = 'x'", "lacks data"), (CONFIG + "\n[margin]\nm = 1", "has no setting m")):
        (tmp_path / "wrong.toml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            IdentityConfig.load(tmp_path / "wrong.toml")
