"""The table of runners, which run a network by one library on one device. A new one is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from acfd_stream.config import DetectConfig
from acfd_stream.detect import onnxruntime_runner, openvino_runner, tensorrt_runner
from acfd_stream.detect.device import DeviceNetwork
from acfd_stream.detect.runner import ModelSpec, Runner
from acfd_stream.errors import BackendUnavailable
from acfd_stream.networks.openvino_runtime import import_openvino

if TYPE_CHECKING:
    from acfd_stream.ops.cuda.batch import CudaOps

Opener = TypeVar("Opener")
CpuOpener = Callable[[Path, ModelSpec, DetectConfig, Path | None], Runner]
"""Opens a model file: (path, its description, config, the int8 file of the same model or None)."""
GpuOpener = Callable[[Path, ModelSpec, "CudaOps", DetectConfig], DeviceNetwork]


@dataclass(frozen=True)
class RunnerEntry(Generic[Opener]):
    """A runner, by the name that ``EngineFacts.backend`` has."""

    name: str
    check: Callable[[], object]
    """Raises BackendUnavailable where its library is missing or cannot be used; starts no device."""
    open: Opener


# The best first: the first one that can be used runs the network.
GPU_RUNNERS: list[RunnerEntry[GpuOpener]] = [
    RunnerEntry("tensorrt", tensorrt_runner.import_tensorrt, tensorrt_runner.TensorRTNetwork),
    RunnerEntry("onnxruntime", onnxruntime_runner.check_cuda, onnxruntime_runner.OnnxRuntimeNetwork),
]
CPU_RUNNERS: list[RunnerEntry[CpuOpener]] = [
    RunnerEntry("openvino", import_openvino, openvino_runner.open_openvino),
]


def first_usable(entries: Sequence[RunnerEntry[Opener]]) -> tuple[RunnerEntry[Opener], str]:
    """The first of ``entries`` that can be used, and why those before it cannot, "" if it is the very first.

    Raises:
        BackendUnavailable: none can be used; the message has every reason.
    """
    reasons: list[str] = []
    for entry in entries:
        try:
            entry.check()
        except BackendUnavailable as error:
            reasons.append(str(error))
        else:
            return entry, "; ".join(reasons)
    raise BackendUnavailable("; ".join(reasons))
