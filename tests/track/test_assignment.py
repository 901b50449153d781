"""Overlap, nearness and the choice of pairs, on cases a person can check."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.track.assignment import (
    REFUSED,
    assign,
    cover_matrix,
    distance_matrix,
    is_same_box,
    pair_costs,
    size_ratio_matrix,
)

UNIT = np.array([[0.0, 0.0, 10.0, 10.0]])


@pytest.mark.parametrize(
    ("box", "iou", "cover", "ratio", "distance"),
    [
        ([0, 0, 10, 10], 1.0, 1.0, 1.0, 0.0),
        ([5, 0, 15, 10], 1 / 3, 0.5, 1.0, 0.5),
        ([0, 0, 5, 10], 0.5, 1.0, 0.5, 2.5 / ((10 + 50**0.5) / 2)),
        ([10, 0, 20, 10], 0.0, 0.0, 1.0, 1.0),
        ([5, 5, 5, 5], 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_pairs_of_boxes_are_measured(box: list[float], iou: float, cover: float, ratio: float, distance: float) -> None:
    other = np.array([box], np.float64)
    assert [is_same_box(UNIT, other, iou + step)[0] for step in (-1e-9, 1e-9)] == [True, False]
    assert cover_matrix(UNIT, other)[0, 0] == pytest.approx(cover)
    assert size_ratio_matrix(UNIT, other)[0, 0] == pytest.approx(ratio)
    assert distance_matrix(UNIT, other)[0, 0] == pytest.approx(distance)


def test_overlap_costs_less_than_nearness_and_nearness_less_than_nothing() -> None:
    seen = np.array([[2.0, 0, 12, 10], [11, 0, 21, 10], [40, 0, 50, 10], [0, 0, 1, 1]])
    costs = pair_costs(UNIT, seen, least_iou=0.25, reach=np.array([1.5]), least_size_ratio=0.6)[0]
    assert costs[0] == pytest.approx(1 - 80 / 120)
    assert costs[1] == pytest.approx(1 + 1.1 / 1.5)
    assert costs[2] == REFUSED
    assert costs[3] == REFUSED


def test_without_reach_only_overlap_joins() -> None:
    costs = pair_costs(UNIT, np.array([[9.0, 0, 19, 10]]), least_iou=0.25, reach=np.zeros(1), least_size_ratio=0.6)
    assert costs[0, 0] == REFUSED


def test_the_total_is_least_not_the_first_pair() -> None:
    rows, columns = assign(np.array([[0.1, 0.2], [0.2, 0.9]]))
    assert list(zip(rows, columns, strict=True)) == [(0, 1), (1, 0)]


def test_ties_keep_the_order() -> None:
    for size in (2, 3, 7):
        rows, columns = assign(np.full((size, size), 0.5))
        assert rows.tolist() == columns.tolist() == list(range(size))


def test_a_refused_pair_stays_apart() -> None:
    rows, columns = assign(np.array([[REFUSED, 0.3], [REFUSED, REFUSED]]))
    assert (rows.tolist(), columns.tolist()) == ([0], [1])


def test_a_good_pair_is_not_broken_up_for_two_poor_ones() -> None:
    rows, columns = assign(np.array([[0.1, 1.9], [1.9, REFUSED]]))
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_join_gives_no_pairs(shape: tuple[int, int]) -> None:
    rows, columns = assign(np.zeros(shape))
    assert rows.size == columns.size == 0


def test_the_same_box_overlaps_by_so_much_or_more() -> None:
    first = np.repeat(UNIT, 4, axis=0)
    second = np.array([[0.0, 0, 10, 10], [0, 0, 9, 10], [0, 0, 8.9, 10], [20, 0, 30, 10]])
    assert is_same_box(first, second, 0.9).tolist() == [True, True, False, False]


def test_boxes_without_area_join_nothing_and_divide_by_nothing() -> None:
    point = np.array([[5.0, 5, 5, 5]])
    assert pair_costs(point, point, least_iou=0.15, reach=np.ones(1), least_size_ratio=0.5)[0, 0] == REFUSED
