"""The ops of the GPU path, which ``acfd_stream/detect`` uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike, NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.ops.anchors import AnchorSpec
from acfd_stream.ops.cuda.device import Array, CupyDevice
from acfd_stream.ops.cuda.faces import AnchorDecoder, CudaFaces, Suppressor
from acfd_stream.ops.cuda.letterboxes import CudaLetterboxes, PictureRecords, network_levels


class CudaOps:
    """A GPU: its memory, its stream and the ops on it. For one thread at a time.

    All work is queued on one stream in the order of the calls; ``read``, ``to_host``, ``to_device``, ``seconds`` and
    ``close`` wait for it, nothing else does. What goes wrong on the device is a RunnerError.
    """

    def __init__(self, device: CupyDevice) -> None:
        self.device = device
        self._records = PictureRecords(device)

    @property
    def name(self) -> str:
        """The driver's name of the GPU: "NVIDIA H200"."""
        return self.device.name

    @property
    def compute_capability(self) -> str:
        """Its generation: "9.0"."""
        return self.device.compute_capability

    @property
    def stream(self) -> int:
        """The driver's handle (cudaStream_t) of the stream of all work; never the default stream."""
        return self.device.stream

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        """Uninitialised memory, C-contiguous."""
        return self.device.empty(shape, dtype)

    def to_device(self, values: NDArray[Any], target: Array) -> None:
        """Fill ``target`` with ``values`` of its shape and dtype; done when it returns."""
        if values.dtype != target.dtype or tuple(values.shape) != tuple(target.shape):
            raise ShapeError(
                f"values must be {target.dtype} {list(target.shape)}, got {values.dtype} {list(values.shape)}"
            )
        pinned = self.device.pinned(values.shape, values.dtype)
        pinned[...] = values
        self.device.copy_in(target, pinned)
        self.device.synchronize()

    def to_host(self, values: Array) -> NDArray[Any]:
        """A copy on the host; waits for the queue."""
        pinned = self.device.pinned(values.shape, values.dtype)
        self.device.copy_out(pinned, self.device.contiguous(values))
        self.device.synchronize()
        return pinned.copy()

    def letterboxes(
        self,
        batch: int,
        network_size: tuple[int, int],
        dtype: DTypeLike,
        pad: tuple[int, int, int],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> CudaLetterboxes:
        """The tensor [batch, 3, H, W] of one network size for at most ``batch`` pictures.

        Args:
            batch: >= 1.
            network_size: (height, width), pixels.
            dtype: float16 or float32.
            pad: red, green, blue of what a picture does not cover, 0 … 255.
            mean: of red, green, blue, in levels.
            std: the same, > 0.
        """
        return CudaLetterboxes(self.device, self._records, batch, network_size, network_levels(mean, std, dtype), pad)

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
    ) -> CudaFaces:
        """Finds the faces in the outputs of at most ``batch`` pictures, each with views of all ``network_sizes``."""
        decoder = AnchorDecoder(self.device, batch, network_sizes, spec, score_threshold, candidates)
        return CudaFaces(
            decoder, Suppressor(self.device, batch, len(network_sizes), decoder.candidates, nms_iou, faces)
        )

    def mark(self) -> Any:
        """A mark at the current end of the stream."""
        return self.device.mark()

    def seconds(self, begin: Any, end: Any) -> float:
        """Time between two marks that the stream has passed."""
        return self.device.seconds(begin, end)

    def begin_capture(self) -> None:
        """Record launches from here on; ``decode`` and ``suppress`` can be recorded, ``put`` cannot."""
        self.device.begin_capture()

    def end_capture(self) -> Any:
        """The recorded launches; ``launch()`` queues them on the stream."""
        return self.device.end_capture()

    def close(self) -> None:
        """Wait, then free everything; a second call does nothing."""
        self.device.close()


def open_ops(index: int = 0) -> CudaOps:
    """The ops on GPU ``index``; compiles the kernels or loads them from the cache.

    Raises:
        BackendUnavailable: no CuPy, no driver, no such GPU, or one that is too old.
        RunnerError: the kernels could not be compiled or loaded.
    """
    return CudaOps(CupyDevice(index))
