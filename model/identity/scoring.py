"""Scores of an embedding on whole shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from acfd_stream.types import FloatArray

from ..predict import normalise
from .crops import CropSet, Pixels
from .metrics import rank_one, verification
from .network import EmbeddingNetwork

BATCH = 32
Embed = Callable[[Pixels], FloatArray]
"""Crops uint8 [N, SIDE, SIDE, 3] → float32 [N, D] of unit length."""


@dataclass(frozen=True)
class IdentityScore:
    """Scores of one show."""

    auc: float
    accept_rate: float  # at a hundredth of false accepts
    rank_one: float  # with five views enrolled
    threshold: float  # cosine at a hundredth of false accepts
    crops: int
    characters: int


def score(embed: Embed, crops: CropSet) -> IdentityScore:
    """Scores over all pairs of crops in ``crops``, which are of one show."""
    embeddings = embed(crops.pixels)
    names = [f"{show}/{name}" for show, name in zip(crops.shows, crops.characters, strict=True)]
    verified = verification(embeddings, names)
    return IdentityScore(
        verified.auc, verified.accept_rate, rank_one(embeddings, names), verified.threshold, len(crops), len(set(names))
    )


def mean_score(scores: Sequence[IdentityScore]) -> dict[str, float]:
    """The mean of each number over shows, rounded."""
    rows = [asdict(score) for score in scores]
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def embedder_of(network: EmbeddingNetwork) -> Embed:
    """``network``, in evaluation mode, as a function of uint8 crops."""
    network.eval()

    @torch.inference_mode()
    def embed(pixels: Pixels) -> FloatArray:
        batches = [pixels[first : first + BATCH] for first in range(0, len(pixels), BATCH)]
        parts = [network(normalise(torch.from_numpy(batch))) for batch in batches]
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    return embed
