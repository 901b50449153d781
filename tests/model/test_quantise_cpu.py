"""The int8 twin of a model: made by NNCF, of the model it lies beside, and with its faces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import Detector, models
from acfd_stream.detect.runner import read_spec
from acfd_stream.model import quantise_cpu
from acfd_stream.model.quantise_cpu import last_convolutions, main, quantise_for_cpu, widened
from acfd_stream.model.toon.sets import draw_set
from acfd_stream.networks.model_file import is_quantised, read_metadata
from acfd_stream.networks.precision import MADE_FROM, choose_file, digest, int8_path_of, is_int8_variant
from tests.detect.tiny_model import white_square, write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
SURE, STILL_THERE = 0.7, 0.3  # scores of a face in float32, and at least in int8


def squares(count: int) -> list[np.ndarray]:
    return [white_square((96, 128), 4 + 8 * number, 20, 32) for number in range(count)]


def test_nncf_writes_the_model_with_bytes_and_all_that_it_says_of_itself(tmp_path: Path) -> None:
    path, target = write_tiny_model(tmp_path / "tiny.onnx"), tmp_path / "twin.onnx"
    quantise_for_cpu(path, squares(4), target)
    assert (is_quantised(target), is_quantised(path)) == (True, False)
    assert read_spec(target) == read_spec(path)
    assert read_metadata(target)[MADE_FROM] == digest(path)
    weights = {tensor.data_type for tensor in onnx.load(target).graph.initializer}
    assert onnx.TensorProto.INT8 in weights
    with Detector.open(target, "cpu", DetectConfig(size=128)) as detector:
        assert detector.precision == "int8"
        assert detector.detect(squares(5)[4]).boxes_xyxy[0].tolist() == [36, 20, 68, 52]


def test_a_twin_that_finds_fewer_faces_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    monkeypatch.setattr(quantise_cpu, "SHOWN_DRAWN", (("crowds", 1),))
    monkeypatch.setattr(quantise_cpu, "quantise_for_cpu", lambda path, _, target: target.write_bytes(path.read_bytes()))
    assert main([str(path), "--count", "1", "--most-fall", "-1"]) == 1
    assert not int8_path_of(path).exists()
    assert capsys.readouterr().err == "python -m acfd_stream.model.quantise_cpu: AP50 falls by 0.0000: not kept\n"
    assert main([str(path), "--count", "1"]) == 0
    assert int8_path_of(path).read_bytes() == path.read_bytes()


def test_the_shipped_twin_is_of_the_shipped_model() -> None:
    for path in (model.path for model in models() if int8_path_of(model.path).is_file()):
        twin = int8_path_of(path)
        assert is_int8_variant(twin)
        assert is_quantised(twin)
        assert choose_file(path, twin, "f32") == path
        assert read_spec(twin) == read_spec(path)
        made_from = read_metadata(twin)[MADE_FROM]
        assert made_from == digest(path), f"run `python -m acfd_stream.model.quantise_cpu {path.stem}` again"


def test_a_wheel_holds_every_model_with_its_twin(tmp_path: Path) -> None:
    call = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(call, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    shipped = {path.name for path in (ROOT / "model" / "weights").glob("*.onnx")}
    assert {path.name for path in (tmp_path / "acfd_stream" / "model" / "weights").glob("*.onnx")} == shipped
    assert {int8_path_of(model.path).name for model in models() if "int8" in model.precisions} <= shipped


def test_the_shipped_twin_sees_the_faces_that_the_model_sees() -> None:
    picture = list(draw_set("crowds", 4))[3][0]
    found = {}
    for asked in ("auto", "f32"):
        with Detector.open("acfd-n", "cpu", DetectConfig(threads=1, precision=asked)) as detector:
            found[asked] = detector.detect(picture)
    sure = found["f32"].boxes_xyxy[found["f32"].scores > SURE]
    small = found["auto"].boxes_xyxy[found["auto"].scores > STILL_THERE]
    assert len(sure) >= 2
    for box in sure:
        assert np.abs(small - box).max(axis=1).min() < 0.15 * (box[2] - box[0])


def test_convolutions_that_give_scores_and_boxes_are_told_from_those_before_them(tmp_path: Path) -> None:
    model = widened(write_tiny_model(tmp_path / "tiny.onnx"))
    assert last_convolutions(model) == []  # its nodes have no names to tell them by
    for place, node in enumerate(model.graph.node):
        node.name = f"{node.op_type} {place}"
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    last = last_convolutions(model)
    assert last == [node.name for node in convolutions[1:]]  # the first makes grey of colours, before all the others
