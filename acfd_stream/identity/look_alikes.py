"""Divides the tracks of look-alikes anew.

Average linkage never takes a track back. Where two groups are as similar as one character, and only a frame with both
keeps them apart, some of their tracks are often in the wrong group. 2-means over both groups moves them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acfd_stream.types import FloatArray

_MOST_ROUNDS = 30
_MOST_STARTS = 8
_Numbers = NDArray[np.float64]


def divide_look_alikes(
    labels: NDArray[np.int64], vectors: FloatArray, are_apart: NDArray[np.bool_], threshold: float
) -> NDArray[np.int64]:
    """Groups with better borders between look-alikes; as many as before.

    Args:
        labels: int64 [N], the group of each vector.
        vectors: float32 [N, D].
        are_apart: bool [N, N], symmetrical: pairs that no group may contain, and none does.
        threshold: least similarity of look-alikes: the mean of the products of the vectors of two groups.

    Returns:
        int64 [N].
    """
    labels, doubles = labels.copy(), vectors.astype(np.float64)
    for first, second in _look_alikes(labels, doubles, are_apart, threshold):
        members = np.flatnonzero((labels == first) | (labels == second))
        sides = np.where(labels[members] == first, 1.0, -1.0)
        sides = _divided(doubles[members], sides, are_apart[np.ix_(members, members)])
        labels[members] = np.where(sides > 0, first, second)
    return labels


def _look_alikes(
    labels: NDArray[np.int64], vectors: _Numbers, are_apart: NDArray[np.bool_], threshold: float
) -> list[tuple[int, int]]:
    """Pairs of groups that are similar and hold vectors that must be apart, the most similar first; a group once."""
    groups, places = np.unique(labels, return_inverse=True)
    means = np.zeros((len(groups), vectors.shape[1]))
    np.add.at(means, places, vectors)
    means /= np.bincount(places)[:, None]
    rows, columns = np.nonzero(are_apart)
    pairs = np.unique(np.stack([places[rows], places[columns]], axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    similarity = np.einsum("nd,nd->n", means[pairs[:, 0]], means[pairs[:, 1]])
    found: list[tuple[int, int]] = []
    taken: set[int] = set()
    for place in np.argsort(-similarity, kind="stable").tolist():
        first, second = pairs[place].tolist()
        if similarity[place] >= threshold and not taken & {first, second}:
            taken |= {first, second}
            found.append((int(groups[first]), int(groups[second])))
    return found


def _divided(vectors: _Numbers, sides: _Numbers, are_apart: NDArray[np.bool_]) -> _Numbers:
    """The sides, 1 or -1, [N], of 2-means from several starts; the given ones if none is better.

    Vectors that must be apart are linked, and change their sides together.
    """
    from scipy.sparse import coo_array  # 0.3 s to load, and few videos have look-alikes
    from scipy.sparse.csgraph import connected_components

    _, linked = connected_components(coo_array(are_apart), directed=False)
    signed = np.zeros((linked.max() + 1, vectors.shape[1]))
    np.add.at(signed, linked, sides[:, None] * (vectors - vectors.mean(axis=0)))

    def along(direction: _Numbers) -> _Numbers:
        return np.asarray(sides * np.where(signed @ direction >= 0, 1.0, -1.0)[linked])

    sizes = np.bincount(linked)
    widest = np.argsort(-sizes, kind="stable")[:_MOST_STARTS]
    principal: _Numbers = np.linalg.svd(signed, full_matrices=False)[2][0]
    starts = [sides, along(principal), *(along(signed[each]) for each in widest if sizes[each] > 1)]
    best, least = sides, -np.inf
    for start in starts:
        found = _settled(vectors, start, sides, linked)
        compactness = _compactness(vectors, found)
        if compactness > least + 1e-9:
            best, least = found, compactness
    return best if best @ sides >= 0 else -best  # the side of most keeps its name


def _settled(vectors: _Numbers, start: _Numbers, coloured: _Numbers, linked: NDArray[np.int32]) -> _Numbers:
    """The sides when no linked vectors are nearer to the other side's mean any more."""
    sides = start
    for _ in range(_MOST_ROUNDS):
        if abs(sides.sum()) == len(sides):
            break
        means = vectors[sides > 0].mean(axis=0), vectors[sides < 0].mean(axis=0)
        nearer = (vectors - (means[0] + means[1]) / 2) @ (means[0] - means[1])
        sums = np.bincount(linked, weights=coloured * nearer)
        fresh = coloured * np.where(sums >= 0, 1.0, -1.0)[linked]
        if (fresh == sides).all():
            break
        sides = fresh
    return sides


def _compactness(vectors: _Numbers, sides: _Numbers) -> float:
    """The sum of the similarities of all vectors and their side's mean; -inf where a side is empty."""
    if abs(sides.sum()) == len(sides):
        return -np.inf
    sums = vectors[sides > 0].sum(axis=0), vectors[sides < 0].sum(axis=0)
    return float(sums[0] @ sums[0] / (sides > 0).sum() + sums[1] @ sums[1] / (sides < 0).sum())
