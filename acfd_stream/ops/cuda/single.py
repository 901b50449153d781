"""The backend for single pictures, from host to host with the kernels of the batches: for tests."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from acfd_stream.ops import _checks
from acfd_stream.ops.anchors import AnchorSpec, Letterbox
from acfd_stream.ops.cuda.batch import CudaOps
from acfd_stream.ops.cuda.faces import AnchorDecoder, Suppressor
from acfd_stream.ops.cuda.letterboxes import CudaLetterboxes, PictureRecords
from acfd_stream.ops.cuda.pooling import mean_pool
from acfd_stream.ops.cuda.records import CANDIDATE_COUNT, as_bytes
from acfd_stream.types import FloatArray, IndexArray, Picture


class CudaBackend:
    """The ops with the parameters of ``reference.py``."""

    def __init__(self, ops: CudaOps) -> None:
        self._ops = ops
        self._lock = Lock()

    def letterbox(self, picture: Picture, view: Letterbox, pad: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The picture, upright, in the top-left corner of a padded uint8 [H, W, 3]."""
        levels = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
        device = self._ops.device
        with self._lock:
            target = CudaLetterboxes(
                device, PictureRecords(device), 1, view.network_size, levels, pad, is_channels_last=True
            )
            target.put([picture], [view])
            image: NDArray[np.uint8] = self._ops.to_host(target.images)[0]
        return image

    def mean_pool(self, picture: Picture, block: int) -> tuple[NDArray[np.int16], ...]:
        """14-bit means of the blocks of every channel, int16 [ceil(h / block), ceil(w / block)]."""
        with self._lock:
            return mean_pool(self._ops, picture, block)

    def decode_anchors(
        self,
        scores: FloatArray,  # [A]
        deltas: FloatArray,  # [A, 4]
        view: Letterbox,
        spec: AnchorSpec,
        score_threshold: float,
        candidates: int,
    ) -> tuple[FloatArray, FloatArray, IndexArray, bool]:
        """(boxes_xyxy [K, 4], scores [K], indices [K], whether more passed than ``candidates``), best first."""
        _checks.check_sizes(view)
        _checks.check_ratio("score_threshold", score_threshold)
        _checks.check_outputs(scores, deltas, view.network_size, spec, candidates)
        device, to_host = self._ops.device, self._ops.to_host
        with self._lock:
            decoder = AnchorDecoder(device, 1, [view.network_size], spec, score_threshold, candidates)
            decoder.place([[replace(view, display_size=view.content_size)]])  # it scales boxes to the display
            decoder.decode(0, device.upload(scores[None]), device.upload(deltas[None]))
            kept, passed = to_host(decoder.counts).view(CANDIDATE_COUNT)[0, 0].item()
            arrays = [to_host(array)[0, :kept] for array in (decoder.boxes, decoder.scores, decoder.indices)]
        return arrays[0], arrays[1], arrays[2].astype(np.int64), passed > kept

    def nms(self, boxes_xyxy: FloatArray, scores: FloatArray, iou_threshold: float) -> IndexArray:
        """int64 [K]: the boxes that survive greedy suppression, best first."""
        _checks.check_boxes(boxes_xyxy, scores)
        _checks.check_ratio("iou_threshold", iou_threshold)
        count = len(scores)
        if count == 0:
            return np.zeros(0, np.int64)
        device = self._ops.device
        with self._lock:
            suppressor = Suppressor(device, 1, 1, count, iou_threshold, count)
            counts = as_bytes(np.array([(count, count)], CANDIDATE_COUNT))
            suppressor.suppress(*(device.upload(array) for array in (boxes_xyxy[None], scores[None], counts)))
            _, rows = suppressor.read(1)[0]
        indices: IndexArray = rows["index"].astype(np.int64)
        return indices
