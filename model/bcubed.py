"""BCubed: how well clusters of items agree with the true classes, each item with the same weight.

Source: Bagga and Baldwin, Entity-Based Cross-Document Coreferencing Using the Vector Space Model, COLING 1998; the
conditions that a measure of clusters should meet, and BCubed meets: Amigó et al., A comparison of extrinsic clustering
evaluation metrics based on formal constraints, Information Retrieval 12, 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class BCubed:
    """Means over all items, each in [0, 1]; 1 without items."""

    precision: float = 1.0  # of an item's cluster, the share of its own class
    recall: float = 1.0  # of an item's class, the share in its own cluster

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def bcubed(classes: Sequence[int], clusters: Sequence[int]) -> BCubed:
    """Agreement of ``clusters`` with ``classes``; the i-th label of each is of item i."""
    if not len(classes):
        return BCubed()
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (classes, clusters))
    shared = np.zeros((rows.max() + 1, columns.max() + 1))  # items of each class and cluster
    np.add.at(shared, (rows, columns), 1)
    pairs = shared**2
    return BCubed(
        float((pairs.sum(0) / shared.sum(0)).sum() / len(rows)), float((pairs.sum(1) / shared.sum(1)).sum() / len(rows))
    )
