"""Checks of arguments; ``csrc/ext.cpp`` has the same checks with the same messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_count
from acfd_stream.types import Picture, PlaneArray

PLANE_SIDE_MAX = 65535
NETWORK_SIDE_MAX = 16384
STRIDE_MAX = 4096
POOL_SIDE_MAX = 16
PLANE_COUNTS = {"yuv420p": 3, "nv12": 2, "rgb24": 1}


def _refuse(name: str, allowed: str, got: object) -> ShapeError:
    return ShapeError(f"{name} must be {allowed}, got {got}")


def _require_array(name: str, value: Any, dtype: type[np.generic], shape: Sequence[int | str], note: str = "") -> None:
    """Raise ShapeError unless ``value`` is an array of ``dtype``; a word in ``shape`` means any length."""
    allowed = f"{np.dtype(dtype)} [{', '.join(map(str, shape))}]{note}"
    if not isinstance(value, np.ndarray) and not hasattr(value, "__cuda_array_interface__"):
        raise _refuse(name, allowed, type(value).__name__)
    fits = value.ndim == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(shape, value.shape, strict=True)
    )
    if value.dtype != dtype or not fits:
        raise _refuse(name, allowed, f"{value.dtype} [{', '.join(map(str, value.shape))}]")


def check_picture(picture: Picture, planes: tuple[PlaneArray, ...] | None = None) -> None:
    """Raise ShapeError unless the planes, those of the picture if None, match its description."""
    planes, pixel_format, bit_depth = planes or picture.planes, picture.pixel_format.value, picture.bit_depth
    if not 8 <= bit_depth <= 16:
        raise _refuse("bit_depth", "in 8 … 16", bit_depth)
    if picture.rotation not in (0, 90, 180, 270):
        raise _refuse("rotation", "0, 90, 180 or 270", picture.rotation)
    if len(planes) != PLANE_COUNTS[pixel_format]:
        raise _refuse("planes", f"{PLANE_COUNTS[pixel_format]} arrays for {pixel_format}", len(planes))
    _check_planes(planes, pixel_format, np.uint8 if bit_depth == 8 else np.uint16)


def _check_planes(planes: tuple[PlaneArray, ...], pixel_format: str, dtype: type[np.generic]) -> None:
    _require_array("planes[0]", planes[0], dtype, ["H", "W", 3] if pixel_format == "rgb24" else ["H", "W"])
    height, width = planes[0].shape[:2]
    if not (1 <= height <= PLANE_SIDE_MAX and 1 <= width <= PLANE_SIDE_MAX):
        raise _refuse("planes[0]", f"1 … {PLANE_SIDE_MAX} samples high and wide", f"({height}, {width})")
    chroma = [-(-height // 2), -(-width // 2), *([2] if pixel_format == "nv12" else [])]
    for index, plane in enumerate(planes[1:], start=1):
        _require_array(f"planes[{index}]", plane, dtype, chroma)


def check_sizes(view: Letterbox) -> None:
    """Raise ShapeError unless the content fits in the network's view."""
    (height, width), (content_height, content_width) = view.network_size, view.content_size
    if not (1 <= height <= NETWORK_SIDE_MAX and 1 <= width <= NETWORK_SIDE_MAX):
        raise _refuse("network_size", f"in (1, 1) … ({NETWORK_SIDE_MAX}, {NETWORK_SIDE_MAX})", (height, width))
    if not (1 <= content_height <= height and 1 <= content_width <= width):
        raise _refuse("content_size", f"in (1, 1) … {(height, width)}", (content_height, content_width))


def check_pad(pad: tuple[int, int, int]) -> None:
    """Raise ShapeError unless ``pad`` is a colour."""
    if not all(0 <= level <= 255 for level in pad):
        raise _refuse("pad", "three levels in 0 … 255", tuple(pad))


def check_block(block: int) -> None:
    """Raise ShapeError unless ``block`` is the side of a block."""
    if not 1 <= block <= POOL_SIDE_MAX:
        raise _refuse("block", f"in 1 … {POOL_SIDE_MAX}", block)


def check_samples(before: NDArray[np.int16], after: NDArray[np.int16]) -> None:
    """Raise ShapeError unless both are samples of one size."""
    _require_array("before", before, np.int16, ["H", "W"])
    height, width = before.shape
    if not (1 <= height <= PLANE_SIDE_MAX and 1 <= width <= PLANE_SIDE_MAX):
        raise _refuse("before", f"1 … {PLANE_SIDE_MAX} samples high and wide", f"({height}, {width})")
    _require_array("after", after, np.int16, [height, width])


def check_ratio(name: str, value: float) -> None:
    """Raise ShapeError unless ``value`` is in [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise _refuse(name, "in [0, 1]", float(value))


def check_outputs(
    scores: NDArray[np.float32],
    deltas: NDArray[np.float32],
    network_size: tuple[int, int],
    spec: AnchorSpec,
    candidates: int,
) -> None:
    """Raise ShapeError unless scores and deltas have a row for every anchor."""
    if not spec.strides or not all(1 <= stride <= STRIDE_MAX for stride in spec.strides):
        raise _refuse("strides", f"one or more numbers in 1 … {STRIDE_MAX}", list(spec.strides))
    count = anchor_count(network_size, spec)
    note = f" for network_size {tuple(network_size)}"
    _require_array("scores", scores, np.float32, [count], note)
    _require_array("deltas", deltas, np.float32, [count, 4], note)
    if candidates < 1:
        raise _refuse("candidates", ">= 1", candidates)


def check_boxes(boxes_xyxy: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
    """Raise ShapeError unless there is a score for every box."""
    _require_array("boxes_xyxy", boxes_xyxy, np.float32, ["N", 4])
    _require_array("scores", scores, np.float32, [boxes_xyxy.shape[0]])
