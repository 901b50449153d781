"""Look-alikes divided anew, on made-up directions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from acfd_stream.identity.clustering import agglomerate
from acfd_stream.identity.look_alikes import divide_look_alikes
from acfd_stream.types import FloatArray

THRESHOLD = 0.4


def twins(seed: int, count: int = 12) -> tuple[FloatArray, NDArray[np.int64]]:
    """Unit vectors of two directions with a cosine of 0.85, float32 [2·count, 64], and whose each is."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(64, 2)))[0].T
    who = np.repeat([0, 1], count)
    vectors = np.stack([basis[0], 0.85 * basis[0] + 0.53 * basis[1]])[who] + rng.normal(size=(2 * count, 64)) * 0.09
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def apart(count: int, *pairs: tuple[int, int]) -> NDArray[np.bool_]:
    found = np.zeros((count, count), bool)
    for first, second in pairs:
        found[first, second] = found[second, first] = True
    return found


def is_divided(labels: NDArray[np.int64], who: NDArray[np.int64]) -> bool:
    return len({*labels[who == 0]}) == len({*labels[who == 1]}) == 1 and len({*labels}) == 2


def test_tracks_in_the_wrong_one_of_two_look_alikes_move() -> None:
    vectors, who = twins(0)
    wrong = who.copy()
    wrong[[1, 2, 3, 15, 16]] = 1 - wrong[[1, 2, 3, 15, 16]]
    assert not is_divided(wrong, who)
    assert is_divided(divide_look_alikes(wrong, vectors, apart(24, (0, 12)), THRESHOLD), who)


def test_it_mends_what_average_linkage_divides_wrongly() -> None:
    pairs = apart(24, (0, 12), (1, 13))
    before, after = [], []
    for seed in range(40):
        vectors, who = twins(seed)
        labels = agglomerate(vectors, pairs, THRESHOLD)
        before.append(is_divided(labels, who))
        after.append(is_divided(divide_look_alikes(labels, vectors, pairs, THRESHOLD), who))
    assert sum(before) < 28
    assert sum(after) > 35


def test_groups_that_no_frame_keeps_apart_or_that_differ_stay() -> None:
    vectors, who = twins(1)
    wrong = np.where(np.arange(24) == 5, 1, who)
    assert (divide_look_alikes(wrong, vectors, apart(24), THRESHOLD) == wrong).all()
    assert (divide_look_alikes(wrong, vectors, apart(24, (0, 12)), 0.9) == wrong).all()


@pytest.mark.parametrize("seed", range(8))
def test_what_must_be_apart_stays_apart_and_no_group_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(60, 8)) + 1.5
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    pairs = np.triu(rng.random((60, 60)) < 0.05, 1)
    pairs |= pairs.T
    labels = agglomerate(vectors, pairs, THRESHOLD)
    divided = divide_look_alikes(labels, vectors, pairs, THRESHOLD)
    assert {*divided} == {*labels}
    assert not (pairs & (divided[:, None] == divided)).any()
