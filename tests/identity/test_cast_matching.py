"""Which member a character is: by hand, and at random with the rules that may never be broken."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from acfd_stream.errors import ShapeError
from acfd_stream.identity.cast.matching import CastMatch, CastMatcher, Prototype, threshold_of
from acfd_stream.types import FloatArray
from tests.identity.made_up import DIMENSIONS, looks


def row(*values: float) -> FloatArray:
    """One view of unit length, float32 [1, D]; its last value makes it so."""
    rest = np.sqrt(1.0 - sum(value**2 for value in values))
    return np.array([[*values, rest]], np.float32)


def matcher(*members: FloatArray, threshold: float = 0.5) -> CastMatcher:
    """Members 10, 20, … with these views, called "10", "20", …"""
    prototypes = [Prototype(10 * number, str(10 * number), views) for number, views in enumerate(members, start=1)]
    return CastMatcher(prototypes, threshold, margin=0.1)


AXES = matcher(row(1, 0, 0), row(0, 1, 0), row(0, 0, 1))


def found(matches: dict[int, CastMatch]) -> dict[int, int]:
    return {number: match.member for number, match in matches.items()}


def test_the_most_similar_member_above_the_threshold() -> None:
    assert AXES.match(row(0.2, 0.9, 0.1)) == CastMatch(20, "20", 0.9)
    assert AXES.match(row(0.5, 0, 0)) == CastMatch(10, "10", 0.5)
    assert AXES.match(row(0.49, 0, 0)) is None
    assert AXES.match(row(0.7, 0.61, 0)) is None  # it could be both
    assert AXES.match(row(0.7, 0.59, 0)) == CastMatch(10, "10", 0.7)


def test_the_means_of_views_are_compared() -> None:
    two = np.concatenate([row(1, 0), row(0, 1)])  # its mean is (1, 1, 0) / √2
    assert matcher(two, row(0, 1)).similarities(row(0.6, 0.8)) == pytest.approx([1.4 / np.sqrt(2), 0.8], abs=1e-6)
    assert matcher(row(1, 0)).similarities(two) == pytest.approx([1 / np.sqrt(2)], abs=1e-6)


def test_the_threshold_lies_between_that_of_two_views_and_equal_pictures() -> None:
    assert threshold_of(0.4) == pytest.approx(0.61)
    assert threshold_of(1.0) == 1.0


def test_characters_of_one_frame_share_no_member() -> None:
    looks = {1: row(0.9, 0, 0), 2: row(0.8, 0, 0), 3: row(0.6, 0, 0)}
    assert found(AXES.assign(looks)) == {1: 10, 2: 10, 3: 10}  # parts of one character
    assert found(AXES.assign(looks, {(1, 2)})) == {1: 10, 3: 10}
    assert found(AXES.assign(looks, {(3, 2), (2, 1), (1, 3)})) == {1: 10}


def test_all_characters_are_assigned_at_once() -> None:
    looks = {1: row(0.7, 0.65, 0), 2: row(0.68, 0, 0)}
    assert found(AXES.assign(looks)) == {2: 10}  # each alone: 1 could be both
    # 2 can only be member 10, and was in a frame with 1: so 1 is member 20.
    assert found(AXES.assign(looks, {(1, 2)})) == {1: 20, 2: 10}


def test_look_alikes_are_told_from_each_other_where_both_are_there() -> None:
    alike = matcher(row(1, 0), row(0.95, 0.3))
    first, second = row(0.995, 0.05), row(0.94, 0.335)
    assert alike.match(first) is None  # it could be both
    assert found(alike.assign({1: first, 2: second})) == {1: 10, 2: 20}
    assert found(alike.assign({1: first, 2: first})) == {}  # that says nothing about the other member


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert CastMatcher([], 0.5).assign({1: row(1, 0, 0)}) == {}
    assert AXES.assign({}) == {}
    assert AXES.assign({1: np.zeros((0, 4), np.float32)}) == {}
    for wrong in (row(1, 0), np.zeros(4, np.float32), np.zeros((0, 4), np.float32)):
        with pytest.raises(ShapeError, match=r"embeddings must be \[V, 4\], got"):
            AXES.match(wrong) if len(wrong) else AXES.similarities(wrong)


@pytest.mark.parametrize("seed", range(20))
def test_the_rules_hold_for_any_input(seed: int) -> None:
    random = np.random.default_rng(seed)
    members = [looks(int(random.integers(8)), int(random.integers(1, 6)), seed=seed + n, scatter=1.0) for n in range(9)]
    characters = {n: looks(int(random.integers(8)), int(random.integers(1, 6)), seed=-n % 97) for n in range(1, 13)}
    together = {pair for pair in combinations(characters, 2) if random.random() < 0.3}
    casts = matcher(*members, threshold=float(random.uniform(0.2, 0.7)))
    matches = casts.assign(characters, together)
    for number, match in matches.items():
        scores = casts.similarities(characters[number])
        assert scores[match.member // 10 - 1] >= casts.threshold
        assert 0.5 <= match.confidence <= 1.0
    assert not {
        (one, other) for one, other in together if one in matches and found(matches)[one] == found(matches).get(other)
    }
    reordered = dict(sorted(characters.items(), reverse=True))
    assert casts.assign(reordered, {(other, one) for one, other in together}) == matches


def test_strangers_get_no_name() -> None:
    known = matcher(*(looks(identity, 16, seed=1) for identity in range(40)))
    wrong = [identity for identity in range(100, 1100) if known.match(looks(identity)) is not None]
    right = [identity for identity in range(40) if found(known.assign({1: looks(identity)})) == {1: 10 * identity + 10}]
    assert DIMENSIONS == 64
    assert len(wrong) <= 10
    assert len(right) == 40
