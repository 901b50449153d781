"""Small copies on the host of pictures on a GPU: for shots, held drawings and overlays.

They have their own stream, so that they do not wait for a network.
"""

from __future__ import annotations

from functools import cache
from threading import Lock

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from acfd_stream.ops.anchors import Letterbox
from acfd_stream.ops.cuda.batch import CudaOps, open_ops
from acfd_stream.ops.cuda.letterboxes import CudaLetterboxes, PictureRecords
from acfd_stream.ops.cuda.pooling import mean_pool
from acfd_stream.types import Picture

SIZES_KEPT = 16
_LEVELS = np.tile(np.arange(256, dtype=np.uint8), (3, 1))


class Previews:
    """Letterboxes pictures one by one, from the GPU to the host. May be used from several threads at once."""

    def __init__(self, ops: CudaOps) -> None:
        self._ops = ops
        self._lock = Lock()
        self._records = PictureRecords(ops.device)
        self._targets: LRUCache[tuple[tuple[int, int], tuple[int, int, int]], CudaLetterboxes] = LRUCache(SIZES_KEPT)

    def letterbox(self, picture: Picture, view: Letterbox, pad: tuple[int, int, int]) -> NDArray[np.uint8]:
        """As ``ops.letterbox``: uint8 [H, W, 3], to the last bit; waits for the GPU."""
        with self._lock:
            target = self._target(view.network_size, pad)
            target.put([picture], [view])
            image: NDArray[np.uint8] = self._ops.to_host(target.images)[0]
            target.let_go()
        return image

    def mean_pool(self, picture: Picture, block: int) -> tuple[NDArray[np.int16], ...]:
        """As ``ops.mean_pool``, to the last bit; waits for the GPU."""
        with self._lock:
            return mean_pool(self._ops, picture, block)

    def _target(self, network_size: tuple[int, int], pad: tuple[int, int, int]) -> CudaLetterboxes:
        key = (network_size, pad)
        if key not in self._targets:
            self._targets[key] = CudaLetterboxes(
                self._ops.device, self._records, 1, network_size, _LEVELS, pad, is_channels_last=True
            )
        return self._targets[key]


@cache
def open_previews() -> Previews:
    """The previews of the first GPU; opened once per process.

    Raises:
        BackendUnavailable: no CuPy, no driver, or a GPU that is too old.
        RunnerError: the kernels could not be compiled or loaded.
    """
    return Previews(open_ops())
