"""A model in int8: bytes where they pay, faces where they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect import Detector
from acfd_stream.detect.detector import find_model
from acfd_stream.detect.half_graph import arithmetic, half_model
from acfd_stream.detect.runner import read_spec
from acfd_stream.model.quantise import find_ranges, main, quantise, views_of
from acfd_stream.model.toon.sets import draw_set
from tests.detect.openers import open_runner

SIZE = 192
COSINE = 0.95  # between the scores of float32 and int8 for pictures that no range was taken from; measured 0.97 … 0.995


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [image for image, _ in draw_set("crowds", 4)]


@pytest.fixture(scope="module")
def quantised(pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, target = find_model("acfd-n"), tmp_path_factory.mktemp("int8") / "acfd-n.onnx"
    quantise(model, find_ranges(model, views_of(pictures[:2], SIZE)), target)
    return target


def test_every_convolution_between_pixels_and_results_takes_bytes(quantised: Path) -> None:
    model = onnx.load(quantised)
    onnx.checker.check_model(model, full_check=True)
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    kinds = {True: 0, False: 0}
    for node in model.graph.node:
        if node.op_type == "Conv":
            parts = [made_by.get(name, "") for name in node.input[:2]]
            assert (parts[0] == "DequantizeLinear") == (parts[1] == "DequantizeLinear"), node.name
            kinds[parts[0] == "DequantizeLinear"] += 1
    ends = 1 + 6  # the first, the results of six levels
    assert kinds == {True: 74 - ends, False: ends}


def test_it_says_of_itself_what_the_model_says_and_is_smaller(quantised: Path) -> None:
    assert read_spec(quantised) == read_spec(find_model("acfd-n"))
    assert arithmetic(quantised) == "int8"
    assert quantised.stat().st_size < 0.65 * find_model("acfd-n").stat().st_size


def scores(model: Path, view: np.ndarray) -> np.ndarray:
    runner = open_runner(model, "cpu", DetectConfig(threads=1))
    found, _ = runner.run(view[None])
    runner.close()
    return found


def test_scores_are_close_to_those_of_the_model(quantised: Path, pictures: list[np.ndarray]) -> None:
    for view in views_of(pictures[2:], SIZE):
        got, expected = scores(quantised, view), scores(find_model("acfd-n"), view)
        assert float((got * expected).sum() / np.sqrt((got**2).sum() * (expected**2).sum())) > COSINE
        assert not np.array_equal(got, expected)


def test_best_faces_are_where_they_were(quantised: Path, pictures: list[np.ndarray]) -> None:
    with (
        Detector.open(quantised, "cpu", DetectConfig(size=448)) as int8,
        Detector.open("acfd-n", "cpu", DetectConfig(size=448)) as exact,
    ):
        got, expected = int8.detect(pictures[3]), exact.detect(pictures[3])
    sure = expected.scores > 0.7
    assert sure.sum() >= 2
    for box in expected.boxes_xyxy[sure]:
        assert np.abs(got.boxes_xyxy - box).max(axis=1).min() < 0.15 * (box[2] - box[0])


def test_a_gpu_is_given_bytes_with_scales_in_fp16(quantised: Path) -> None:
    model = onnx.load_model_from_string(half_model(quantised))
    onnx.checker.check_model(model, full_check=True)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    steps = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in weights]
    assert steps
    for node in steps:
        assert weights[node.input[0]].data_type == onnx.TensorProto.INT8
        assert weights[node.input[1]].data_type == onnx.TensorProto.FLOAT16
        assert onnx.numpy_helper.to_array(weights[node.input[1]]).min() > 0


def test_a_model_that_finds_fewer_faces_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ["acfd-n", str(tmp_path / "int8.onnx"), "--count", "1", "--size", "160"]
    assert main([*call, "--most-fall", "1.1"]) == 0
    assert (tmp_path / "int8.onnx").is_file()
    assert main([*call, "--most-fall", "-1.1"]) == 1
    assert not (tmp_path / "int8.onnx").exists()
    assert "AP50 falls by" in capsys.readouterr().err
    assert main(["nowhere.onnx", str(tmp_path / "int8.onnx")]) == 1
    assert capsys.readouterr().err == "python -m acfd_stream.model.quantise: model file nowhere.onnx does not exist\n"
