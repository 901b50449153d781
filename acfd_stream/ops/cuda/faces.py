"""From the network's outputs to faces, a batch at a time: two kernels, one small copy.

Sizes are bounded when the buffers are made and counts stay on the device, so that every launch is the same whatever
the pictures hold, and may stand in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_count, level_sizes
from acfd_stream.ops.cuda import records
from acfd_stream.ops.cuda.device import Array, CupyDevice
from acfd_stream.types import Detections

BLOCK_THREADS = 1024
"""One block processes a view or a picture alone on a multiprocessor, so it uses all threads."""
SHARED_BYTES = 36 * 1024
"""Dynamic shared memory that is left of the default 48 KiB; larger work uses global memory (L2)."""


class AnchorDecoder:
    """The best candidates of every view of a batch, decoded, best first, on the device."""

    def __init__(
        self,
        device: CupyDevice,
        batch: int,
        network_sizes: Sequence[tuple[int, int]],
        spec: AnchorSpec,
        score_threshold: float,
        candidates: int,
    ) -> None:
        self._device = device
        self._batch = batch
        self._anchors = [anchor_count(size, spec) for size in network_sizes]
        self._levels = [device.upload(records.as_bytes(_levels(size, spec))) for size in network_sizes]
        self._settings = (
            np.float32(spec.variances[0]),
            np.float32(spec.variances[1]),
            np.float32(score_threshold),
        )
        self.scales = len(network_sizes)
        self.candidates = min(candidates, max(self._anchors))
        self._slots = _power_of_two(self.candidates)
        views = batch * self.scales
        self._scratch, self._shared_bytes = _working_memory(device, views, 8 * self._slots)
        self._views = device.empty((views, records.VIEW_PLACEMENT.itemsize), np.uint8)
        self._pinned_views = device.pinned((batch, self.scales), records.VIEW_PLACEMENT)
        self._uploaded: Any = None
        self.boxes = device.empty((views, self.candidates, 4), np.float32)
        self.scores = device.empty((views, self.candidates), np.float32)
        self.indices = device.empty((views, self.candidates), np.int32)
        self.counts = device.empty((views, records.CANDIDATE_COUNT.itemsize), np.uint8)

    def place(self, views: Sequence[Sequence[Letterbox]]) -> None:
        """Set the letterboxes of every picture; queues a small upload.

        Raises:
            ShapeError: more pictures than the batch, or not one view a scale.
        """
        if len(views) > self._batch or any(len(boxes) != self.scales for boxes in views):
            raise ShapeError(
                f"views must be at most {self._batch} pictures of {self.scales} views each, "
                f"got {[len(boxes) for boxes in views]}"
            )
        if self._uploaded is not None:
            self._uploaded.synchronize()  # the last upload may still be running
        self._pinned_views[...] = np.zeros((), records.VIEW_PLACEMENT)  # rows without content are no pictures
        for picture, boxes in enumerate(views):
            for scale, box in enumerate(boxes):
                self._pinned_views[picture, scale] = _placement(box)
        self._device.copy_in(self._views, self._pinned_views)
        self._uploaded = self._device.mark()

    def decode(self, scale: int, scores: Array, deltas: Array) -> None:
        """Queue the decoding of one scale: scores float32 [batch, A] and deltas float32 [batch, A, 4]."""
        anchors = self._anchors[scale]
        _require_outputs("scores", scores, (self._batch, anchors))
        _require_outputs("deltas", deltas, (self._batch, anchors, 4))
        address = self._device.address
        self._device.launch(
            "decode_anchors",
            (self._batch, 1, 1),
            BLOCK_THREADS,
            [
                *(np.uint64(address(array)) for array in (scores, deltas, self._levels[scale], self._views)),
                *(np.int32(value) for value in (anchors, scale, self.scales)),
                *self._settings,
                *(np.int32(value) for value in (self.candidates, self._slots)),
                _address_or_null(self._device, self._scratch),
                *(np.uint64(address(array)) for array in (self.boxes, self.scores, self.indices, self.counts)),
            ],
            self._shared_bytes,
        )


class Suppressor:
    """Greedy NMS of every picture of a batch, and the copy that brings the kept boxes to the host."""

    def __init__(
        self, device: CupyDevice, batch: int, scales: int, candidates: int, iou_threshold: float, faces: int
    ) -> None:
        self._device = device
        self._batch = batch
        self._scales = scales
        self._candidates = candidates
        self._iou_threshold = np.float32(iou_threshold)
        self._faces = min(faces, max(scales * candidates, 1))
        self._slots = _power_of_two(scales * candidates)
        # A rank per candidate and 20 bytes per kept box; one box more than the limit, for the score of the first one
        # that is cut off.
        size = 8 * self._slots + 20 * (self._faces + 1)
        self._block_bytes = -(-size // 8) * 8
        self._scratch, self._shared_bytes = _working_memory(device, batch, self._block_bytes)
        self._row = np.dtype([("head", records.FACE_COUNT), ("faces", records.FACE_ROW, (self._faces,))])
        self._results = device.empty((batch, self._row.itemsize), np.uint8)
        self._pinned_results = device.pinned((batch,), self._row)

    def suppress(self, boxes: Array, scores: Array, counts: Array) -> None:
        """Queue the NMS over boxes [batch · scales, candidates, 4], and the copy to the host."""
        address = self._device.address
        self._device.launch(
            "nms",
            (self._batch, 1, 1),
            BLOCK_THREADS,
            [
                *(np.uint64(address(array)) for array in (boxes, scores, counts)),
                *(np.int32(value) for value in (self._scales, self._candidates)),
                self._iou_threshold,
                *(np.int32(value) for value in (self._faces, self._slots)),
                _address_or_null(self._device, self._scratch),
                np.int32(self._block_bytes),
                np.uint64(address(self._results)),
                np.int32(self._row.itemsize),
            ],
            self._shared_bytes,
        )
        self._device.copy_out(self._pinned_results, self._results)

    def read(self, pictures: int) -> list[tuple[Any, NDArray[Any]]]:
        """Head and kept rows of each of the first ``pictures``; waits for the queue."""
        self._device.synchronize()
        return [
            (row["head"], row["faces"][: row["head"]["count"]].copy()) for row in self._pinned_results[:pictures].copy()
        ]


class CudaFaces:
    """Decoding, threshold, best candidates and NMS of a batch of pictures at every scale."""

    def __init__(self, decoder: AnchorDecoder, suppressor: Suppressor) -> None:
        self._decoder = decoder
        self._suppressor = suppressor
        self._pictures = 0

    def begin(self, views: Sequence[Sequence[Letterbox]]) -> None:
        """Set the views of every picture, one per scale. Queues the upload of a small table."""
        self._decoder.place(views)
        self._pictures = len(views)

    def decode(self, scale: int, scores: Array, deltas: Array) -> None:
        """Queue the decoding of one scale of all pictures: scores float32 [batch, A], deltas float32 [batch, A, 4]."""
        self._decoder.decode(scale, scores, deltas)

    def suppress(self) -> None:
        """Queue the NMS of every picture over the candidates of all its scales, and the copy of its faces."""
        self._suppressor.suppress(self._decoder.boxes, self._decoder.scores, self._decoder.counts)

    def read(self) -> list[Detections]:
        """The faces of every picture of ``begin``, as from ``ops.merge_scales``; waits for the queue."""
        return [
            Detections(rows["box"].copy(), rows["score"].copy(), bool(head["is_truncated"]), float(head["cut_score"]))
            for head, rows in self._suppressor.read(self._pictures)
        ]


@lru_cache(maxsize=256)
def _placement(box: Letterbox) -> tuple[float, ...]:
    """The VIEW_PLACEMENT that maps boxes of a view to the display; ratios as in ``Letterbox.to_display``."""
    ratio_y, ratio_x = (display / content for display, content in zip(box.display_size, box.content_size, strict=True))
    return (*box.content_size[::-1], ratio_x, ratio_y, *box.display_size[::-1])


def _levels(network_size: tuple[int, int], spec: AnchorSpec) -> NDArray[Any]:
    sizes = level_sizes(network_size, spec)
    rows = [(stride, stride * spec.scale, *size) for stride, size in zip(spec.strides, sizes, strict=True)]
    return np.array(rows, records.ANCHOR_LEVEL)


def _require_outputs(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.dtype != np.float32 or tuple(array.shape) != shape:
        raise ShapeError(f"{name} must be float32 {list(shape)}, got {array.dtype} {list(array.shape)}")


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def _working_memory(device: CupyDevice, blocks: int, block_bytes: int) -> tuple[Array | None, int]:
    """Scratch memory on the device, or shared memory if a block's need fits."""
    if block_bytes <= SHARED_BYTES:
        return None, block_bytes
    return device.empty((blocks, block_bytes), np.uint8), 0


def _address_or_null(device: CupyDevice, array: Array | None) -> np.uint64:
    return np.uint64(0 if array is None else device.address(array))
