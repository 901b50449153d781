"""Interfaces of the GPU path: memory and ops on a GPU, and a network that reads and writes that memory.

``ops.cuda`` gives ``DeviceOps`` over CuPy; the runners of TensorRT and of ONNX Runtime give ``DeviceNetwork``. All
work is queued on one stream, in the order of the calls. Only calls that say so wait for the GPU. The buffers of a size
are made once and used again at the same addresses, so that every launch between two of them can be part of a CUDA
graph. Every failure of the device is a RunnerError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from acfd_stream.config import DetectConfig
from acfd_stream.detect.runner import EngineFacts, ModelSpec
from acfd_stream.ops.anchors import AnchorSpec, Letterbox
from acfd_stream.types import Detections, Picture

Array = Any
"""Memory on the device: CuPy's, with ``__cuda_array_interface__``; NumPy's where tests run the kernels on the CPU."""
Mark = Any
"""A point in the stream: a CUDA event."""


class Letterboxes(Protocol):
    """Pictures laid into the tensor of one network size, at the same address every time."""

    @property
    def images(self) -> Array:
        """[batch, 3, H, W] of the requested dtype, C-contiguous.

        Levels 0 … 255 are those of ``ops.reference.letterbox``, then ``(level - mean) / std`` in float32, rounded
        once to the dtype. Rows without a picture keep their values.
        """

    def put(self, pictures: Sequence[Picture], views: Sequence[Letterbox]) -> None:
        """Queue the kernel that fills the first ``len(pictures)`` rows, at most ``batch``, in one launch.

        Args:
            pictures: sizes, formats, depths and rotations may differ. Planes on the host are uploaded; planes on the
                device are read without a copy.
            views: one per picture, all of this network size.

        Raises:
            ShapeError: the planes of a picture do not match its description.
        """


class Faces(Protocol):
    """Decoding, threshold, best candidates and NMS of a batch, and one copy of its faces to the host."""

    def begin(self, views: Sequence[Sequence[Letterbox]]) -> None:
        """Set the views of every picture, one per scale. Queues the upload of a small table."""

    def decode(self, scale: int, scores: Array, deltas: Array) -> None:
        """Queue the decoding of one scale of all pictures.

        As ``ops.decode_anchors`` for each picture, then ``Letterbox.to_display``, clipped to the display size.

        Args:
            scale: the index in ``network_sizes`` of these outputs.
            scores: float32 [batch, A]; rows past the pictures of ``begin`` are not read.
            deltas: float32 [batch, A, 4].
        """

    def suppress(self) -> None:
        """Queue the NMS of every picture over the candidates of all its scales, as ``ops.merge_scales``."""

    def read(self) -> list[Detections]:
        """The faces of every picture of ``begin``; waits for the queue and for one copy.

        ``is_truncated`` and ``cut_score`` are those of the host path: from the limit of faces and the limit of
        candidates of every scale.
        """


class Graph(Protocol):
    """Captured launches, ready to be queued as one."""

    def launch(self) -> None:
        """Queue it on the stream of the ops."""


class DeviceOps(Protocol):
    """A GPU: its memory, its stream and the ops on it. For one thread at a time."""

    @property
    def name(self) -> str:
        """The driver's name of the GPU: "NVIDIA H200"."""

    @property
    def compute_capability(self) -> str:
        """Its generation: "9.0"."""

    @property
    def stream(self) -> int:
        """The driver's handle (cudaStream_t) of the stream of all work; never the default stream."""

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        """Uninitialised memory, C-contiguous."""

    def to_device(self, values: NDArray[Any], target: Array) -> None:
        """Fill ``target`` with ``values`` of its shape and dtype; done when it returns."""

    def to_host(self, values: Array) -> NDArray[Any]:
        """A copy on the host; waits for the queue."""

    def letterboxes(
        self,
        batch: int,
        network_size: tuple[int, int],
        dtype: DTypeLike,
        pad: tuple[int, int, int],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> Letterboxes:
        """The tensor of one network size for at most ``batch`` pictures; ``dtype`` is float16 or float32."""

    def faces(
        self,
        batch: int,
        network_sizes: Sequence[tuple[int, int]],
        spec: AnchorSpec,
        *,
        score_threshold: float,
        candidates: int,
        nms_iou: float,
        faces: int,
    ) -> Faces:
        """Finds the faces in the outputs of at most ``batch`` pictures, each with views of all ``network_sizes``."""

    def mark(self) -> Mark:
        """A mark at the current end of the stream."""

    def seconds(self, begin: Mark, end: Mark) -> float:
        """Time between two marks that the stream has passed."""

    def begin_capture(self) -> None:
        """Record launches from here on instead of running them."""

    def end_capture(self) -> Graph:
        """The recorded launches."""

    def close(self) -> None:
        """Free everything; a second call does nothing."""


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
    ops: DeviceOps
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
