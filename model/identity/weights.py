"""Weights of an embedding on disk: a run's ``last.pt`` and published ``.safetensors``."""

from __future__ import annotations

from pathlib import Path

from ..checkpoints import read_checkpoint, read_published, with_weights
from .network import EmbeddingNetwork
from .settings import IdentityConfig


def load_network(config: IdentityConfig, path: Path) -> EmbeddingNetwork:
    """The averaged network of a training checkpoint (.pt) or of published weights (.safetensors), for evaluation.

    Raises:
        ConfigError: the file is missing, of another kind, or of another network than the config's.
    """
    return with_weights(EmbeddingNetwork(config.network), config.name, path)


def read_crop_count(path: Path) -> int:
    """Crops that the weights in a .pt or .safetensors file have learned from; 0 where it does not say.

    Raises:
        ConfigError: the file cannot be read.
    """
    if path.suffix == ".safetensors":
        return int(read_published(path)[1].get("pictures", 0))
    return int(read_checkpoint(path).get("pictures", 0))
