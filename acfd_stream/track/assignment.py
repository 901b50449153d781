"""Assigns detections to tracks in one frame.

Overlap decides. Boxes that do not overlap, as after a jump of more than their width, can be joined if they are near
and of similar size, at a cost above that of any overlap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acfd_stream.least_cost import linear_sum_assignment
from acfd_stream.track.kalman import DoubleArray

REFUSED = 2.0
"""Cost of a pair that may not be joined; an admissible pair costs less."""
_TIE = 1e-9
_TINY = 1e-300  # prevents a division by zero for boxes without area


def is_same_box(first_xyxy: DoubleArray, second_xyxy: DoubleArray, least_iou: float) -> NDArray[np.bool_]:
    """Whether each of N boxes overlaps its partner by ``least_iou`` or more, bool [N]."""
    low = np.maximum(first_xyxy[:, :2], second_xyxy[:, :2])
    high = np.minimum(first_xyxy[:, 2:], second_xyxy[:, 2:])
    sides = np.maximum(high - low, 0.0)
    shared = sides[:, 0] * sides[:, 1]
    return np.asarray(shared >= least_iou * (_areas(first_xyxy) + _areas(second_xyxy) - shared))


def cover_matrix(first_xyxy: DoubleArray, second_xyxy: DoubleArray) -> DoubleArray:
    """Intersection over the smaller box of every pair, float64 [N, M], in [0, 1]."""
    shared = _shared_area(first_xyxy, second_xyxy)
    smaller = np.minimum(_areas(first_xyxy)[:, None], _areas(second_xyxy)[None, :])
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def size_ratio_matrix(first_xyxy: DoubleArray, second_xyxy: DoubleArray) -> DoubleArray:
    """Smaller over larger area of every pair, float64 [N, M], in [0, 1]."""
    first, second = _areas(first_xyxy)[:, None], _areas(second_xyxy)[None, :]
    larger = np.maximum(first, second)
    return np.divide(np.minimum(first, second), larger, out=np.zeros_like(larger), where=larger > 0)


def distance_matrix(first_xyxy: DoubleArray, second_xyxy: DoubleArray) -> DoubleArray:
    """Distance of the centres of every pair in mean box sides, float64 [N, M]."""
    first_center = (first_xyxy[:, :2] + first_xyxy[:, 2:]) / 2
    second_center = (second_xyxy[:, :2] + second_xyxy[:, 2:]) / 2
    step = first_center[:, None, :] - second_center[None, :, :]
    side = (np.sqrt(_areas(first_xyxy))[:, None] + np.sqrt(_areas(second_xyxy))[None, :]) / 2
    return np.hypot(step[..., 0], step[..., 1]) / np.maximum(side, 1.0)


def pair_costs(
    expected_xyxy: DoubleArray,  # [T, 4]
    seen_xyxy: DoubleArray,  # [N, 4]
    least_iou: float,
    reach: DoubleArray,  # [T]
    least_size_ratio: float,
) -> DoubleArray:
    """Cost of joining each track with each detection, float64 [T, N], in [0, REFUSED].

    1 - IoU for pairs that overlap by ``least_iou`` or more, in [1, REFUSED) for pairs whose
    centres lie within the track's ``reach`` box sides, ``REFUSED`` otherwise or where the areas are further
    apart than ``least_size_ratio``.
    """
    first, second = _areas(expected_xyxy)[:, None], _areas(seen_xyxy)[None, :]
    shared, larger = _shared_area(expected_xyxy, seen_xyxy), np.maximum(np.maximum(first, second), _TINY)
    overlap, ratio = shared / np.maximum(first + second - shared, _TINY), np.minimum(first, second) / larger
    costs = np.full(overlap.shape, REFUSED)
    closeness = distance_matrix(expected_xyxy, seen_xyxy) / np.maximum(reach, 1e-9)[:, None]
    is_near = (closeness < 1.0) & (ratio >= least_size_ratio)
    costs[is_near] = 1.0 + closeness[is_near]
    is_over = (overlap >= least_iou) & (ratio >= least_size_ratio / 2)
    costs[is_over] = 1.0 - overlap[is_over]
    return costs


def assign(costs: DoubleArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of least total cost: rows and columns, int64 [K] each, rows rising.

    A row or column left alone costs as much as a refused pair, so a good pair is not broken up
    to make two poor ones. Of equal solutions the one that keeps rows and columns in the same
    order is taken.

    Args:
        costs: float64 [T, N], at most ``REFUSED``, which stands for a pair that may not be.
    """
    if costs.size == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.arange(costs.shape[0])[:, None] * np.arange(costs.shape[1])[None, :]
    rows, columns = linear_sum_assignment(costs - _TIE * order)
    is_allowed = costs[rows, columns] < REFUSED
    return rows[is_allowed].astype(np.int64), columns[is_allowed].astype(np.int64)


def _areas(boxes_xyxy: DoubleArray) -> DoubleArray:
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def _shared_area(first_xyxy: DoubleArray, second_xyxy: DoubleArray) -> DoubleArray:
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    sides = np.maximum(high - low, 0.0)
    return np.asarray(sides[..., 0] * sides[..., 1])
