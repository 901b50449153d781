"""The runner of torch against OpenVINO on the same file, and operator by operator against ONNX's own reference."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import find_model
from acfd_stream.detect.graph_plan import Plan
from acfd_stream.detect.onnx_graph import read_graph
from acfd_stream.detect.openvino_runner import OpenVinoRunner
from acfd_stream.detect.runner import read_spec
from acfd_stream.detect.torch_runner import TorchNetwork, check_cuda, translated
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import anchor_count
from tests.detect.openers import DeviceRunner, torch_on_cpu
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.test_onnx_graph import FP16_SCORES, deltas_tolerance, quantised
from tests.detect.tiny_model import write_tiny_model

F32_SCORES = 5e-6  # two libraries add float32 products in their own orders; measured 2e-7 on the shipped model
F32_DELTAS = 1e-4  # the same, of values up to 5; measured 5e-6
RANDOM = np.random.default_rng(0)


def pictures(*shape: int) -> np.ndarray:
    """Blocks of colour: something between noise and a drawing."""
    small = np.random.default_rng(2).integers(0, 256, (shape[0], shape[1] // 8, shape[2] // 8, 3), dtype=np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


@pytest.mark.parametrize("size", [(96, 128), (160, 96), (32, 32)])
def test_the_shipped_model_gives_what_openvino_gives_in_float32(size: tuple[int, int]) -> None:
    model = find_model("acfd-n")
    openvino = OpenVinoRunner(model, read_spec(model), DetectConfig(threads=1, precision="f32"))
    runner = DeviceRunner(torch_on_cpu(model))
    images = pictures(2, *size)
    expected, got = openvino.run(images), runner.run(images)
    assert np.abs(got[0] - expected[0]).max() < F32_SCORES
    assert np.abs(got[1] - expected[1]).max() < F32_DELTAS
    assert expected[0].std() > 100 * F32_SCORES  # the scores are not all alike
    openvino.close()
    runner.close()


def test_a_batch_at_once_gives_what_one_by_one_gives() -> None:
    model = find_model("acfd-n")
    images = pictures(3, 64, 96)
    alone = DeviceRunner(torch_on_cpu(model)).run(images)
    network = torch_on_cpu(model)
    network.network.is_batched = True  # type: ignore[attr-defined]
    together = DeviceRunner(network).run(images)
    assert np.abs(together[0] - alone[0]).max() < F32_SCORES
    assert np.abs(together[1] - alone[1]).max() < F32_DELTAS


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
# Operator, attributes and inputs besides x [2, 4, 6, 8]; None: left out.
OPERATORS: list[tuple[str, dict[str, Any], list[np.ndarray | None]]] = [
    ("Add", {}, [floats(4, 1, 1)]),
    ("Sub", {}, [floats(8)]),
    ("Mul", {}, [floats(1)]),
    ("Div", {}, [floats(2, 4, 6, 8) + 3]),
    ("Identity", {}, []),
    ("Relu", {}, []),
    ("Sigmoid", {}, []),
    ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, []),
    ("HardSigmoid", {}, []),
    ("Concat", {"axis": 1}, [floats(2, 3, 6, 8)]),
    ("Transpose", {"perm": [0, 2, 3, 1]}, []),
    ("Conv", {"pads": [1, 1, 1, 1], "strides": [2, 1], "group": 2}, [floats(6, 2, 3, 3), floats(6)]),
    ("Conv", {"dilations": [2, 2]}, [floats(5, 4, 2, 3)]),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, []),
    ("MaxPool", {"kernel_shape": [4, 3], "strides": [2, 2], "ceil_mode": 1}, []),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, []),
    ("AveragePool", {"kernel_shape": [2, 4], "count_include_pad": 1, "pads": [1, 1, 1, 1]}, []),
    ("GlobalAveragePool", {}, []),
    ("ReduceMean", {"keepdims": 1}, [ints(2, 3)]),
    ("ReduceMean", {"keepdims": 0}, [ints(1)]),
    ("Resize", NEAREST, [None, np.array([1, 1, 2, 3], np.float32)]),
    ("Reshape", {}, [ints(0, -1, 4)]),
    ("Slice", {}, [ints(1, 0), ints(3, 10**9), ints(1, 3), ints(1, 2)]),
    ("Slice", {}, [ints(0, 1), ints(2, 3)]),
    ("Gather", {"axis": 2}, [np.array(3)]),
    ("Unsqueeze", {}, [ints(0, 3)]),
]


def network_of(op: str, attributes: dict[str, Any], others: list[np.ndarray | None]) -> onnx.ModelProto:
    """A network of one operator on x, its other inputs weights."""
    weights = {f"w{place}": value for place, value in enumerate(others) if value is not None}
    names = [f"w{place}" if value is not None else "" for place, value in enumerate(others)]
    node = helper.make_node(op, ["x", *names], ["y"], **attributes)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    initial = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph([node], op, ports[:1], ports[1:], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run_alone(folder: Path, model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What the steps of a network of one operator give for ``x``."""
    onnx.save(model, folder / "one.onnx")
    graph = read_graph(folder / "one.onnx")
    with translated("graph"):
        plan = Plan(graph, torch, x.shape, torch.float32, lambda _, value, __: torch.from_numpy(np.array(value)))
        result: np.ndarray = plan.run(torch.from_numpy(x))["y"].numpy()
    assert result.shape == plan.outputs["y"]
    return result


