"""The runners that the contract is tested with, each by its name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acfd_stream.config import DetectConfig
from acfd_stream.detect import tensorrt_runner
from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.device_choice import open_network
from acfd_stream.detect.device_sizes import NetworkSizes
from acfd_stream.detect.engine_cache import EngineCache
from acfd_stream.detect.onnxruntime_runner import CPU, OnnxRuntimeNetwork
from acfd_stream.detect.runner import EngineFacts, ModelSpec, Runner, check_finite, check_images, read_spec
from acfd_stream.detect.tensorrt_runner import TensorRTNetwork
from acfd_stream.networks.precision import int8_path_of
from acfd_stream.ops.anchors import anchor_count
from acfd_stream.ops.cuda import CudaOps
from acfd_stream.types import FloatArray
from tests.detect.fake_tensorrt import VERSIONS, make_tensorrt
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.tiny_model import write_tiny_int8
from tests.ops.cuda_on_cpu.device import CpuDevice

BATCH = DetectConfig(batch=3)


class DeviceRunner:
    """A network on a GPU as a ``Runner`` of host arrays: images are normalised on the host and copied."""

    concurrency = 1

    def __init__(self, gpu: GpuNetwork) -> None:
        self._gpu = gpu
        self._sizes = NetworkSizes(gpu)

    @property
    def spec(self) -> ModelSpec:
        """What the model file says of itself."""
        return self._gpu.network.spec

    @property
    def facts(self) -> EngineFacts:
        """What runs the network."""
        return self._gpu.network.facts

    def run(self, images: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Scores and deltas of every anchor; see ``Runner.run``."""
        size = check_images(images)
        anchors = anchor_count(size, self.spec.anchors)
        scores = np.empty((len(images), anchors), np.float32)
        deltas = np.empty((len(images), anchors, 4), np.float32)
        self._sizes.prepare(size)
        with self._sizes.stream():
            network = self._sizes.at(size)
            batch = network.usable[-1]
            for begin in range(0, len(images), batch):
                part = slice(begin, begin + batch)
                values = self._normalised(images[part])
                self._gpu.ops.to_device(values, network.letterboxes.images[: len(values)])
                network.launch(len(values))
                scores[part], deltas[part] = network.outputs(len(values))
        check_finite(self.spec.name, scores, deltas)
        return scores, deltas

    def close(self) -> None:
        """Free the network; a second call does nothing."""
        self._sizes.close()

    def _normalised(self, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        values = (images.astype(np.float32) - np.array(self.spec.mean, np.float32)) / np.array(
            self.spec.std, np.float32
        )
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2).astype(self._gpu.network.dtype))


def open_runner(path: Path, device: str = "auto", config: DetectConfig | None = None) -> Runner:
    """The network of the file at ``path`` on ``device``; raises as ``open_network`` does."""
    opened = open_network(path, device, config or DetectConfig())
    return DeviceRunner(opened) if isinstance(opened, GpuNetwork) else opened


def kernels_on_cpu() -> CudaOps:
    """The ops of a GPU with their kernels run on the CPU."""
    return CudaOps(CpuDevice(block_threads=128))


def onnxruntime_on_cpu(model: Path, config: DetectConfig = BATCH, ops: Any = None) -> GpuNetwork:
    """The network by ONNX Runtime in float32 on the CPU, on a stand-in for a GPU."""
    ops = ops or StandInOps()
    return GpuNetwork(OnnxRuntimeNetwork(model, read_spec(model), ops, config, CPU), ops, config)


def fake_tensorrt(
    model: Path, trt: SimpleNamespace, config: DetectConfig = BATCH, cache: EngineCache | None = None
) -> GpuNetwork:
    """The network by a fake TensorRT, on a GPU's stand-in."""
    ops = StandInOps()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorrt_runner, "import_tensorrt", lambda: trt)
        network = TensorRTNetwork(model, read_spec(model), ops, config, cache or EngineCache(None))
    return GpuNetwork(network, ops, config)


def open_by(name: str, model: Path) -> Runner:
    """The runner ``name`` of ``RUNNERS`` with the network at ``model``."""
    if name == "openvino":
        return open_runner(model, "cpu", DetectConfig(threads=2))
    if name == "openvino int8":
        return open_runner(write_tiny_int8(model, int8_path_of(model)), "cpu", DetectConfig(threads=2))
    if name == "ONNX Runtime on the CPU":
        return DeviceRunner(onnxruntime_on_cpu(model))
    if name == "cuda":
        return open_runner(model, "cuda", BATCH)
    return DeviceRunner(fake_tensorrt(model, make_tensorrt(name.split()[-1])))


RUNNERS: list[Any] = [
    "openvino",
    "openvino int8",
    "ONNX Runtime on the CPU",
    *(f"fake TensorRT {version}" for version in (VERSIONS[0], VERSIONS[-1])),
    pytest.param("cuda", marks=pytest.mark.gpu),
]
