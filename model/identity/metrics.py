"""Verification and identification of faces by their embeddings, as face recognition measures them.

Source: Phillips et al. 2011 (Handbook of Face Recognition, chapter 21); AUC is the Mann-Whitney statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.types import FloatArray

FALSE_ACCEPTS = 0.01
"""Share of pairs of two characters that verification may accept."""
ENROLLED = 5
"""Views per character that identification compares with."""
DRAWS = 20
"""Random choices of the enrolled views that rank-1 is the mean over."""


@dataclass(frozen=True)
class Verification:
    """How well similarities tell pairs of one character from pairs of two, each number in [0, 1]."""

    auc: float  # chance that a pair of one character is more alike than a pair of two
    accept_rate: float  # share of pairs of one character that are accepted at FALSE_ACCEPTS
    threshold: float  # least cosine that is accepted there


def verification(embeddings: FloatArray, labels: Sequence[str]) -> Verification:
    """AUC and accept rate over all pairs of the crops of one set.

    Args:
        embeddings: float32 [N, D] of unit length.
        labels: the character of each crop, at least two, one of them with two crops.

    Raises:
        ShapeError: there is no pair of one character, or none of two.
    """
    same, other = pair_similarities(embeddings, labels)
    if not len(same) or not len(other):
        raise ShapeError(f"verification needs pairs of one and of two characters, got {len(same)} and {len(other)}")
    other.sort()
    below = np.searchsorted(other, same, "left") + np.searchsorted(other, same, "right")
    threshold = float(other[-1 - int(FALSE_ACCEPTS * len(other))])
    return Verification(float(below.mean() / (2 * len(other))), float((same > threshold).mean()), threshold)


def pair_similarities(embeddings: FloatArray, labels: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Cosines of all pairs of one character, and of all pairs of two."""
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    first, second = np.triu_indices(len(codes), 1)
    cosines = np.asarray(embeddings @ embeddings.T, np.float32)[first, second]
    is_same = codes[first] == codes[second]
    return cosines[is_same], cosines[~is_same]


def rank_one(embeddings: FloatArray, labels: Sequence[str], seed: int = 0) -> float:
    """Share of crops whose nearest character is their own, with ENROLLED views per character.

    A character is the mean of its enrolled views, scaled to unit length. Characters without a crop left to identify
    are enrolled all the same. The result is the mean over DRAWS choices of the views.

    Args:
        embeddings: float32 [N, D] of unit length.
        labels: the character of each crop.
        seed: of the choices.

    Raises:
        ShapeError: no character has more than ENROLLED crops.
    """
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    shares = [_identified(embeddings, codes, rng) for _ in range(DRAWS)]
    if np.isnan(shares).any():
        raise ShapeError(f"rank-1 needs a character with more than {ENROLLED} crops")
    return float(np.mean(shares))


def _identified(embeddings: FloatArray, codes: NDArray[np.int64], rng: np.random.Generator) -> float:
    is_enrolled = np.zeros(len(codes), bool)
    gallery = []
    for code in range(codes.max() + 1):
        chosen = rng.permutation(np.flatnonzero(codes == code))[:ENROLLED]
        is_enrolled[chosen] = True
        mean = embeddings[chosen].mean(0)
        gallery.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
    probes = ~is_enrolled
    if not probes.any():
        return float("nan")
    return float(((embeddings[probes] @ np.stack(gallery).T).argmax(1) == codes[probes]).mean())