@pytest.mark.parametrize(
    ("op", "attributes", "others"), OPERATORS, ids=[f"{op}-{at}" for at, (op, *_) in enumerate(OPERATORS)]
)
def test_an_operator_does_what_onnx_says(
    tmp_path: Path, op: str, attributes: dict[str, Any], others: list[np.ndarray | None]
) -> None:
    model, x = network_of(op, attributes, others), floats(2, 4, 6, 8)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert run_alone(tmp_path, model, x) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("op", "attributes", "others", "message"),
    [
        ("LRN", {"size": 3}, [], "operator LRN is not known to the torch runner"),
        ("Conv", {"pads": [0, 0, 1, 1]}, [floats(4, 4, 3, 3)], "Conv is known here in two dimensions with equal"),
        ("Conv", {"auto_pad": "SAME_UPPER"}, [floats(4, 4, 3, 3)], "SAME_UPPER"),
        ("Resize", {"mode": "linear"}, [None, np.array([1, 1, 2, 2], np.float32)], "by whole factors to the nearest"),
        ("Resize", NEAREST, [None, np.array([1, 1, 1.5, 2], np.float32)], "by whole factors"),
        ("Slice", {}, [ints(5), ints(0), ints(3), ints(-1)], "steps forward only"),
        ("Gather", {}, [ints(1, 0)], "Gather is known here by one index"),
        ("Add", {}, [floats(7)], "torch failed: "),
    ],
)
def test_what_an_operator_cannot_do_is_said(
    tmp_path: Path, op: str, attributes: dict[str, Any], others: list[np.ndarray | None], message: str
) -> None:
    with pytest.raises(RunnerError, match=message) as caught:
        run_alone(tmp_path, network_of(op, attributes, others), floats(2, 4, 6, 8))
    assert "\n" not in str(caught.value)


def test_a_quantised_network_gives_what_openvino_gives(tiny_model: Path, tmp_path: Path) -> None:
    path = quantised(tiny_model, tmp_path / "int8.onnx")
    openvino, runner = OpenVinoRunner(path, read_spec(path), DetectConfig()), DeviceRunner(torch_on_cpu(path))
    images = pictures(2, 64, 96)
    expected, exact = openvino.run(images)[0], DeviceRunner(torch_on_cpu(tiny_model)).run(images)[0]
    assert np.abs(runner.run(images)[0] - expected).max() < F32_SCORES
    assert np.abs(exact - expected).max() > 10 * F32_SCORES  # the bytes are seen
    openvino.close()


