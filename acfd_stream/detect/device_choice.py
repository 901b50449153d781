"""Which device runs the network, and by what: chosen when a model is opened, said once, never changed in silence."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from acfd_stream.config import DetectConfig
from acfd_stream.detect.device import DeviceNetwork, DeviceOps, GpuNetwork
from acfd_stream.detect.openvino_runner import OpenVinoRunner
from acfd_stream.detect.precision import choose_file
from acfd_stream.detect.runner import DEVICES, ModelSpec, read_spec
from acfd_stream.errors import BackendUnavailable, ConfigError, RunnerError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GpuStatus:
    """Whether this process can use a GPU."""

    is_there: bool  # the driver offers one
    obstacle: str = ""  # why it cannot be used all the same, or why there is none

    @property
    def is_usable(self) -> bool:
        """Whether it is there with all that it takes."""
        return self.is_there and not self.obstacle


def driver_gpus() -> tuple[int, str]:
    """How many GPUs the driver offers this process, none started; and why there are none, where there are none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0, "there is no NVIDIA driver (libcuda.so.1)"
    count = ctypes.c_int(0)
    for call, arguments in (("cuInit", (0,)), ("cuDeviceGetCount", (ctypes.byref(count),))):
        status = getattr(driver, call)(*arguments)
        if status != 0:
            return 0, f"the NVIDIA driver cannot start a GPU ({call} answers {status})"
    return count.value, "" if count.value else "the NVIDIA driver offers no GPU"


@cache
def gpu_status() -> GpuStatus:
    """What is known of the GPU without starting it; found out once, at once where there is no driver."""
    count, obstacle = driver_gpus()
    if count == 0:
        return GpuStatus(False, obstacle)
    from acfd_stream.ops.cuda import load_cupy

    try:
        load_cupy()
        _runtime_obstacles()
    except BackendUnavailable as error:
        return GpuStatus(True, _reason(error))
    return GpuStatus(True)


def device_for(device: str) -> str:
    """Where the network will run that ``Detector.open`` opens for ``device``, told before it is open: "cpu" or "cuda".

    A device that does not exist or cannot be used is refused by ``Detector.open``, not here.
    """
    return "cuda" if device in ("auto", "cuda") and gpu_status().is_usable else "cpu"


def open_network(
    path: Path, device: str, config: DetectConfig, twin: Path | None = None
) -> OpenVinoRunner | GpuNetwork:
    """The network of the file at ``path`` on ``device``, by the best runtime there is.

    Args:
        path: an ONNX file that describes itself.
        device: "auto" is a GPU where one can be used, else the CPU; "cpu"; "cuda".
        config: threads, batch and precision.
        twin: the same model in int8, for CPUs; None: there is none.

    Raises:
        ConfigError: no such device, or the model cannot be had in the precision that is asked for.
        BackendUnavailable: the device was asked for by name and cannot be used.
        RunnerError: the file is refused or the runtime cannot load it.
    """
    if device not in DEVICES:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    status = GpuStatus(False) if device == "cpu" else gpu_status()
    if device == "cuda" and not status.is_usable:
        raise _refusal(status.obstacle)
    spec = read_spec(path)
    if status.is_usable:
        _check_gpu_precision(config.precision)
        try:
            gpu = _open_gpu(path, spec, config)
        except BackendUnavailable as error:  # one that is too old, say: seen only when it is started
            status = GpuStatus(True, _reason(error))
            if device == "cuda":
                raise _refusal(status.obstacle) from error
        else:
            _log.info("%s runs on %s", spec.name, gpu.network.facts.description)
            return gpu
    runner = OpenVinoRunner(_file_for_cpu(path, spec, config, twin), spec, config)
    if status.is_there:
        _log.warning("the GPU is not used: %s", status.obstacle)
        runner.facts = replace(runner.facts, is_fallback=True)
    _log.info("%s runs on %s", spec.name, runner.facts.description)
    return runner


def _file_for_cpu(path: Path, spec: ModelSpec, config: DetectConfig, twin: Path | None) -> Path:
    """The model's own file or its twin, which must be of the same model."""
    chosen = choose_file(path, twin, config.precision)
    if chosen != path and read_spec(chosen) != spec:
        raise RunnerError(
            f"model file {chosen} was made of another {spec.name} than {path}; "
            "run `python -m acfd_stream.model.quantise_cpu` again"
        )
    return chosen


def _check_gpu_precision(asked: str) -> None:
    if asked != "auto":
        raise ConfigError(f"precision {asked!r} is for CPUs: use --device cpu, or leave it to the GPU with 'auto'")


def _refusal(obstacle: str) -> BackendUnavailable:
    return BackendUnavailable(f"device 'cuda' cannot be used: {obstacle}; use 'cpu' or 'auto'")


def _reason(error: BackendUnavailable) -> str:
    return str(error).removeprefix("CUDA cannot be used: ")


def _open_gpu(path: Path, spec: ModelSpec, config: DetectConfig) -> GpuNetwork:
    from acfd_stream.ops.cuda import open_ops

    ops = open_ops()
    try:
        return GpuNetwork(_open_on(path, spec, ops, config), ops, config)
    except BaseException:
        ops.close()
        raise


def _open_on(path: Path, spec: ModelSpec, ops: DeviceOps, config: DetectConfig) -> DeviceNetwork:
    """The network by TensorRT; by torch where there is no TensorRT."""
    from acfd_stream.detect.tensorrt_runner import TensorRTNetwork, import_tensorrt
    from acfd_stream.detect.torch_runner import TorchNetwork

    try:
        import_tensorrt()
    except BackendUnavailable as error:
        _log.warning("torch runs the network, TensorRT would be faster: %s", error)
        return TorchNetwork(path, spec, "cuda", ops)
    return TensorRTNetwork(path, spec, ops, config)


def _runtime_obstacles() -> None:
    """Raise BackendUnavailable where neither TensorRT nor torch can run a network on the GPU."""
    from acfd_stream.detect.tensorrt_runner import import_tensorrt
    from acfd_stream.detect.torch_runner import check_cuda

    try:
        import_tensorrt()
    except BackendUnavailable as without_tensorrt:
        try:
            check_cuda()
        except BackendUnavailable as without_torch:
            raise BackendUnavailable(f"{without_tensorrt}; {without_torch}") from without_torch
