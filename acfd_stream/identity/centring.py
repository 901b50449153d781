"""What all faces of a video have in common, such as its style, taken out of the comparison of tracks.

The directions of all tracks point partly one way. A track that points that way more than others is like everybody. So
most of the mean direction is subtracted from all, and the threshold follows: a pair of tracks that have as much in
common with the mean as tracks have on average counts as one character as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from acfd_stream.types import FloatArray

MOST_SHARE = 0.6
"""Of the mean direction, what is subtracted at most; below 1, so that tracks of one character keep a direction."""
HALF_SHARE_TRACKS = 5
"""Half as much is subtracted where there are so many tracks: the mean of few is no common trait."""


@dataclass(frozen=True)
class Centre:
    """What is subtracted from the directions of tracks.

    Source: Garcia-Romero and Espy-Wilson, Analysis of i-vector length normalization in speaker recognition systems,
    Interspeech 2011; here with the mean of the video itself, and not of training data.
    """

    offset: NDArray[np.float64]  # [D]
    common: float  # share of the cosine of a pair that goes with it, on average, in [0, 1)

    @classmethod
    def of(cls, directions: FloatArray, weights: NDArray[np.float64] | None = None) -> Self:
        """The centre of tracks.

        Args:
            directions: float32 [N, D], unit length.
            weights: float64 [N], > 0; None: all count the same.
        """
        count = len(directions)
        if not count:
            return cls(np.zeros(directions.shape[1]), 0.0)
        share = MOST_SHARE * count / (count + HALF_SHARE_TRACKS)
        mean = np.average(directions.astype(np.float64), axis=0, weights=weights)
        return cls(share * mean, (2 * share - share**2) * float(mean @ mean))

    def centred(self, directions: FloatArray) -> FloatArray:
        """The directions without what is common, float32 [N, D], unit length.

        Args:
            directions: float32 [N, D], unit length.
        """
        rest = directions - self.offset
        return np.asarray(rest / np.linalg.norm(rest, axis=1, keepdims=True), np.float32)

    def threshold(self, similarity: float) -> float:
        """The cosine of two centred directions that stands for ``similarity``, a cosine of two directions."""
        return (similarity - self.common) / (1.0 - self.common)
