"""Weights on disk: a run's ``last.pt`` (averaged and raw weights, optimizer, counts) and published ``.safetensors``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch

from acfd_stream.errors import ConfigError

from .network import Network
from .settings import TrainConfig

AnyNetwork = TypeVar("AnyNetwork", bound=torch.nn.Module)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The whole state that a run saved.

    Raises:
        ConfigError: the file does not exist or is no checkpoint.
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
    return with_weights(Network(config.network), config.name, path)


def with_weights(network: AnyNetwork, config_name: str, path: Path) -> AnyNetwork:
    """``network`` with the weights of a .pt or .safetensors file, for evaluation; else as ``load_network``."""
    state = read_published(path)[0] if path.suffix == ".safetensors" else read_checkpoint(path)["averaged"]
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"{path}: holds another network than that of config {config_name!r}") from error
    return network.eval()


def counts_of(state: dict[str, Any], config: TrainConfig) -> dict[str, int]:
    """``iterations`` of a checkpoint's run, and ``pictures`` that its weights have learned from in all runs."""
    iterations = state["iteration"]
    pictures = state.get("pictures", iterations * config.schedule.batch)  # older checkpoints count iterations only
    return {"iterations": iterations, "pictures": pictures}


def read_counts(config: TrainConfig, path: Path) -> dict[str, int]:
    """The counts of a .pt or .safetensors file; 0 where the file has none.

    Raises:
        ConfigError: the file cannot be read.
    """
    if path.suffix != ".safetensors":
        return counts_of(read_checkpoint(path), config)
    metadata = read_published(path)[1]
    return {name: int(metadata.get(name, 0)) for name in ("iterations", "pictures")}


def read_published(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Weights as float32, and metadata, of a .safetensors file.

    Raises:
        ConfigError: the file is missing or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise ConfigError(f"{path}: no such checkpoint")
    try:
        with safe_open(str(path), "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ConfigError(f"{path}: is not a safetensors file ({error})") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, metadata


def save_weights(network: Network, path: Path, counts: dict[str, int] | None = None) -> None:
    """Write unfused weights as fp16 safetensors, which a training can begin with; ``counts`` go into its metadata."""
    from safetensors.torch import save_file

    state = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    save_file(state, str(path), {name: str(value) for name, value in (counts or {}).items()})
