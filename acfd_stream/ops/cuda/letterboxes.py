"""Pictures of any size and format into the tensor of one network size, in one launch.

A table maps the levels 0 … 255 of each channel to values computed by NumPy, so that one kernel serves every
normalisation and element type.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import DTypeLike, NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.ops import _checks
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.ops.cuda import records
from acfd_stream.ops.cuda.device import Array, CupyDevice
from acfd_stream.ops.reference import color_transform
from acfd_stream.ops.tone import tone_table
from acfd_stream.types import Picture, PixelFormat

TILE_WIDTH, TILE_HEIGHT, TILE_THREADS = 64, 16, 256
"""As in ``csrc/letterbox_cuda.cu``."""
LAYOUTS = {PixelFormat.YUV420P: 0, PixelFormat.NV12: 1, PixelFormat.RGB24: 2}
PLANE_BYTES = 2**31
"""Planes on a GPU must span less."""
RECORDS_KEPT = 256
"""Most kinds of pictures (sizes, formats) with cached records; each has about 10 kB of filters on the device."""


def network_levels(mean: Sequence[float], std: Sequence[float], dtype: DTypeLike) -> NDArray[Any]:
    """[3, 256]: ``(level - mean) / std`` in float32 of every level of red, green, blue, rounded once to ``dtype``."""
    levels = np.arange(256, dtype=np.float32)[None, :]
    values = (levels - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    return values.astype(dtype)


@dataclass(frozen=True, eq=False)
class Filter:
    """The filter of one axis of one plane."""

    record: Any  # AXIS_TAPS
    arrays: tuple[Array, Array]  # the memory that it points to


class AxisFilters:
    """The triangle filters of ``csrc/preprocess.h`` on the device, each computed there once."""

    def __init__(self, device: CupyDevice) -> None:
        self._device = device
        self._made: weakref.WeakValueDictionary[tuple[int, int, int, bool], Filter] = weakref.WeakValueDictionary()

    def of(self, length: int, subsampling: int, outputs: int, is_across: bool) -> Filter:
        """The filter of one axis; it is cached while it is in use.

        Args:
            length: samples of the first plane along the axis.
            subsampling: 1, or 2 for a plane of half as many.
            outputs: content pixels along the axis.
            is_across: along a row: neighbouring threads want the same tap of neighbouring outputs, so these lie side
                by side; down a column a thread wants pairs of taps of one output.
        """
        key = (length, subsampling, outputs, is_across)
        found = self._made.get(key)
        if found is None:
            self._made[key] = found = self._filter(*key)
        return found

    def _filter(self, length: int, subsampling: int, outputs: int, is_across: bool) -> Filter:
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
        return Filter(records.record(records.AXIS_TAPS, values), (first, weights))


@dataclass(frozen=True, eq=False)
class PictureRecord:
    """What the kernel needs to know of a picture, except the addresses of its planes."""

    values: NDArray[np.uint8]  # [bytes of a LETTERBOX_PICTURE]
    filters: tuple[Filter, ...]  # which it points to
    tone: Array | None  # TONE_TABLE, which it points to


class PictureRecords:
    """Records of pictures; the pictures of a video share one."""

    def __init__(self, device: CupyDevice) -> None:
        self._device = device
        self._filters = AxisFilters(device)
        # Memory of a removed filter returns to a pool that reuses it in the stream's order.
        self._made: LRUCache[tuple[Any, ...], PictureRecord] = LRUCache(RECORDS_KEPT)

    def of(self, picture: Picture, planes: tuple[Array, ...], content_size: tuple[int, int]) -> PictureRecord:
        """The record of ``picture`` with its planes on the device.

        Raises:
            ShapeError: the planes do not match the picture's description.
        """
        key = (
            picture.pixel_format,
            picture.bit_depth,
            picture.color_matrix,
            picture.is_full_range,
            picture.transfer,
            picture.primaries,
            picture.rotation,
            content_size,
            *((plane.shape, plane.strides, plane.dtype) for plane in planes),
        )
        if key not in self._made:
            _checks.check_picture(picture, planes)
            self._made[key] = self._record(picture, planes, content_size)
        return self._made[key]

    def _record(self, picture: Picture, planes: tuple[Array, ...], content_size: tuple[int, int]) -> PictureRecord:
        if max(abs(plane.strides[0]) * plane.shape[0] for plane in planes) >= PLANE_BYTES:
            raise ShapeError(f"planes must span less than {PLANE_BYTES} bytes on a GPU, got {planes[0].shape}")
        missing = [0] * (3 - len(planes))
        height, width = content_size if picture.rotation in (0, 180) else content_size[::-1]
        stored_height, stored_width = planes[0].shape[:2]
        is_rgb = picture.pixel_format is PixelFormat.RGB24
        subsamplings = (1, 1 if is_rgb else 2)
        rows = [self._filters.of(stored_height, subsampling, height, False) for subsampling in subsamplings]
        columns = [self._filters.of(stored_width, subsampling, width, True) for subsampling in subsamplings]
        color = color_transform(picture.color_matrix.value, picture.is_full_range or is_rgb, picture.bit_depth)
        table = tone_table(picture)
        tone = None if table is None else self._device.upload(table)
        row = records.record(
            records.LETTERBOX_PICTURE,
            (
                [0, 0, 0],
                0 if tone is None else self._device.address(tone),
                [plane.strides[0] for plane in planes] + missing,
                0,
                [axis.record for axis in rows],
                [axis.record for axis in columns],
                height,
                width,
                LAYOUTS[picture.pixel_format],
                picture.bit_depth,
                picture.rotation,
                color,
            ),
        )
        return PictureRecord(np.frombuffer(row.tobytes(), np.uint8), (*rows, *columns), tone)


class CudaLetterboxes:
    """The tensor of one network size, [batch, 3, H, W] or [batch, H, W, 3], at one address."""

    def __init__(
        self,
        device: CupyDevice,
        picture_records: PictureRecords,
        batch: int,
        network_size: tuple[int, int],
        levels: NDArray[Any],  # [3, 256], of the tensor's dtype
        pad: tuple[int, int, int],
        is_channels_last: bool = False,
    ) -> None:
        _checks.check_sizes(Letterbox(network_size, network_size, network_size))
        _checks.check_pad(pad)
        height, width = network_size
        self._device = device
        self._records = picture_records
        self._network_size = network_size
        self.images = device.empty(
            (batch, height, width, 3) if is_channels_last else (batch, 3, height, width), levels.dtype
        )
        steps = (width * 3, 3, 1) if is_channels_last else (width, 1, width * height)
        tensor = (3 * height * width, *steps, height, width, levels.dtype.itemsize, pad, 0)
        self._tensor = device.upload(records.as_bytes(np.array([tensor], records.NETWORK_TENSOR)))
        bits = levels.view(f"u{levels.dtype.itemsize}")  # the kernel only copies them
        self._levels = device.upload(bits.astype(np.uint32))
        size = records.LETTERBOX_PICTURE.itemsize
        self._pictures = device.empty((batch, size), np.uint8)
        self._pinned_pictures = device.pinned((batch, size), np.uint8)
        self._pinned_planes = self._pinned_pictures.view(records.LETTERBOX_PICTURE)["planes"][:, 0]  # [batch, 3]
        arrays = (self._pictures, self._tensor, self._levels, self.images)
        self._arguments = [np.uint64(device.address(array)) for array in arrays]
        self._uploaded: Any = None
        self._held: Any = None

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
        planes = [self._on_device(picture) for picture in pictures]
        made = [
            self._records.of(picture, its_planes, view.content_size)
            for picture, its_planes, view in zip(pictures, planes, views, strict=True)
        ]
        if self._uploaded is not None:
            self._uploaded.synchronize()  # the last upload may still be running
        for row, (record, its_planes) in enumerate(zip(made, planes, strict=True)):
            self._pinned_pictures[row] = record.values
            self._pinned_planes[row, : len(its_planes)] = [self._device.address(plane) for plane in its_planes]
        self._device.copy_in(self._pictures, self._pinned_pictures)
        self._uploaded = self._device.mark()
        height, width = self._network_size
        if any(picture.rotation in (90, 270) for picture in pictures):
            height = width = max(height, width)  # tiles cover the stored, unrotated picture
        self._device.launch(
            "letterbox",
            (-(-width // TILE_WIDTH), -(-height // TILE_HEIGHT), len(pictures)),
            TILE_THREADS,
            self._arguments,
        )
        self._held = (list(pictures), planes, made)

    def let_go(self) -> None:
        """Release the pictures; the caller has waited until they were read."""
        self._held = None

    def _check(self, pictures: Sequence[Picture], views: Sequence[Letterbox]) -> None:
        batch = self.images.shape[0]
        if len(pictures) > batch or len(views) != len(pictures):
            raise ShapeError(
                f"pictures must be at most {batch} with a view each, got {len(pictures)} and {len(views)} views"
            )
        for view in views:
            if view.network_size != self._network_size:
                raise ShapeError(f"network_size must be {self._network_size}, got {view.network_size}")
            _checks.check_sizes(view)

    def _on_device(self, picture: Picture) -> tuple[Array, ...]:
        """The planes on the device, contiguous within each row, so that the kernel can read them."""
        if not picture.is_on_device:
            _checks.check_picture(picture)
            return tuple(self._device.upload(plane) for plane in picture.planes)
        if picture.ready is not None:
            self._device.wait_for(picture.ready)
        return tuple(
            plane if is_readable(plane.shape, plane.strides, plane.dtype.itemsize) else self._device.contiguous(plane)
            for plane in picture.planes
        )


@lru_cache(maxsize=256)
def is_readable(shape: tuple[int, ...], strides: tuple[int, ...], item_bytes: int) -> bool:
    """Whether every row is contiguous and within reach of the kernel's 32-bit steps."""
    if abs(strides[0]) * shape[0] >= PLANE_BYTES:
        return False
    step = item_bytes
    for axis in range(len(shape) - 1, 0, -1):
        if shape[axis] != 1 and strides[axis] != step:
            return False
        step *= shape[axis]
    return True
