"""Chooses the device and the runner of a network when a model is opened, logs them once, and keeps them."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from acfd_stream.config import DetectConfig
from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.runner import DEVICES, ModelSpec, Runner, read_spec
from acfd_stream.detect.runners import CPU_RUNNERS, GPU_RUNNERS, Opener, RunnerEntry, first_usable
from acfd_stream.errors import BackendUnavailable, ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GpuStatus:
    """Whether this process can use a GPU."""

    is_there: bool  # the driver offers one
    obstacle: str = ""  # why it cannot be used, or why there is none

    @property
    def is_usable(self) -> bool:
        """Whether there is one and all that it needs."""
        return self.is_there and not self.obstacle


def driver_gpus() -> tuple[int, str]:
    """The number of GPUs that the driver offers this process, and why where it is 0. Starts none of them."""
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
    """Whether a GPU can be used, without starting it; found out once per process."""
    count, obstacle = driver_gpus()
    if count == 0:
        return GpuStatus(False, obstacle)
    from acfd_stream.ops.cuda import load_cupy

    try:
        load_cupy()
        first_usable(GPU_RUNNERS)
    except BackendUnavailable as error:
        return GpuStatus(True, _reason(error))
    return GpuStatus(True)


def device_for(device: str) -> str:
    """The device on which ``Detector.open`` will run a network for ``device``: "cpu" or "cuda".

    ``Detector.open`` refuses a device that does not exist or cannot be used; this function does not.
    """
    return "cuda" if device in ("auto", "cuda") and gpu_status().is_usable else "cpu"


def open_network(path: Path, device: str, config: DetectConfig, int8_path: Path | None = None) -> Runner | GpuNetwork:
    """The network of the file at ``path`` on ``device``, by the first runner of the table that can be used.

    Args:
        path: an ONNX file that describes itself.
        device: "auto" is a GPU where one can be used, else the CPU; "cpu"; "cuda".
        config: threads, batch and precision.
        int8_path: the same model in int8, for CPUs; None: there is none.

    Raises:
        ConfigError: no such device, or the model is not available in the requested precision.
        BackendUnavailable: the device was requested by name and cannot be used.
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
        except BackendUnavailable as error:  # a GPU that is too old, for example: known only once it is started
            status = GpuStatus(True, _reason(error))
            if device == "cuda":
                raise _refusal(status.obstacle) from error
        else:
            _log.info("%s runs on %s", spec.name, gpu.network.facts.description)
            return gpu
    runner = _chosen(CPU_RUNNERS).open(path, spec, config, int8_path)
    if status.is_there:
        _log.warning("the GPU is not used: %s", status.obstacle)
        runner.facts = replace(runner.facts, is_fallback=True)
    _log.info("%s runs on %s", spec.name, runner.facts.description)
    return runner


def _check_gpu_precision(requested: str) -> None:
    if requested != "auto":
        raise ConfigError(f"precision {requested!r} is for CPUs: use --device cpu, or leave the precision at 'auto'")


def _refusal(obstacle: str) -> BackendUnavailable:
    return BackendUnavailable(f"device 'cuda' cannot be used: {obstacle}; use 'cpu' or 'auto'")


def _reason(error: BackendUnavailable) -> str:
    return str(error).removeprefix("CUDA cannot be used: ")


def _open_gpu(path: Path, spec: ModelSpec, config: DetectConfig) -> GpuNetwork:
    from acfd_stream.ops.cuda import open_ops

    ops = open_ops()
    try:
        return GpuNetwork(_chosen(GPU_RUNNERS).open(path, spec, ops, config), ops, config)
    except BaseException:
        ops.close()
        raise


def _chosen(entries: Sequence[RunnerEntry[Opener]]) -> RunnerEntry[Opener]:
    entry, obstacle = first_usable(entries)
    if obstacle:
        _log.warning("%s runs the network, %s would be faster: %s", entry.name, entries[0].name, obstacle)
    return entry
