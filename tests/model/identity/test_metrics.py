"""Scores of embeddings that a person can check."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.errors import ShapeError
from acfd_stream.model.identity.metrics import pair_similarities, rank_one, verification


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


def test_pairs_of_one_character_and_of_two() -> None:
    same, other = pair_similarities(at_angles(0, 60, 90), ["a", "a", "b"])
    assert same == pytest.approx([0.5])
    assert sorted(other) == pytest.approx([0.0, np.cos(np.radians(30))], abs=1e-6)


def test_one_of_two_strangers_is_more_alike() -> None:
    found = verification(at_angles(0, 60, 90), ["a", "a", "b"])
    assert found.auc == 0.5
    assert found.accept_rate == 0.0  # 0.5 is below the stranger's 0.87, and no pair of two may pass
    assert found.threshold == pytest.approx(np.cos(np.radians(30)))


def test_equal_similarities_count_half() -> None:
    assert verification(at_angles(0, 0, 0), ["a", "a", "b"]).auc == 0.5


def test_a_hundredth_of_the_pairs_of_two_may_pass() -> None:
    # One crop of "b" lies near those of "a": of 400 pairs of two, four may pass, the fifth is 12° - 10° · 15/19 apart.
    degrees = [*np.linspace(0, 10, 20), 12.0, *np.linspace(80, 90, 19)]
    found = verification(at_angles(*degrees), ["a"] * 20 + ["b"] * 20)
    assert found.threshold == pytest.approx(np.cos(np.radians(12 - 10 * 15 / 19)), abs=1e-4)
    assert found.accept_rate == pytest.approx((112 + 105) / (190 + 190))  # at most seven steps apart


def test_verification_needs_both_kinds_of_pairs() -> None:
    with pytest.raises(ShapeError, match="got 1 and 0"):
        verification(at_angles(0, 1), ["a", "a"])


def test_rank_one_compares_with_the_mean_of_five_views() -> None:
    near, far = [0.0] * 6, [90.0] * 6
    assert rank_one(at_angles(*near, *far), ["a"] * 6 + ["b"] * 6) == 1.0
    # A seventh crop of "a" that looks like "b" is wrong unless it is one of the enrolled five.
    shares = rank_one(at_angles(*near, 80.0, *far), ["a"] * 7 + ["b"] * 6)
    assert 2 / 3 <= shares < 1.0


def test_rank_one_needs_a_crop_left_to_identify() -> None:
    with pytest.raises(ShapeError, match="more than 5 crops"):
        rank_one(at_angles(*[0.0] * 5), ["a"] * 5)
