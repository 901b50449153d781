"""What is known of one track while its video is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from acfd_stream.characters import CharacterLink
from acfd_stream.identity.views import EmbeddingArray
from acfd_stream.types import FloatArray

AGREEING_VIEWS = 3
"""A link is tentative until so many views agree with it."""
_LEAST_SPAN = 0.01  # of cosines, so that any threshold of a model file divides


@dataclass(slots=True, eq=False)
class LinkedTrack:
    """What is known of one track."""

    track_id: int
    first_frame: int
    last_frame: int
    frames: int = 0
    character: int = 0  # 0: none
    agreeing: int = 0  # views in a row that agree with the link
    confidence: float = 0.0
    weight: float = 0.0  # sum of the qualities of its views
    vector: EmbeddingArray | None = None  # [D], mean of its views; None: it has none

    def overlaps(self, other: LinkedTrack) -> bool:
        """Whether both are on screen at one time."""
        return self.first_frame <= other.last_frame and other.first_frame <= self.last_frame

    @property
    def link(self) -> CharacterLink:
        """The link as results tell it."""
        return CharacterLink(self.track_id, self.character, self.confidence, self.agreeing < AGREEING_VIEWS)


def together(characters: Mapping[int, Iterable[LinkedTrack]]) -> set[tuple[int, int]]:
    """Pairs of characters that have tracks on screen at one time, the lower number first."""
    spans = sorted((track.first_frame, track.last_frame, number) for number, own in characters.items() for track in own)
    pairs: set[tuple[int, int]] = set()
    open_spans: list[tuple[int, int]] = []
    for first, last, number in spans:
        open_spans = [span for span in open_spans if span[0] >= first]
        pairs.update((min(number, other), max(number, other)) for _, other in open_spans if other != number)
        open_spans.append((last, number))
    return pairs


def unit(vector: EmbeddingArray) -> FloatArray:
    """The vector with length 1, float32."""
    long = vector.astype(np.float32)
    return np.asarray(long / max(float(np.sqrt(long @ long)), 1e-6))


def confidence_of(similarity: float, threshold: float) -> float:
    """How sure a link of this similarity is, in [0, 1]: 0.5 at the threshold, 1 at a cosine of 1."""
    span = 1.0 - threshold if similarity >= threshold else max(threshold, _LEAST_SPAN)
    share = (similarity - threshold) / span
    return round(min(1.0, max(0.0, 0.5 + 0.5 * share)), 4)
