"""Embeddings of crops by a model file, a trained network, or one of the two baselines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from acfd_stream.errors import ConfigError, RunnerError
from acfd_stream.types import FloatArray

from .crops import Pixels
from .onnx_file import METADATA_KEY
from .scoring import Embed, embedder_of

BASELINES = ("colours", "imagenet")
"""Names that ``open_embed`` takes instead of a file: a histogram of colours, and the last features of ImageNet."""
_STEPS = 4
"""Bins per channel of the histogram."""


def open_embed(model: str, config: Path | None = None) -> Embed:
    """The embedding that ``model`` names.

    Args:
        model: an .onnx file, weights (.pt or .safetensors), or one of BASELINES.
        config: the TOML file that weights were trained with.

    Raises:
        ConfigError: a file is missing, of another kind, or weights come without a config.
        RunnerError: the model file is refused.
    """
    if model == "colours":
        return colours
    if model == "imagenet":
        return _imagenet()
    path = Path(model)
    if path.suffix == ".onnx":
        return _open_onnx(path)
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


def _open_onnx(path: Path) -> Embed:
    from acfd_stream.detect.model_file import read_metadata

    try:
        values = json.loads(read_metadata(path)[METADATA_KEY])
        mean, std = (np.array(values[name], np.float32) for name in ("mean", "std"))
        is_embedding = values["kind"] == "embedding"
    except (KeyError, TypeError, ValueError) as error:
        raise RunnerError(f"model file {path} does not describe an embedding ({error!r})") from error
    if not is_embedding:
        raise RunnerError(f"model file {path} is of kind {values['kind']!r}, not 'embedding'")
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def embed(pixels: Pixels) -> FloatArray:
        rows = [compiled((((crop - mean) / std).transpose(2, 0, 1))[None])[0][0] for crop in pixels.astype(np.float32)]
        return np.asarray(rows, np.float32)

    return embed
