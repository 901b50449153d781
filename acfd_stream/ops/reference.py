"""NumPy reference implementation of the ops: readable and slow. Every other backend must match it exactly.

A backend offers the public functions ``letterbox``, ``mean_pool``, ``cell_moments``, ``decode_anchors`` and ``nms``
with the parameters here; ``acfd_stream.ops`` wraps and documents them for callers.

Two rules make equality to the last bit possible. Sampling and colour are integer arithmetic. Everything else is float32
with one rounding per operation, in the order written here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acfd_stream.ops import _checks
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_grid
from acfd_stream.ops.tone import BIN_SHIFT, BINS, CODE_BITS, CODES, DARKEST, tone_table
from acfd_stream.ops.tone import fields as tone_fields
from acfd_stream.types import FloatArray, IndexArray, Picture, PixelFormat, PlaneArray

WEIGHT_BITS = 14
"""Weights of the sampling filter are multiples of 1 / 2^14."""
SAMPLE_BITS = 14
"""Intermediate samples have 14 bits for every bit depth: 8-bit 255 is 16320."""
COLOR_BITS = 19
"""Coefficients of the colour matrix are multiples of 1 / 2^19 of a level."""
CELL_SIDE = 4
"""Samples of a side of the cells of ``cell_moments``."""
LUMA_SHARES = {"bt601": (2990, 1140), "bt709": (2126, 722), "bt2020": (2627, 593)}
"""Kr and Kb of the standards, in 1 / 10000."""
LOG_RATIO_MAX = np.float32(4.135166556742356)
"""log 62.5: no box is wider than 62.5 anchors."""
LOG_RATIO_MIN = np.float32(-80.0)


def letterbox(picture: Picture, view: Letterbox, pad: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The picture, upright, in the top-left corner of a padded uint8 [H, W, 3]."""
    _checks.check_picture(picture)
    _checks.check_sizes(view)
    _checks.check_pad(pad)
    height, width = view.content_size if picture.rotation in (0, 180) else view.content_size[::-1]
    stored_height, stored_width = picture.stored_size
    samples = [
        _resample(
            plane,
            filter_weights(stored_height, subsampling, height),
            filter_weights(stored_width, subsampling, width),
            picture.bit_depth,
        )
        for plane, subsampling in _channels(picture)
    ]
    if picture.pixel_format is PixelFormat.RGB24:
        sums = np.stack(samples, axis=-1) * _luma_gain(True, picture.bit_depth)
    else:
        sums = _ycbcr_to_rgb(samples, picture.color_matrix.value, picture.is_full_range, picture.bit_depth)
    table = tone_table(picture)
    rgb = _rounded(sums) if table is None else _tone_mapped(sums, table)
    image = np.empty((*view.network_size, 3), np.uint8)
    image[:] = pad
    image[: view.content_size[0], : view.content_size[1]] = np.rot90(rgb, -(picture.rotation // 90))
    return image


def _channels(picture: Picture) -> list[tuple[PlaneArray, int]]:
    """(samples [h, w], subsampling) of the three channels."""
    planes = picture.planes
    if picture.pixel_format is PixelFormat.YUV420P:
        return [(planes[0], 1), (planes[1], 2), (planes[2], 2)]
    if picture.pixel_format is PixelFormat.NV12:
        return [(planes[0], 1), (planes[1][..., 0], 2), (planes[1][..., 1], 2)]
    return [(planes[0][..., channel], 1) for channel in range(3)]


def filter_weights(length: int, subsampling: int, outputs: int) -> IndexArray:
    """Weights of the triangle filter that brings one axis of a plane to ``outputs`` pixels.

    Its half-width is max(scale, 1) samples around the centre of an output, as in Pillow's BILINEAR.

    Args:
        length: samples of the first plane along the axis.
        subsampling: 1, or 2 for a plane with ceil(length / 2) samples, sample k covering [2k, 2k + 2).
        outputs: content pixels along the axis.

    Returns:
        int64 [outputs, samples]; each row adds up to 2^WEIGHT_BITS.
    """
    samples = -(-length // subsampling)
    # In units of 1 / (2 * pitch) of a sample every position is a whole number.
    pitch = outputs * subsampling
    centres = (2 * np.arange(outputs, dtype=np.int64)[:, None] + 1) * length
    positions = (2 * np.arange(samples, dtype=np.int64)[None, :] + 1) * pitch
    heights = np.maximum(2 * max(length, pitch) - np.abs(positions - centres), 0)
    # The running sum is rounded instead of each weight, so that the total stays exact.
    sums = np.cumsum(heights, axis=1)
    totals = sums[:, -1:]
    rounded = ((sums << (WEIGHT_BITS + 1)) + totals) // (2 * totals)
    weights: IndexArray = np.diff(rounded, axis=1, prepend=0)
    return weights


def _resample(plane: PlaneArray, vertical: IndexArray, horizontal: IndexArray, bit_depth: int) -> IndexArray:
    """14-bit samples of a plane at its new size: down the columns, rounded, then along the rows, rounded."""
    rows = vertical @ plane.astype(np.int64)
    rows = np.minimum((rows + (1 << (bit_depth - 1))) >> bit_depth, 1 << SAMPLE_BITS)
    samples: IndexArray = (rows @ horizontal.T + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
    return samples


def _gain(is_full_range: bool, bit_depth: int, limited_steps: int) -> tuple[int, int]:
    """One 14-bit step in units of 1 / 2^COLOR_BITS of a level: (numerator, denominator)."""
    white = 255 << COLOR_BITS
    if is_full_range:  # 2^b - 1 steps, each 2^14 / 2^b
        return (white >> SAMPLE_BITS) << bit_depth, (1 << bit_depth) - 1
    return white >> (SAMPLE_BITS - 8), limited_steps


def _luma_gain(is_full_range: bool, bit_depth: int) -> int:
    return _nearest(*_gain(is_full_range, bit_depth, limited_steps=219))


def _nearest(numerator: int, denominator: int) -> int:
    """The quotient to the nearest whole number, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _ycbcr_to_rgb(samples: list[IndexArray], color_matrix: str, is_full_range: bool, bit_depth: int) -> IndexArray:
    """[H, W, 3] in 1 / 2^COLOR_BITS of a level, not clipped, of 14-bit Y, U and V [H, W]."""
    color = color_transform(color_matrix, is_full_range, bit_depth)
    gray = color.luma * (samples[0] - color.black)
    u, v = samples[1] - color.grey, samples[2] - color.grey
    return np.stack(
        [gray + color.red_v * v, gray - color.green_u * u - color.green_v * v, gray + color.blue_u * u], axis=-1
    )


class ColorTransform(NamedTuple):
    """Coefficients that take 14-bit Y, U and V to levels, in 1 / 2^COLOR_BITS of a level; green's are subtracted."""

    luma: int
    red_v: int
    green_u: int
    green_v: int
    blue_u: int
    black: int  # 14-bit sample
    grey: int  # 14-bit sample


def color_transform(color_matrix: str, is_full_range: bool, bit_depth: int) -> ColorTransform:
    """Coefficients from Kr and Kb (ITU-R BT.601, BT.709, BT.2020, "derivation of luminance and colour-difference")."""
    one = 10000
    kr, kb = LUMA_SHARES[color_matrix]
    kg = one - kr - kb
    numerator, denominator = _gain(is_full_range, bit_depth, limited_steps=224)
    level = 1 << (SAMPLE_BITS - 8)
    return ColorTransform(
        luma=_luma_gain(is_full_range, bit_depth),
        red_v=_nearest(numerator * 2 * (one - kr), denominator * one),
        green_u=_nearest(numerator * 2 * kb * (one - kb), denominator * kg * one),
        green_v=_nearest(numerator * 2 * kr * (one - kr), denominator * kg * one),
        blue_u=_nearest(numerator * 2 * (one - kb), denominator * one),
        black=0 if is_full_range else 16 * level,
        grey=128 * level,
    )


def _rounded(sums: IndexArray) -> NDArray[np.uint8]:
    """Levels 0 … 255 of sums in 1 / 2^COLOR_BITS of a level."""
    levels: NDArray[np.uint8] = np.clip((sums + (1 << (COLOR_BITS - 1))) >> COLOR_BITS, 0, 255).astype(np.uint8)
    return levels


def _tone_mapped(sums: IndexArray, table: FloatArray) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], SDR of BT.709, of signals in 1 / 2^COLOR_BITS of a level."""
    tone = tone_fields(table)
    shift = COLOR_BITS - CODE_BITS
    light = tone["light"][np.clip((sums + (1 << (shift - 1))) >> shift, 0, CODES - 1)]
    light = light * tone["gain"][_bins(_weighted(light, tone["luminance"]))][..., None]
    levels = [tone["level"][_bins(_weighted(light, row))] for row in tone["gamut"]]
    return np.stack(levels, axis=-1).astype(np.uint8)


def _weighted(light: FloatArray, weights: FloatArray) -> FloatArray:
    total: FloatArray = weights[0] * light[..., 0] + weights[1] * light[..., 1] + weights[2] * light[..., 2]
    return total


def _bins(light: FloatArray) -> IndexArray:
    """The bin of each light: the upper bits of a float32."""
    bits = np.maximum(light, DARKEST).view(np.uint32) - DARKEST.view(np.uint32)
    bins: IndexArray = np.minimum(bits >> BIN_SHIFT, BINS - 1).astype(np.int64)
    return bins


def mean_pool(picture: Picture, block: int) -> tuple[NDArray[np.int16], ...]:
    """14-bit means of the blocks of every channel, int16 [ceil(h / block), ceil(w / block)]."""
    _checks.check_picture(picture)
    _checks.check_block(block)
    return tuple(_pooled(samples, picture.bit_depth, block) for samples, _ in _channels(picture))


def cell_moments(before: NDArray[np.int16], after: NDArray[np.int16]) -> IndexArray:
    """int64 [5, ceil(h / 4), ceil(w / 4)]: sums over cells of a, b, aa, ab and bb."""
    _checks.check_samples(before, after)
    a, b = before.astype(np.int64), after.astype(np.int64)
    rows, columns = (np.arange(0, length, CELL_SIDE) for length in before.shape)
    products = np.stack([a, b, a * a, a * b, b * b])
    sums: IndexArray = np.add.reduceat(np.add.reduceat(products, rows, axis=1), columns, axis=2)
    return sums


def _pooled(samples: PlaneArray, bit_depth: int, block: int) -> NDArray[np.int16]:
    rows, columns = (np.arange(0, length, block) for length in samples.shape)
    sums = np.add.reduceat(np.add.reduceat(samples.astype(np.int64), rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff([*starts, length]) for starts, length in zip((rows, columns), samples.shape, strict=True)
    )
    counts = heights[:, None] * widths[None, :] << bit_depth
    means: NDArray[np.int16] = (((sums << (SAMPLE_BITS + 1)) + counts) // (2 * counts)).astype(np.int16)
    return means


def decode_anchors(
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
    passed = np.flatnonzero(scores >= np.float32(score_threshold))  # NaN never passes
    order = passed[np.argsort(-scores[passed], kind="stable")]
    indices = order[:candidates].astype(np.int64)
    anchors = anchor_grid(view.network_size, spec)[indices]
    boxes = _decode_boxes(anchors, deltas[indices], spec.variances, view.content_size)
    return boxes, scores[indices], indices, len(passed) > candidates


def _decode_boxes(
    anchors: FloatArray,  # [K, 4] centre x, centre y, width, height
    deltas: FloatArray,  # [K, 4]
    variances: tuple[float, float],
    content_size: tuple[int, int],
) -> FloatArray:
    """float32 [K, 4] xyxy, clipped to the content; a NaN ends on the left or upper border."""
    limit = np.array(content_size[::-1], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        centres = anchors[:, :2] + (deltas[:, :2] * np.float32(variances[0])) * anchors[:, 2:]
        ratios = exp_bounded(_clamp_or_low(deltas[:, 2:] * np.float32(variances[1]), LOG_RATIO_MIN, LOG_RATIO_MAX))
        halves = (anchors[:, 2:] * ratios) * np.float32(0.5)
        corners = [_clamp_or_low(corner, np.float32(0), limit) for corner in (centres - halves, centres + halves)]
    return np.concatenate(corners, axis=1)


def _clamp_or_low(values: FloatArray, low: np.float32, high: np.float32 | FloatArray) -> FloatArray:
    """``values`` kept in [low, high]; NaN becomes ``low``."""
    return np.where(values > low, np.where(values < high, values, high), low).astype(np.float32)


def exp_bounded(x: FloatArray) -> FloatArray:
    """e^x in float32, within 2 ulp, the same bits on every machine; x in [LOG_RATIO_MIN, LOG_RATIO_MAX].

    x = n ln 2 + r with abs(r) <= ln 2 / 2, e^r by its Taylor polynomial of degree 7. ln 2 is taken in two parts, the
    first with so few bits that n times it is exact.
    """
    f = np.float32
    shift = f(1.5 * 2**23)  # a float32 this large has no fraction bits
    n = (x * f(1.44269504) + shift) - shift
    r = (x - n * f(0.693359375)) - n * f(-2.12194440e-4)
    p = np.full_like(x, f(1) / f(5040))
    for factorial in (720, 120, 24, 6, 2, 1, 1):
        p = p * r + f(1) / f(factorial)
    power: FloatArray = ((n.astype(np.int32) + 127) << 23).view(np.float32)
    return p * power


def nms(boxes_xyxy: FloatArray, scores: FloatArray, iou_threshold: float) -> IndexArray:
    """int64 [K]: the boxes that survive greedy suppression, best first."""
    _checks.check_boxes(boxes_xyxy, scores)
    _checks.check_ratio("iou_threshold", iou_threshold)
    threshold = np.float32(iou_threshold)
    order = np.argsort(-scores, kind="stable")  # NaN last
    is_dropped = np.zeros(len(scores), bool)
    kept = []
    for rank, index in enumerate(order):
        if is_dropped[index]:
            continue
        kept.append(index)
        rest = order[rank + 1 :]
        is_dropped[rest] |= overlaps_above(boxes_xyxy[index], boxes_xyxy[rest], threshold)
    return np.array(kept, np.int64)


def overlaps_above(box: FloatArray, others: FloatArray, threshold: np.float32) -> NDArray[np.bool_]:
    """Whether the IoU of ``box`` [4] with ``others`` [N, 4] is strictly above, bool [N].

    Boxes without area, with swapped corners or with a NaN overlap nothing. There is no division, since a
    quotient may be rounded onto the threshold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        side, sides = box[2:] - box[:2], others[:, 2:] - others[:, :2]
        has_area = np.all(side > 0) & np.all(sides > 0, axis=1)
        shared_sides = np.maximum(
            np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), np.float32(0)
        )
        shared = shared_sides[:, 0] * shared_sides[:, 1]
        union = (side[0] * side[1] + sides[:, 0] * sides[:, 1]) - shared
        overlaps: NDArray[np.bool_] = has_area & (shared > threshold * union)
    return overlaps
