"""The runners that the contract is asked of, each by its name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect import tensorrt_runner
from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.device_runner import DeviceRunner
from acfd_stream.detect.engine_cache import EngineCache
from acfd_stream.detect.precision import twin_of
from acfd_stream.detect.runner import Runner, open_runner, read_spec
from acfd_stream.detect.tensorrt_runner import TensorRTNetwork
from acfd_stream.detect.torch_runner import TorchNetwork
from acfd_stream.ops.cuda import CudaOps
from tests.detect.fake_tensorrt import VERSIONS, make_tensorrt
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.tiny_model import write_tiny_twin
from tests.ops.cuda_on_cpu.device import CpuDevice

BATCH = DetectConfig(batch=3)


def kernels_on_cpu() -> CudaOps:
    """The ops of a GPU with their kernels run on the CPU."""
    return CudaOps(CpuDevice(block_threads=128))


def torch_on_cpu(model: Path, config: DetectConfig = BATCH, ops: Any = None) -> GpuNetwork:
    """The network by torch in float32, on a GPU's stand-in."""
    return GpuNetwork(TorchNetwork(model, read_spec(model), "cpu"), ops or StandInOps(), config)


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
        return open_runner(write_tiny_twin(model, twin_of(model)), "cpu", DetectConfig(threads=2))
    if name == "torch on the CPU":
        return DeviceRunner(torch_on_cpu(model))
    if name == "cuda":
        return open_runner(model, "cuda", BATCH)
    return DeviceRunner(fake_tensorrt(model, make_tensorrt(name.split()[-1])))


RUNNERS: list[Any] = [
    "openvino",
    "openvino int8",
    "torch on the CPU",
    *(f"fake TensorRT {version}" for version in (VERSIONS[0], VERSIONS[-1])),
    pytest.param("cuda", marks=pytest.mark.gpu),
]
