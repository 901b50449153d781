"""The fp16 model that TensorRT is given: typed through and through, and of the same results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from acfd_stream.detect.detector import find_model
from acfd_stream.detect.half_graph import arithmetic, half_model
from acfd_stream.detect.onnx_graph import load_model
from acfd_stream.errors import RunnerError
from tests.detect.tiny_model import write_tiny_model

FP16_SCORES = 0.002  # of the shipped model on blocks of colour; measured 0.0003
FP16_DELTAS = 0.007  # of the largest, as fp16 rounds in proportion; measured 0.003
COMMON_DELTA = 7.0  # where all are smaller, of this: 0.005 anchors


def halved(path: Path) -> onnx.ModelProto:
    model = onnx.load_model_from_string(half_model(path))
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    ports = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    types = {entry.name: entry.type.tensor_type.elem_type for entry in ports}
    return types | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


@pytest.fixture(params=["acfd-n", "tiny"])
def model_path(request: pytest.FixtureRequest, tiny_model: Path) -> Path:
    return tiny_model if request.param == "tiny" else find_model(request.param)


def test_pictures_are_fp16_and_results_float32(model_path: Path) -> None:
    types = types_of(halved(model_path))
    assert types["images"] == TensorProto.FLOAT16
    assert types["scores"] == types["deltas"] == TensorProto.FLOAT


def test_every_float_of_a_layer_is_of_one_type_and_scores_are_made_in_float32(model_path: Path) -> None:
    model = halved(model_path)
    types, floats = types_of(model), (TensorProto.FLOAT, TensorProto.FLOAT16)
    for node in model.graph.node:
        given = {types[name] for at, name in enumerate(node.input) if name and not (node.op_type == "Resize" and at)}
        assert len(given & set(floats)) <= 1, node
        if node.op_type == "Conv":
            assert given == {TensorProto.FLOAT16}
        if node.op_type == "Sigmoid":
            assert given == {TensorProto.FLOAT}


def test_no_cast_is_left_but_before_scores_and_results() -> None:
    model = halved(find_model("acfd-n"))
    casts = Counter(node.op_type for node in model.graph.node)["Cast"]
    assert casts == 2
    assert {entry.key for entry in model.metadata_props} == {"acfd_stream"}
    assert len(model.SerializeToString()) < 1.02 * find_model("acfd-n").stat().st_size


def run(model: onnx.ModelProto, images: np.ndarray) -> list[np.ndarray]:
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    given = compiled({"images": images})
    return [given["scores"], given["deltas"]]


def deltas_tolerance(expected: np.ndarray) -> float:
    """How far fp16 may be from deltas of f32, in units of the variances."""
    return FP16_DELTAS * max(COMMON_DELTA, float(np.abs(expected).max()))


def test_it_gives_what_the_model_gives(model_path: Path) -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 12)).astype(np.float16).repeat(16, 2).repeat(16, 3)
    expected = run(onnx.load(model_path), images.astype(np.float32))
    got = run(halved(model_path), images)
    assert np.abs(got[0] - expected[0]).max() < FP16_SCORES
    assert np.abs(got[1] - expected[1]).max() < deltas_tolerance(expected[1])


def test_a_model_of_fp16_is_left_alone(tmp_path: Path, tiny_model: Path) -> None:
    once = half_model(tiny_model)
    (tmp_path / "half.onnx").write_bytes(once)
    assert half_model(tmp_path / "half.onnx") == once


def quantised(path: Path, target: Path) -> Path:
    """The tiny model with its first layer's output brought to int8 and back."""
    model = onnx.load(path)
    scale = numpy_helper.from_array(np.array(1 / 127, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(0, np.int8), "zero")
    model.graph.initializer.extend([scale, zero])
    first, rest = model.graph.node[0], list(model.graph.node[1:])
    first.output[0] = "exact"
    pair = [
        helper.make_node("QuantizeLinear", ["exact", "scale", "zero"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["gray"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend([first, *pair, *rest])
    onnx.save(model, target)
    return target


def test_what_is_quantised_stays_so(tmp_path: Path, tiny_model: Path) -> None:
    path = quantised(tiny_model, tmp_path / "int8.onnx")
    assert (arithmetic(path), arithmetic(tiny_model)) == ("int8", "f16")
    model = halved(path)
    types = types_of(model)
    assert (types["bytes"], types["gray"], types["exact"]) == (
        TensorProto.INT8,
        TensorProto.FLOAT16,
        TensorProto.FLOAT16,
    )
    assert model.opset_import[0].version >= 19


def test_a_float_that_is_asked_for_stays_float(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["images"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["wide", "weight"], ["sum"]),
        helper.make_node("Mul", ["sum", "images"], ["scores"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in ("images", "scores")]
    weight = numpy_helper.from_array(np.ones(1, np.float16).astype(np.float32), "weight")
    graph = helper.make_graph(nodes, "wide", ports[:1], ports[1:], [weight])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "wide.onnx"
    )
    types = types_of(halved(tmp_path / "wide.onnx"))
    assert types["images"] == TensorProto.FLOAT16
    assert types["sum"] == types["scores"] == TensorProto.FLOAT


def test_a_constant_becomes_a_weight(tmp_path: Path, tiny_model: Path) -> None:
    model: Any = onnx.load(tiny_model)
    value = numpy_helper.from_array(np.array([2], np.int64), "value")
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "last"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["last"], value=value))
    onnx.save(model, tmp_path / "constant.onnx")
    assert types_of(halved(tmp_path / "constant.onnx"))["last"] == TensorProto.INT64


@pytest.mark.parametrize("content", [b"no model", None])
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    for read in (half_model, load_model):
        with pytest.raises(RunnerError, match=r"model file .*broken\.onnx") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_half_model_still_describes_itself(tmp_path: Path) -> None:
    from acfd_stream.detect.runner import read_spec

    path = write_tiny_model(tmp_path / "tiny.onnx")
    (tmp_path / "half.onnx").write_bytes(half_model(path))
    assert read_spec(tmp_path / "half.onnx") == read_spec(path)
