"""BCubed by hand: the examples can be followed with a pencil."""

from __future__ import annotations

import pytest

from acfd_stream.model.bcubed import BCubed, bcubed


@pytest.mark.parametrize(
    ("classes", "clusters", "precision", "recall"),
    [
        ([1, 1, 2], [5, 5, 7], 1.0, 1.0),  # only the numbers differ
        ([1, 1, 1, 2], [1, 1, 1, 1], 0.625, 1.0),  # all in one: (3 · 3/4 + 1/4) / 4
        ([1, 1, 1, 2], [1, 2, 3, 4], 1.0, 0.5),  # all alone: (3 · 1/3 + 1) / 4
        # the cluster {1, 1, 2} and the cluster {1, 2}: precision (2/3 + 2/3 + 1/3 + 1/2 + 1/2) / 5 and recall
        # (2/3 + 2/3 + 1/3 + 1/2 + 1/2) / 5
        ([1, 1, 1, 2, 2], [8, 8, 9, 8, 9], 8 / 15, 8 / 15),
        # 5 of one class apart; 2 and 5 of two classes in one cluster
        ([1] * 5 + [2] * 2 + [3] * 5, [1] * 5 + [2] * 7, (5 + 4 / 7 + 25 / 7) / 12, 1.0),
    ],
)
def test_values_by_hand(classes: list[int], clusters: list[int], precision: float, recall: float) -> None:
    score = bcubed(classes, clusters)
    assert score.precision == pytest.approx(precision)
    assert score.recall == pytest.approx(recall)
    assert score.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_nothing_to_compare_is_no_fault() -> None:
    assert bcubed([], []) == BCubed(1.0, 1.0)
