"""The runner of ONNX Runtime against OpenVINO on the same file; what is told to a GPU is told to a stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect import onnxruntime_runner
from acfd_stream.detect.detector import find_model
from acfd_stream.detect.onnxruntime_runner import OnnxRuntimeNetwork, check_cuda
from acfd_stream.detect.openvino_runner import OpenVinoRunner
from acfd_stream.detect.runner import read_spec
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import anchor_count
from tests.detect.openers import DeviceRunner, onnxruntime_on_cpu
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.test_half_graph import FP16_SCORES, deltas_tolerance, quantised
from tests.detect.tiny_model import write_tiny_model

F32_SCORES = 5e-6  # two libraries add float32 products in their own orders; measured 2e-7 on the shipped model
F32_DELTAS = 1e-4  # the same, of values up to 5; measured 5e-6


def pictures(*shape: int) -> np.ndarray:
    """Blocks of colour: something between noise and a drawing."""
    small = np.random.default_rng(2).integers(0, 256, (shape[0], shape[1] // 8, shape[2] // 8, 3), dtype=np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


@pytest.mark.parametrize("size", [(96, 128), (160, 96), (32, 32)])
def test_the_shipped_model_gives_what_openvino_gives_in_float32(size: tuple[int, int]) -> None:
    model = find_model("acfd-n")
    openvino = OpenVinoRunner(model, read_spec(model), DetectConfig(threads=1, precision="f32"))
    runner = DeviceRunner(onnxruntime_on_cpu(model))
    images = pictures(2, *size)
    expected, got = openvino.run(images), runner.run(images)
    assert np.abs(got[0] - expected[0]).max() < F32_SCORES
    assert np.abs(got[1] - expected[1]).max() < F32_DELTAS
    assert expected[0].std() > 100 * F32_SCORES  # the scores are not all alike
    openvino.close()
    runner.close()


def test_a_quantised_network_gives_what_openvino_gives(tiny_model: Path, tmp_path: Path) -> None:
    path = quantised(tiny_model, tmp_path / "int8.onnx")
    openvino, runner = OpenVinoRunner(path, read_spec(path), DetectConfig()), DeviceRunner(onnxruntime_on_cpu(path))
    images = pictures(2, 64, 96)
    expected, exact = openvino.run(images)[0], DeviceRunner(onnxruntime_on_cpu(tiny_model)).run(images)[0]
    assert np.abs(runner.run(images)[0] - expected).max() < F32_SCORES
    assert np.abs(exact - expected).max() > 10 * F32_SCORES  # the bytes are seen
    openvino.close()


def test_the_input_is_left_as_it_was(tiny_model: Path) -> None:
    gpu = onnxruntime_on_cpu(tiny_model)
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
        onnxruntime_on_cpu(path)


def test_a_file_that_onnxruntime_refuses_is_named_in_one_line(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "unknown.onnx"
    model = onnx.load(tiny_model)
    model.graph.node[0].op_type = "Unknown"
    onnx.save(model, path)
    with pytest.raises(RunnerError, match=r"model file .*unknown\.onnx: ONNX Runtime failed: ") as caught:
        onnxruntime_on_cpu(path)
    assert "\n" not in str(caught.value)


def test_without_a_gpu_cuda_is_refused_in_one_line(tiny_model: Path) -> None:
    if onnxruntime_runner.CUDA in onnxruntime.get_available_providers():
        return
    with pytest.raises(BackendUnavailable, match="has no CUDA; run `pip install onnxruntime-gpu`"):
        check_cuda()
    ops: Any = StandInOps()
    with (
        pytest.raises(BackendUnavailable, match="cannot start the GPU"),
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
    ):
        OnnxRuntimeNetwork(tiny_model, read_spec(tiny_model), ops, DetectConfig())


class CudaSession(onnxruntime.InferenceSession):  # type: ignore[misc]
    """A session that says it has a GPU and computes on the CPU."""

    asked: ClassVar[list[Any]] = []

    def __init__(self, data: bytes, options: Any, providers: list[Any]) -> None:
        self.asked.append((onnx.load_model_from_string(data), providers))
        super().__init__(data, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return [onnxruntime_runner.CUDA]


def test_on_a_gpu_it_is_given_fp16_and_the_stream_of_the_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ops = find_model("acfd-n"), StandInOps()
    exact = onnxruntime_on_cpu(model).network
    monkeypatch.setattr(onnxruntime, "InferenceSession", CudaSession)
    network = OnnxRuntimeNetwork(model, read_spec(model), ops, DetectConfig())  # type: ignore[arg-type]
    network._device = "cpu"
    (given, providers), facts = CudaSession.asked[-1], network.facts
    assert providers[0][0] == onnxruntime_runner.CUDA
    assert providers[0][1]["user_compute_stream"] == str(ops.stream)
    assert given.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    assert (facts.backend, facts.precision, facts.device, facts.sm) == ("onnxruntime", "f16", "stand-in", "0.0")
    anchors = anchor_count((64, 64), network.spec.anchors)
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(network.dtype)
    scores, deltas = np.empty((2, anchors), np.float32), np.empty((2, anchors, 4), np.float32)
    network.programs((64, 64), (1, 2), images, scores, deltas)[1].launch()
    expected = np.empty_like(scores), np.empty_like(deltas)
    exact.programs((64, 64), (2,), images.astype(np.float32), *expected)[0].launch()
    assert np.abs(scores - expected[0]).max() < FP16_SCORES
    assert np.abs(deltas - expected[1]).max() < deltas_tolerance(expected[1])
