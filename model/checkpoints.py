"""Weights on disk: a run's ``last.pt`` (averaged and raw weights, optimizer, clock) and published ``.safetensors``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from acfd_stream.errors import ConfigError

from .network import Network
from .settings import TrainConfig


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Everything that a run has saved.

    Raises:
        ConfigError: there is no such file, or it is no checkpoint.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such checkpoint")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        _ = state["averaged"]
    except Exception as error:  # an unpickler raises anything on junk
        raise ConfigError(f"{path}: is not a checkpoint of a training ({type(error).__name__})") from error
    return state


def load_network(config: TrainConfig, path: Path) -> Network:
    """The averaged network of a training checkpoint (.pt) or of published weights (.safetensors), for evaluation.

    Raises:
        ConfigError: the file is missing, of another kind, or of another network than the config's.
    """
    network = Network(config.network)
    state = _published(path) if path.suffix == ".safetensors" else read_checkpoint(path)["averaged"]
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"{path}: holds another network than that of config {config.name!r}") from error
    return network.eval()


def _published(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists():
        raise ConfigError(f"{path}: no such checkpoint")
    try:
        state = load_file(str(path))
    except SafetensorError as error:
        raise ConfigError(f"{path}: is not a safetensors file ({error})") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def save_weights(network: Network, path: Path) -> None:
    """Unfused weights as fp16 safetensors, for training to go on from."""
    from safetensors.torch import save_file

    state = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    save_file(state, str(path))
