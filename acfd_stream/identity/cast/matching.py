"""Compares the characters of one video with the members of a cast, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.least_cost import linear_sum_assignment
from acfd_stream.types import FloatArray

DoubleArray = NDArray[np.float64]

LEAST_MARGIN = 0.04
"""By how much the best member must be more similar than any other that it could be, as a cosine."""
THRESHOLD_SHARE = 0.35
"""Where the threshold of a cast lies between the network's threshold for two views, 0, and equal pictures, 1.

The mean of several views is more like another mean than one view is like another, of strangers, too.
"""
_DECIMALS = 6  # of similarities: what a processor rounds differently decides nothing


def threshold_of(link_similarity: float) -> float:
    """The least cosine of a character and its member.

    Args:
        link_similarity: the least cosine of two views of one character, as the network's file says.
    """
    return link_similarity + THRESHOLD_SHARE * (1.0 - link_similarity)


@dataclass(frozen=True)
class CastMatch:
    """The member that a character is."""

    member: int
    name: str  # "": the member has none
    confidence: float  # in [0.5, 1]: 0.5 at the threshold, 1 for equal pictures


@dataclass(frozen=True)
class Prototype:
    """What a member looks like."""

    member: int
    name: str
    embeddings: FloatArray  # float32 [V, D], unit length


@dataclass(frozen=True)
class CastMatcher:
    """Finds members by their looks. It does not change, and any number of threads may use it."""

    prototypes: Sequence[Prototype]  # by rising number of the member
    threshold: float  # least similarity of a character and its member
    margin: float = LEAST_MARGIN
    digest: str = ""  # of the network of the embeddings; "": not known
    _means: FloatArray = field(init=False, repr=False, compare=False)  # [M, D]

    def __post_init__(self) -> None:
        means = [_mean(each.embeddings) for each in self.prototypes]
        object.__setattr__(self, "_means", np.stack(means) if means else np.zeros((0, 0), np.float32))

    def match(self, embeddings: FloatArray) -> CastMatch | None:
        """The member with these views; None: it is none of them, or there are two that it could be.

        Args:
            embeddings: [V, D], unit length.

        Raises:
            ShapeError: they are of another shape.
        """
        return self.assign({1: embeddings}).get(1)

    def assign(
        self, characters: Mapping[int, FloatArray], together: Collection[tuple[int, int]] = ()
    ) -> dict[int, CastMatch]:
        """Character → its member, of all characters of one video at once; unknown ones are left out.

        Two characters of a video may be one member, as where clustering split it. Two that were in one frame are not.

        Args:
            characters: number → embeddings of its views, [V, D], unit length.
            together: pairs of characters that were in one frame.

        Raises:
            ShapeError: embeddings are of another shape.
        """
        numbers = sorted(number for number, views in characters.items() if len(views))
        if not numbers or not self.prototypes:
            return {}
        scores = np.stack([self.similarities(characters[number]) for number in numbers])
        rows = {number: row for row, number in enumerate(numbers)}
        apart = np.zeros((len(numbers), len(numbers)), np.bool_)
        for one, other in together:
            if one in rows and other in rows:
                apart[rows[one], rows[other]] = apart[rows[other], rows[one]] = True
        found = _Assignment(scores, apart, self.threshold, self.margin).solve()
        return {numbers[row]: self._found(scores[row, column], column) for row, column in sorted(found.items())}

    def similarities(self, embeddings: FloatArray) -> DoubleArray:
        """How similar a character is to each member, float64 [M], in [-1, 1]: the cosine of the means of their views.

        Raises:
            ShapeError: the embeddings are of another shape.
        """
        width = self._means.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != width or not len(embeddings):
            raise ShapeError(f"embeddings must be [V, {width}], got {list(embeddings.shape)}")
        cosines = self._means.astype(np.float64) @ _mean(embeddings).astype(np.float64)
        scores: DoubleArray = np.round(cosines, _DECIMALS)
        return scores

    def _found(self, score: float, column: int) -> CastMatch:
        each = self.prototypes[column]
        above = (score - self.threshold) / max(1.0 - self.threshold, 1e-6)
        return CastMatch(each.member, each.name, round(0.5 + 0.5 * float(np.clip(above, 0.0, 1.0)), 4))


def _mean(embeddings: FloatArray) -> FloatArray:
    """The mean of views, float32 [D], with length 1."""
    mean = embeddings.astype(np.float64).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


@dataclass
class _Assignment:
    """Members (columns) for characters (rows)."""

    scores: DoubleArray  # [C, M]
    apart: NDArray[np.bool_]  # [C, C]: two characters that are not one member
    threshold: float
    margin: float
    taken: dict[int, int] = field(default_factory=dict)  # row → column

    def solve(self) -> dict[int, int]:
        """Row → column of those that have a member.

        First each member takes one character, so that the sum of similarities is largest. Then, while that leaves a
        doubt about somebody, it is taken back. At last each other character takes the member that it is most like.
        """
        gains = np.maximum(self.scores - self.threshold, 0.0)
        pairs = zip(*linear_sum_assignment(gains, maximize=True), strict=True)
        self.taken = {int(row): int(column) for row, column in pairs if self.scores[row, column] >= self.threshold}
        while doubtful := [row for row, column in self.taken.items() if not self._is_clear(row, column)]:
            for row in doubtful:
                del self.taken[row]
        rest = [row for row in range(len(self.scores)) if row not in self.taken]
        for row in sorted(rest, key=lambda row: (-self.scores[row].max(), row)):
            free = self._free(row)
            column = int(np.argmax(np.where(free, self.scores[row], -np.inf)))
            if free[column] and self.scores[row, column] >= self.threshold and self._is_clear(row, column):
                self.taken[row] = column
        return self.taken

    def _free(self, row: int) -> NDArray[np.bool_]:
        """The members that no character has which was in a frame with ``row``, bool [M]."""
        free = np.ones(self.scores.shape[1], np.bool_)
        free[[column for other, column in self.taken.items() if self.apart[row, other]]] = False
        return free

    def _is_clear(self, row: int, column: int) -> bool:
        """Whether no other member that ``row`` could be is nearly as similar as ``column``.

        One that another character of the video is more like raises no doubt, unless ``row`` is more like it than
        ``column``: look-alikes are told from each other where both are there.
        """
        margins = np.full(self.scores.shape[1], self.margin)
        for other, taken in self.taken.items():
            if other != row and self.scores[other, taken] > self.scores[row, taken]:
                margins[taken] = 0.0
        others = self._free(row)
        others[column] = False
        return bool((self.scores[row, column] - self.scores[row, others] >= margins[others]).all())
