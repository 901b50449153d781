"""The first linear layer: linear discriminants of the features that the backbone has before any training.

With ImageNet's features it is most of the result, after seconds; the training then starts from there. Sources: Fisher
1936; Hatch and Stolcke 2006 (within-class covariance normalisation); Ledoit and Wolf 2004 (shrinkage).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..predict import normalise
from .network import EmbeddingNetwork
from .sources import Sampler

SHRINKAGE = 0.3
"""Share of the within-class covariance's diagonal; the features are more than the characters can tell apart."""


def set_linear(network: EmbeddingNetwork, sampler: Sampler, batches: int, rng: np.random.Generator) -> None:
    """Set the linear layer of ``network`` to the discriminants of views of ``sampler``.

    Args:
        network: with a trained backbone; its linear layer is replaced.
        sampler: draws the views.
        batches: how many batches of views are looked at.
        rng: the only source of chance.
    """
    features, characters = _features(network, sampler, batches, rng)
    weight, bias = discriminants(features, characters, network.config.dimensions)
    with torch.no_grad():
        network.linear.weight.copy_(torch.from_numpy(weight))
        network.linear.bias.copy_(torch.from_numpy(bias))


@torch.inference_mode()
def centres(network: EmbeddingNetwork, sampler: Sampler, crops: int, rng: np.random.Generator) -> Tensor:
    """The mean embedding [C, D] of up to ``crops`` crops of each character, not augmented."""
    network.eval()
    found = []
    for number in range(sampler.count):
        pixels = np.stack(sampler.crops_of(number, crops, rng))
        found.append(network(normalise(torch.from_numpy(pixels))).mean(0))
    return torch.stack(found)


@torch.inference_mode()
def _features(
    network: EmbeddingNetwork, sampler: Sampler, batches: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    network.eval()
    found, characters = [], []
    for _ in range(batches):
        batch = sampler.draw(rng)
        found.append(network.features(normalise(torch.from_numpy(batch.pixels))).numpy())
        characters.append(batch.characters)
    return np.concatenate(found), np.concatenate(characters)


def discriminants(
    features: NDArray[np.float32], characters: NDArray[np.int64], dimensions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight [D, F] and bias [D] that make views of one character spread alike in all directions.

    The features are whitened by the covariance within characters, shrunk towards its diagonal, and then projected on
    the ``dimensions`` directions in which all views differ most: those differ by character.

    Args:
        features: [N, F].
        characters: [N], any numbers.
        dimensions: D, at most F.
    """
    codes, counts = np.unique(characters, return_inverse=True, return_counts=True)[1:]
    means = np.zeros((len(counts), features.shape[1]))
    np.add.at(means, codes, features)
    means /= counts[:, None]
    rest = features - means[codes]
    within = rest.T @ rest / len(rest)
    spread = np.diag(within) + 1e-9
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.diag(spread)
    root = np.linalg.cholesky(within)
    middle = means.mean(0)
    whitened = np.linalg.solve(root, (features - middle).T)
    directions = np.linalg.eigh(whitened @ whitened.T)[1][:, : -dimensions - 1 : -1]
    weight = np.linalg.solve(root.T, directions).T
    return weight.astype(np.float32), (-weight @ middle).astype(np.float32)
