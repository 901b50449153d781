"""The interface of a network on a GPU, which reads and writes the memory of ``ops.cuda``.

The runners of TensorRT and of ONNX Runtime implement it; in tests stand-ins replace the GPU and its ops. All work is
queued on one stream, in the order of the calls. Only calls that say so wait for the GPU. The buffers of a size
are made once and used again at the same addresses, so that every launch between two of them can be part of a CUDA
graph. Every failure of the device is a RunnerError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from acfd_stream.config import DetectConfig
from acfd_stream.detect.runner import EngineFacts, ModelSpec

if TYPE_CHECKING:
    from acfd_stream.ops.cuda.batch import CudaOps

Array = Any
"""Memory on the device: CuPy's, with ``__cuda_array_interface__``; NumPy's where tests run the kernels on the CPU."""


class Program(Protocol):
    """A network compiled for one size and one batch, bound to its buffers."""

    def launch(self) -> None:
        """Queue it: it writes ``scores`` and ``deltas`` of the first rows of ``images``, as many as its batch."""


class DeviceNetwork(Protocol):
    """A network on a GPU, from device memory to device memory. Only ``compile`` may run in several threads at once."""

    @property
    def spec(self) -> ModelSpec:
        """The description in the model file."""

    @property
    def facts(self) -> EngineFacts:
        """Runtime, GPU and precision."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of ``images``: float16 or float32."""

    def compile(self, network_size: tuple[int, int], batches: Sequence[int]) -> None:
        """Prepare the network for a size, which can take minutes, without the stream of the ops.

        May be called by several threads at once, and while others run results of ``programs``.

        Raises:
            RunnerError: the runtime cannot compile it.
        """

    def programs(
        self,
        network_size: tuple[int, int],
        batches: Sequence[int],
        images: Array,  # [batches[-1], 3, H, W]
        scores: Array,  # float32 [batches[-1], A]
        deltas: Array,  # float32 [batches[-1], A, 4]
    ) -> list[Program]:
        """The network of one compiled size for each of ``batches``, rising, over the same buffers.

        Raises:
            RunnerError: the runtime fails, or outputs have other shapes.
        """

    def close(self) -> None:
        """Free it; a second call does nothing."""


@dataclass(frozen=True)
class GpuNetwork:
    """A network on a GPU, the ops of that GPU, and the config."""

    network: DeviceNetwork
    ops: CudaOps
    config: DetectConfig

    def close(self) -> None:
        """Free both; a second call does nothing."""
        self.network.close()
        self.ops.close()


def address_of(array: Array) -> int:
    """The address of an array's memory: on a GPU, or on the host where tests stand in for one."""
    if isinstance(array, np.ndarray):
        return int(array.ctypes.data)
    return int(array.__cuda_array_interface__["data"][0])