@pytest.mark.parametrize("scale", [np.array([0.5, 0.25, 2, 1], np.float32), np.array(0.5, np.float32)])
def test_a_weight_of_bytes_comes_back_by_its_scales(tmp_path: Path, scale: np.ndarray) -> None:
    steps, zero = RANDOM.integers(-127, 128, (6, 4, 3, 3)).astype(np.int8), np.ones(scale.shape, np.int8)
    names = {"steps": steps, "scale": scale, "zero": zero}
    nodes = [
        helper.make_node("DequantizeLinear", list(names), ["weight"], axis=1),
        helper.make_node("Conv", ["x", "weight"], ["y"]),
    ]
    model = network_of("Conv", {}, [])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import[0].version = 19
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in names.items())
    x = floats(2, 4, 6, 8)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert run_alone(tmp_path, model, x) == pytest.approx(expected, abs=1e-3)


def test_the_input_is_left_as_it_was(tiny_model: Path) -> None:
    gpu = torch_on_cpu(tiny_model)
    images, scores, deltas = (
        np.ones((1, 3, 64, 64), np.float32),
        np.empty((1, 84), np.float32),
        np.empty((1, 84, 4), np.float32),
    )
    (program,) = gpu.network.programs((64, 64), (1,), images, scores, deltas)
    program.launch()
    first = scores.copy()
    program.launch()
    assert (images == 1).all()
    assert np.array_equal(scores, first)


def test_a_file_that_is_no_network_of_ours_is_refused(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "renamed.onnx")
    model = onnx.load(path)
    model.graph.input[0].name = model.graph.node[0].input[0] = "pixels"
    onnx.save(model, path)
    with pytest.raises(RunnerError, match="must take 'images' and give 'scores' and 'deltas', got pixels and"):
        TorchNetwork(path, read_spec(path), "cpu")


def test_cuda_without_a_gpu_is_refused_in_one_line(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match="sees no GPU"):
        check_cuda()
    with pytest.raises(BackendUnavailable, match="sees no GPU"):
        TorchNetwork(tiny_model, read_spec(tiny_model), "cuda", StandInOps())


class Recording:
    """A CUDA graph that only counts."""

    def __init__(self) -> None:
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1


def test_on_a_gpu_it_computes_in_fp16_and_replays_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is said to CUDA, said to nobody: the arithmetic is that of the CPU, in fp16 and at once."""
    streams: list[int] = []
    graphs: list[Recording] = []
    captures: list[Any] = []
    stream = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda handle: streams.append(handle) or stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda given: nullcontext(given))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graphs.append(Recording()) or graphs[-1])
    monkeypatch.setattr(torch.cuda, "graph", lambda *given, **named: captures.append((given, named)) or nullcontext())
    model, ops = find_model("acfd-n"), StandInOps()
    network = TorchNetwork(model, read_spec(model), "cuda", ops)
    network._device = torch.device("cpu")
    assert (network.facts.precision, network.facts.device, streams) == ("f16", "stand-in", [ops.stream])
    assert network.dtype == np.float16
    anchors = anchor_count((64, 64), network.spec.anchors)
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float16)
    scores, deltas = np.empty((2, anchors), np.float32), np.empty((2, anchors, 4), np.float32)
    alone, both = network.programs((64, 64), (1, 2), images, scores, deltas)
    exact = TorchNetwork(model, network.spec, "cpu")
    expected = np.empty_like(scores), np.empty_like(deltas)
    exact.programs((64, 64), (2,), images.astype(np.float32), *expected)[0].launch()
    assert np.abs(scores - expected[0]).max() < FP16_SCORES
    assert np.abs(deltas - expected[1]).max() < deltas_tolerance(expected[1])
    for program in (alone, both, both):
        program.launch()
    assert [graph.replays for graph in graphs] == [1, 2]
    assert captures[-1] == ((graphs[-1], "pool", stream), {"capture_error_mode": "thread_local"})
