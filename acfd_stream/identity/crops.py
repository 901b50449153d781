"""Crops of faces from the planes of a decoder, and how much a crop is worth.

A picture is never converted as a whole: only the part of its planes around a face is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acfd_stream import ops
from acfd_stream.identity.views import CROP_SIDE
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import FloatArray, Picture, PixelFormat

CONTEXT = 1.8
"""Side of the square, in longer sides of the face's box."""
FULL_SIDE = 80.0
"""A face of this longer side or more, display pixels, counts as large."""
FULL_SHARPNESS = 400.0
"""Variance of the Laplacian of a sharp crop, 8-bit levels squared."""
CUT_WORTH = 0.5
"""What a face that the picture's edge cuts is worth, of one inside."""
EDGE_SHARE = 0.02
"""A box is cut if it comes this close to the picture's edge, in longer sides."""
OVERLAP_COST = 0.7
"""What a face loses that is covered completely by the box of another one."""


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of one axis: of the stored planes, and of the crop."""

    begin: int  # first stored sample
    end: int
    offset: int  # crop pixel where it begins; may be negative
    length: int  # crop pixels


def crop_of(picture: Picture, box_xyxy: tuple[float, float, float, float] | list[float]) -> NDArray[np.uint8]:
    """The square around a face: 1.8 × the longer side of its box, black outside the picture.

    Args:
        picture: planes as the decoder left them.
        box_xyxy: the face's box, display pixels.

    Returns:
        uint8 [144, 144, 3] RGB, upright.
    """
    x1, y1, x2, y2 = box_xyxy
    side = max(x2 - x1, y2 - y1, 1.0) * CONTEXT
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    height, width = picture.display_size
    stored_height, stored_width = picture.stored_size
    # In shares of the upright picture, then of the stored one.
    across, down = (left / width, side / width), (top / height, side / height)
    if picture.rotation in (90, 180):
        across = (1.0 - across[0] - across[1], across[1])
    if picture.rotation in (180, 270):
        down = (1.0 - down[0] - down[1], down[1])
    if picture.rotation in (90, 270):
        across, down = down, across
    step = 1 if picture.pixel_format is PixelFormat.RGB24 else 2
    columns, rows = _span(*across, stored_width, step), _span(*down, stored_height, step)
    image = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    if columns is None or rows is None:
        return image
    return np.rot90(_pasted(image, _part(picture, rows, columns), rows, columns), -(picture.rotation // 90)).copy()


def _span(begin: float, length: float, samples: int, step: int) -> _Span | None:
    """The samples of an axis that a part of it needs, rounded outwards to ``step``; None: it is outside.

    Args:
        begin: where the part begins, in shares of the axis.
        length: its length in shares.
        samples: length of the axis.
        step: samples that share a chroma sample.
    """
    scale = CROP_SIDE / (length * samples)  # crop pixels per sample
    first = max(0, math.floor(begin * samples / step) * step)
    last = min(samples, math.ceil((begin + length) * samples / step) * step)
    if first >= last:
        return None
    offset = round((first - begin * samples) * scale)
    pixels = max(1, round((last - begin * samples) * scale) - offset)
    return _Span(first, last, offset, pixels)


def _part(picture: Picture, rows: _Span, columns: _Span) -> NDArray[np.uint8]:
    """The part of the picture, scaled, as it is stored: without rotation."""
    luma = (slice(rows.begin, rows.end), slice(columns.begin, columns.end))
    chroma = (slice(rows.begin // 2, -(-rows.end // 2)), slice(columns.begin // 2, -(-columns.end // 2)))
    planes = tuple(plane[luma if index == 0 else chroma] for index, plane in enumerate(picture.planes))
    size = (rows.length, columns.length)
    shown = (rows.end - rows.begin, columns.end - columns.begin)
    return ops.letterbox(replace(picture, planes=planes, display_size=shown, rotation=0), Letterbox(size, size, shown))


def _pasted(image: NDArray[np.uint8], part: NDArray[np.uint8], rows: _Span, columns: _Span) -> NDArray[np.uint8]:
    """``image`` with ``part`` at its place; what lies outside of ``image`` is left out."""
    top, left = max(rows.offset, 0), max(columns.offset, 0)
    bottom, right = min(rows.offset + rows.length, CROP_SIDE), min(columns.offset + columns.length, CROP_SIDE)
    if top < bottom and left < right:
        image[top:bottom, left:right] = part[
            top - rows.offset : bottom - rows.offset, left - columns.offset : right - columns.offset
        ]
    return image


def box_qualities(boxes_xyxy: FloatArray, scores: FloatArray, display_size: tuple[int, int]) -> FloatArray:
    """What views of the faces of one picture are worth as far as their boxes tell: large, sure, whole, uncovered.

    Args:
        boxes_xyxy: float32 [N, 4], display pixels.
        scores: float32 [N].
        display_size: (height, width).

    Returns:
        float32 [N], in [0, 1].
    """
    if not len(boxes_xyxy):
        return np.zeros(0, np.float32)
    height, width = display_size
    sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1)
    size = np.minimum(sides / FULL_SIDE, 1.0)
    margin = EDGE_SHARE * sides
    x1, y1, x2, y2 = boxes_xyxy.T
    is_cut = (x1 <= margin) | (y1 <= margin) | (x2 >= width - margin) | (y2 >= height - margin)
    worth = scores * size * np.where(is_cut, CUT_WORTH, 1.0) * (1.0 - OVERLAP_COST * _covered(boxes_xyxy))
    return np.asarray(np.clip(worth, 0.0, 1.0), np.float32)


def _covered(boxes_xyxy: FloatArray) -> FloatArray:
    """The largest share of each box that one other box covers, [N]."""
    low = np.maximum(boxes_xyxy[:, None, :2], boxes_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], boxes_xyxy[None, :, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=2)
    np.fill_diagonal(shared, 0.0)
    areas = np.maximum((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1), 1e-6)
    return np.asarray(shared.max(axis=1) / areas, np.float32)


def sharpness(crop: NDArray[np.uint8]) -> float:
    """How sharp a crop is, in [0, 1]: the variance of its Laplacian on a logarithmic scale; 1 for clear lines.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, 2000.
    """
    red, green, blue = (crop[..., channel].astype(np.uint16) for channel in range(3))
    luma = ((77 * red + 150 * green + 29 * blue) >> 8).astype(np.int16)  # BT.601, in whole levels
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    return min(1.0, math.log1p(float(laplacian.var())) / math.log1p(FULL_SHARPNESS))
