"""Filter grafting: layers are averaged with those of a second run, weighted by the entropy of their weights.

Source: Meng et al. 2020 (filter grafting) and DGD (Cheng et al. 2020), which combines it with distillation.
Two trainings of one network, with different rates or seeds, run at the same time. At intervals each layer becomes
``α · own + (1 - α) · peer`` with α = A · arctan(c · (H(own) - H(peer))) + 0.5, H the entropy of its weights.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from acfd_stream.errors import ConfigError

from .settings import GraftConfig

BINS = 10


def entropy(weights: Tensor) -> float:
    """Entropy, in nats, of the histogram of a layer's weights between their least and their greatest: 0 … log(10)."""
    values = weights.detach().float().flatten()
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return 0.0
    counts = torch.histc(values, BINS, low, high)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())


def own_share(own: Tensor, peer: Tensor, config: GraftConfig) -> float:
    """α: the share of a layer's own weights; 0.5 for equal entropies."""
    return config.reach * math.atan(config.slope * (entropy(own) - entropy(peer))) + 0.5


@torch.no_grad()
def graft(state: dict[str, Tensor], peer: dict[str, Tensor], config: GraftConfig) -> list[float]:
    """Graft the layers of ``peer`` into ``state``, in place; norms use the α of the convolution before them.

    Returns:
        α of every convolution, in the order of the state.

    Raises:
        ConfigError: the two are not states of the same network.
    """
    if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in peer.items()}:
        raise ConfigError("graft.peer must be a run of the same network")
    shares: list[float] = []
    for name, own in state.items():
        if not own.is_floating_point():
            continue
        theirs = peer[name].to(own.device)
        if own.ndim == 4:
            shares.append(own_share(own, theirs, config))
        own.copy_(own * shares[-1] + theirs * (1 - shares[-1]) if shares else own)
    return shares


def read_peer(path: Path) -> dict[str, Tensor] | None:
    """The weights of the peer's last checkpoint; None while there is none."""
    if not path.exists():
        return None
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["network"]
    return state
