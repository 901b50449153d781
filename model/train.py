"""``acfd-stream train``: a TOML config and a data folder in, checkpoints and a curve out.

Torch is imported only after the arguments have been read.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.config import DetectConfig
from acfd_stream.errors import ConfigError

from .command_line import Parser, at_least

if TYPE_CHECKING:
    from .network import Network
    from .settings import TrainConfig
    from .trainer import Trainer


def _parser() -> Parser:
    parser = Parser(prog="acfd-stream train", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file, as in model/configs")
    parser.add_argument("--variant", help="[variants.NAME] of the config, for example full")
    parser.add_argument("--data", type=Path, required=True, help="folder that the config's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, the curve and TensorBoard")
    parser.add_argument("--start", type=Path, help="weights to begin with, .pt or .safetensors, if OUT has no last.pt")
    parser.add_argument("--minutes", type=float, help="length of a schedule of kind budget, instead of the config's")
    parser.add_argument("--iterations", type=int, help="length of any other schedule, instead of the config's")
    parser.add_argument("--workers", type=at_least(0), default=1, help="processes that prepare pictures")
    parser.add_argument("--threads", type=at_least(1), help="CPU threads of the network; default: one per core")
    parser.add_argument("--compile", action="store_true", help="a third faster, after minutes of compiling per size")
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="cpu, cuda, or auto: cuda if there is one"
    )
    return parser


def configured(options: argparse.Namespace) -> TrainConfig:
    """The config that the options name, with the length that they ask for.

    Raises:
        ConfigError: the file cannot be used, or its schedule is not measured in what the option sets.
    """
    from .settings import TrainConfig

    config = TrainConfig.load(options.config, options.variant)
    kind = config.schedule.kind
    if options.minutes is not None and kind != "budget":
        raise ConfigError(f"--minutes needs a schedule of kind budget; {kind!r} counts iterations: use --iterations")
    if options.iterations is not None and kind == "budget":
        raise ConfigError("--iterations needs a schedule that counts iterations; 'budget' is timed: use --minutes")
    lengths = {"minutes": options.minutes, "iterations": options.iterations}
    changes = {name: value for name, value in lengths.items() if value is not None}
    return dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, **changes))


def _begin(trainer: Trainer, options: argparse.Namespace) -> None:
    """Resume OUT/last.pt, or begin with --start, or with the backbone's ImageNet weights."""
    from .checkpoints import load_network, read_counts

    if (options.out / "last.pt").exists():
        trainer.load(options.out / "last.pt")
    elif options.start:
        network = load_network(trainer.config, options.start)
        trainer.begin_with(network, read_counts(trainer.config, options.start)["pictures"])
    else:
        trainer.begin_with_imagenet()


def _train(options: argparse.Namespace) -> None:
    import torch

    from acfd_stream.malloc import keep_freed

    from .datasets import check_pictures, open_sources, read_set
    from .distributed import DataParallelGroup
    from .evaluation import evaluate
    from .predict import TorchDetector
    from .trainer import Trainer

    keep_freed()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no GPU on this machine")
    config = configured(options)
    samples = read_set(config.validation, options.data)
    check_pictures(samples)
    sources, weights = open_sources(config.data, options.data)
    group = DataParallelGroup.from_torchrun(device)
    trainer = Trainer(config, sources, weights, device, options.workers, options.compile, group)
    _begin(trainer, options)

    def validate(network: Network) -> float:
        detect = TorchDetector(network, trainer.spec, DetectConfig(size=config.evaluate_size)).detect
        return round(evaluate(samples, detect).ap50, 4)

    trainer.run(options.out, validate)
    if group.is_first:
        print(options.out / "last.pt", file=sys.stderr)
    group.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a detector; resumes from OUT/last.pt if it exists."""
    return _parser().run(_train, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
