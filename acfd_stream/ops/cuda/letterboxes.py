"""Pictures of any size and format into the tensor of one network size, in one launch.

What a level 0 … 255 of a channel becomes stands in a table, so that the kernel is the same for every normalisation and
element type, and the values are those that NumPy computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.ops import _checks
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.ops.cuda import records
from acfd_stream.ops.cuda.device import Array, Device
from acfd_stream.ops.reference import color_transform
from acfd_stream.types import Picture

TILE_WIDTH, TILE_HEIGHT, TILE_THREADS = 64, 16, 256
"""As in ``csrc/letterbox_cuda.cu``."""
LAYOUTS = {"yuv420p": 0, "nv12": 1, "rgb24": 2}
FILTERS_KEPT = 256
"""Filters of an axis that are kept on the device, a few kB each; a size of video needs four."""


def network_levels(mean: Sequence[float], std: Sequence[float], dtype: DTypeLike) -> NDArray[Any]:
    """[3, 256]: ``(level - mean) / std`` in float32 of every level of red, green, blue, rounded once to ``dtype``."""
    levels = np.arange(256, dtype=np.float32)[None, :]
    values = (levels - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    return values.astype(dtype)


class AxisFilters:
    """The triangle filters of ``csrc/preprocess.h`` on the device, each worked out there once."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._kept: dict[tuple[int, int, int, bool], tuple[Any, tuple[Array, Array]]] = {}

    def of(self, length: int, subsampling: int, outputs: int, is_across: bool) -> Any:
        """The record of the filter of one axis of one plane.

        Args:
            length: samples of the first plane along the axis.
            subsampling: 1, or 2 for a plane of half as many.
            outputs: content pixels along the axis.
            is_across: along a row: neighbouring threads want the same tap of neighbouring outputs, so these lie side
                by side; down a column a thread wants pairs of taps of one output.
        """
        key = (length, subsampling, outputs, is_across)
        if key not in self._kept:
            if len(self._kept) >= FILTERS_KEPT:
                # Memory goes back to a pool that gives it out again in the stream's order.
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._made(*key)
        return self._kept[key][0]

    def _made(self, length: int, subsampling: int, outputs: int, is_across: bool) -> tuple[Any, tuple[Array, Array]]:
        pitch = outputs * subsampling
        most = -(-2 * max(length, pitch) // pitch)  # samples that fit under the triangle
        taps = most + most % 2
        tap_step, output_step = (outputs, 1) if is_across else (1, taps)
        first = self._device.empty((outputs,), np.int32)
        weights = self._device.empty((outputs * taps,), np.int16)
        sizes = (length, subsampling, outputs, taps, tap_step, output_step)
        addresses = [np.uint64(self._device.address(array)) for array in (first, weights)]
        self._device.launch(
            "letterbox_taps",
            (-(-outputs // TILE_THREADS), 1, 1),
            TILE_THREADS,
            [*(np.int32(size) for size in sizes), *addresses],
        )
        samples = -(-length // subsampling)
        values = (*addresses, taps, tap_step, output_step, samples)
        return records.record(records.AXIS_TAPS, values), (first, weights)


class CudaLetterboxes:
    """The tensor of one network size, [batch, 3, H, W] or [batch, H, W, 3], at one address."""

    def __init__(
        self,
        device: Device,
        filters: AxisFilters,
        batch: int,
        network_size: tuple[int, int],
        levels: NDArray[Any],  # [3, 256], of the tensor's dtype
        pad: tuple[int, int, int],
        is_channels_last: bool = False,
    ) -> None:
        _checks.check_sizes(network_size, network_size)
        _checks.check_pad(pad)
        height, width = network_size
        self._device = device
        self._filters = filters
        self._network_size = network_size
        self.images = device.empty(
            (batch, height, width, 3) if is_channels_last else (batch, 3, height, width), levels.dtype
        )
        steps = (width * 3, 3, 1) if is_channels_last else (width, 1, width * height)
        tensor = (3 * height * width, *steps, height, width, levels.dtype.itemsize, pad, 0)
        self._tensor = device.upload(records.as_bytes(np.array([tensor], records.NETWORK_TENSOR)))
        bits = levels.view(f"u{levels.dtype.itemsize}")  # the kernel moves them and need not know what they mean
        self._levels = device.upload(bits.astype(np.uint32))
        self._pictures = device.empty((batch, records.LETTERBOX_PICTURE.itemsize), np.uint8)
        self._pinned_pictures = device.pinned((batch,), records.LETTERBOX_PICTURE)
        self._uploaded: Any = None
        self._held: tuple[list[Picture], list[Array]] = ([], [])

    def put(self, pictures: Sequence[Picture], views: Sequence[Letterbox]) -> None:
        """Queue the kernel that fills the first ``len(pictures)`` rows of ``images``, in one launch.

        Planes on the host are uploaded; planes on the device are read where they are, from ``Picture.ready`` on, and
        held until the next call.

        Raises:
            ShapeError: the planes of a picture are not what it says, or views and pictures do not fit the batch.
        """
        self._check(pictures, views)
        if not pictures:
            return
        if self._uploaded is not None:
            self._uploaded.synchronize()  # the last records may still be on their way
        planes: list[Array] = []
        for place, (picture, view) in enumerate(zip(pictures, views, strict=True)):
            self._pinned_pictures[place] = self._record(picture, view.content_size, planes)
        self._device.copy_in(self._pictures, self._pinned_pictures)
        self._uploaded = self._device.mark()
        height, width = self._network_size
        if any(picture.rotation in (90, 270) for picture in pictures):
            height = width = max(height, width)  # tiles are laid over a picture as it is stored
        arguments = (self._pictures, self._tensor, self._levels, self.images)
        self._device.launch(
            "letterbox",
            (-(-width // TILE_WIDTH), -(-height // TILE_HEIGHT), len(pictures)),
            TILE_THREADS,
            [np.uint64(self._device.address(array)) for array in arguments],
        )
        self._held = (list(pictures), planes)

    def _check(self, pictures: Sequence[Picture], views: Sequence[Letterbox]) -> None:
        batch = self.images.shape[0]
        if len(pictures) > batch or len(views) != len(pictures):
            raise ShapeError(
                f"pictures must be at most {batch} with a view each, got {len(pictures)} and {len(views)} views"
            )
        for picture, view in zip(pictures, views, strict=True):
            if view.network_size != self._network_size:
                raise ShapeError(f"network_size must be {self._network_size}, got {view.network_size}")
            _checks.check_sizes(view.content_size, view.network_size)
            _checks.check_picture(
                picture.planes,
                picture.pixel_format.value,
                picture.bit_depth,
                picture.color_matrix.value,
                picture.rotation,
            )

    def _record(self, picture: Picture, content_size: tuple[int, int], planes: list[Array]) -> Any:
        """What the kernel is told of a picture; arrays that it reads are put behind ``planes``."""
        if picture.ready is not None:
            self._device.wait_for(picture.ready)
        lying = [self._on_device(plane) for plane in picture.planes]
        planes += lying
        missing = [0] * (3 - len(lying))
        height, width = content_size if picture.rotation in (0, 180) else content_size[::-1]
        stored_height, stored_width = picture.stored_size
        chroma = 1 if picture.pixel_format.value == "rgb24" else 2
        values = (
            [self._device.address(plane) for plane in lying] + missing,
            [plane.strides[0] for plane in lying] + missing,
            [self._filters.of(stored_height, subsampling, height, False) for subsampling in (1, chroma)],
            [self._filters.of(stored_width, subsampling, width, True) for subsampling in (1, chroma)],
            height,
            width,
            LAYOUTS[picture.pixel_format.value],
            picture.bit_depth,
            picture.rotation,
            color_transform(picture.color_matrix.value, picture.is_full_range or chroma == 1, picture.bit_depth),
        )
        return records.record(records.LETTERBOX_PICTURE, values)

    def _on_device(self, plane: Any) -> Array:
        """The plane where the kernel can read it: samples of a row side by side."""
        if not hasattr(plane, "__cuda_array_interface__"):
            return self._device.upload(plane)
        step, is_readable = plane.dtype.itemsize, True
        for axis in range(plane.ndim - 1, 0, -1):
            is_readable &= plane.shape[axis] == 1 or plane.strides[axis] == step
            step *= plane.shape[axis]
        return plane if is_readable else self._device.contiguous(plane)
