"""Cost of a network: FLOPs and parameters of every config, as it is deployed.

``python -m acfd_stream.model.complexity [CONFIG …] [--size 640]``; only shapes are computed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from .acb import fuse
from .command_line import Parser
from .network import Network, NetworkConfig
from .settings import TrainConfig

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Cost:
    """Cost of one network; a multiplication and its addition are two FLOPs."""

    parameters: int  # ACBs and norms fused into single convolutions
    trained_parameters: int  # as it is trained
    flops: int  # of one picture

    @property
    def megabytes(self) -> float:
        """Size of the deployed weights as float32, MB of 10⁶ bytes."""
        return self.parameters * 4 / 1e6


def cost(config: NetworkConfig, size: tuple[int, int] = (640, 640)) -> Cost:
    """Cost of the network of ``config`` for one picture of ``size`` (height, width), pixels."""
    with torch.device("meta"):
        network = Network(config).eval()
        trained = sum(parameter.numel() for parameter in network.parameters())
        fuse(network)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network(torch.zeros(1, 3, *size))
    return Cost(sum(parameter.numel() for parameter in network.parameters()), trained, counter.get_total_flops())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cost of each config's network."""
    parser = Parser(prog="complexity", description=main.__doc__)
    parser.add_argument("configs", nargs="*", type=Path, help="TOML files; default: the family")
    parser.add_argument("--size", type=int, default=640, help="side of the picture, pixels")
    parser.add_argument("--variant", help="[variants.NAME] of the configs, for example full")
    return parser.run(_print_costs, arguments)


def _print_costs(options: argparse.Namespace) -> None:
    print(f"{'network':<16}{'GFLOPs':>9}{'M parameters':>14}{'in training':>13}{'MB float32':>12}")
    for path in options.configs or sorted(CONFIGS.glob("*.toml")):
        config = TrainConfig.load(path, options.variant)
        taken = cost(config.network, (options.size, options.size))
        numbers = (taken.flops / 1e9, taken.parameters / 1e6, taken.trained_parameters / 1e6, taken.megabytes)
        print(f"{config.name:<16}{numbers[0]:>9.1f}{numbers[1]:>14.2f}{numbers[2]:>13.2f}{numbers[3]:>12.1f}")


if __name__ == "__main__":
    raise SystemExit(main())
