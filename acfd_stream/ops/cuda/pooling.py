"""Block means of pictures on a GPU; only the means are copied to the host."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.ops import _checks
from acfd_stream.ops.cuda.batch import CudaOps
from acfd_stream.ops.cuda.device import Array
from acfd_stream.ops.cuda.letterboxes import PLANE_BYTES, is_readable
from acfd_stream.types import Picture

THREADS = 256


def mean_pool(ops: CudaOps, picture: Picture, block: int) -> tuple[NDArray[np.int16], ...]:
    """As ``ops.mean_pool``, to the last bit; planes on the host are uploaded. Waits for the GPU.

    Raises:
        ShapeError: the planes are not what the picture says, or the block is out of bounds.
    """
    _checks.check_picture(picture)
    _checks.check_block(block)
    if picture.ready is not None:
        ops.device.wait_for(picture.ready)
    made = [_queued(ops, plane, picture, block) for plane in picture.planes]
    return tuple(channel for _, means in made for channel in ops.to_host(means))


def _queued(ops: CudaOps, plane: Array, picture: Picture, block: int) -> tuple[Array, Array]:
    """The plane, which must stay alive until it is read, and its means [channels, h, w]."""
    device = ops.device
    if not picture.is_on_device:
        plane = device.upload(plane)
    elif not is_readable(plane.shape, plane.strides, plane.dtype.itemsize):
        plane = device.contiguous(plane)
    if abs(plane.strides[0]) * plane.shape[0] >= PLANE_BYTES:
        raise ShapeError(f"planes must span less than {PLANE_BYTES} bytes on a GPU, got {plane.shape}")
    height, width, channels = (*plane.shape, 1)[:3]
    rows, columns = -(-height // block), -(-width // block)
    means = device.empty((channels, rows, columns), np.int16)
    numbers = [plane.strides[0], height, width, channels, picture.bit_depth, block]
    device.launch(
        "mean_pool",
        (-(-columns // THREADS), rows, channels),
        THREADS,
        [np.uint64(device.address(plane)), *map(np.int32, numbers), np.uint64(device.address(means))],
    )
    return plane, means
