"""Embeddings of crops by a model file, a trained network, or one of the two baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acfd_stream.errors import ConfigError
from acfd_stream.types import FloatArray

from .crops import Pixels
from .scoring import Embed, embedder_of

BASELINES = ("colours", "imagenet")
"""Names that ``open_embed`` takes instead of a file: a histogram of colours, and the last features of ImageNet."""
_STEPS = 4
"""Bins per channel of the histogram."""


def open_embed(model: str, config: Path | None = None) -> Embed:
    """The embedding that ``model`` names.

    Args:
        model: a shipped name, an .onnx file, weights (.pt or .safetensors), or one of BASELINES.
        config: the TOML file that weights were trained with.

    Raises:
        ConfigError: a file is missing, of another kind, or weights come without a config.
        RunnerError: there is no such model, or its file is refused.
        BackendUnavailable: OpenVINO is not installed.
    """
    if model == "colours":
        return colours
    if model == "imagenet":
        return _imagenet()
    path = Path(model)
    if path.suffix not in (".pt", ".safetensors"):
        from acfd_stream.identity.embedder import FaceEmbedder

        return FaceEmbedder.open(model).embed
    if config is None:
        raise ConfigError(f"{model}: weights need --config, the file that they were trained with")
    from .settings import IdentityConfig
    from .weights import load_network

    return embedder_of(load_network(IdentityConfig.load(config), path))


def colours(pixels: Pixels) -> FloatArray:
    """Roots of the shares of 64 colours, 4 steps per channel: [N, 64] of unit length."""
    steps = (pixels // (256 // _STEPS)).astype(np.int64) @ np.array([_STEPS**2, _STEPS, 1])
    counts = np.stack([np.bincount(crop.ravel(), minlength=_STEPS**3) for crop in steps])
    return np.asarray(np.sqrt(counts / counts.sum(1, keepdims=True)), np.float32)


def _imagenet() -> Embed:
    """The mean of the last map of EfficientNet-Lite0 as the package has it, of 128 px of a crop."""
    import torch

    from .network import EmbedderConfig, EmbeddingNetwork

    network = EmbeddingNetwork(EmbedderConfig(size=128, dimensions=320, taps=(6,), bands=1))
    network.load_imagenet()
    torch.nn.init.eye_(network.linear.weight)
    torch.nn.init.zeros_(network.linear.bias)
    return embedder_of(network)
