"""``python -m acfd_stream.model.identity.train``: a TOML config and a data folder in, checkpoints and a curve out.

Torch is imported only after the arguments have been read.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..command_line import Parser, at_least

if TYPE_CHECKING:
    from .settings import IdentityConfig
    from .trainer import IdentityTrainer


def _parser() -> Parser:
    parser = Parser(prog="python -m acfd_stream.model.identity.train", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file, as model/configs/acfd-id.toml")
    parser.add_argument("--data", type=Path, required=True, help="folder that the config's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, the curve and TensorBoard")
    parser.add_argument("--start", type=Path, help="weights to begin with, .pt or .safetensors, if OUT has no last.pt")
    parser.add_argument("--leave-out", action="append", metavar="SHOW", help="judge on this show instead; repeatable")
    parser.add_argument("--iterations", type=at_least(1), help="length, instead of the config's")
    parser.add_argument(
        "--learning-rate", type=float, help="peak, instead of the config's: less where a training goes on"
    )
    parser.add_argument("--threads", type=at_least(1), help="CPU threads; default: one per core")
    return parser


def configured(options: argparse.Namespace) -> IdentityConfig:
    """The config that the options name, with the length, the rate and the shows that they ask for."""
    from .settings import IdentityConfig

    config = IdentityConfig.load(options.config)
    asked = {"iterations": options.iterations, "learning_rate": options.learning_rate}
    changes = {name: value for name, value in asked.items() if value is not None}
    config = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, **changes))
    return config if options.leave_out is None else dataclasses.replace(config, left_out=tuple(options.leave_out))


def _begin(trainer: IdentityTrainer, options: argparse.Namespace) -> None:
    """Resume OUT/last.pt, or begin with --start, or with weights of ImageNet and of a detector."""
    from ..checkpoints import read_checkpoint, read_published

    if (options.out / "last.pt").exists():
        trainer.load(read_checkpoint(options.out / "last.pt"))
    elif options.start and options.start.suffix == ".safetensors":
        state, metadata = read_published(options.start)
        trainer.begin_with(state, int(metadata.get("pictures", 0)))
        trainer.set_centres()
    elif options.start:
        checkpoint = read_checkpoint(options.start)
        trainer.begin_with(checkpoint["averaged"], checkpoint["pictures"])
        trainer.set_centres()
    else:
        trainer.network.load_imagenet()
        if trainer.config.detector:
            state = read_published(Path(trainer.config.detector))[0]
            trainer.network.mix_backbone(state, trainer.config.detector_share)
        trainer.begin_with_discriminants()


def _train(options: argparse.Namespace) -> None:
    import torch

    from acfd_stream.malloc import keep_freed

    from .network import EmbeddingNetwork
    from .scoring import embedder_of, mean_score, score
    from .sources import Sampler, open_crops
    from .trainer import IdentityTrainer

    keep_freed()
    if options.threads:
        torch.set_num_threads(options.threads)
    config = configured(options)
    sets = [open_crops(row, options.data) for row in config.data]
    judged = [crops.of_known(config.left_out) for crops in sets]
    kept = [crops.without(config.left_out) for crops in sets]
    trainer = IdentityTrainer(config, Sampler(kept, [row.get("weight", 1.0) for row in config.data], config.schedule))
    _begin(trainer, options)
    shows = [crops for every in judged for crops in every.by_show()]

    def validate(network: EmbeddingNetwork) -> dict[str, float]:
        return mean_score([score(embedder_of(network), crops) for crops in shows]) if shows else {}

    trainer.run(options.out, validate)
    print(options.out / "last.pt", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train an embedding network; resumes from OUT/last.pt if it exists."""
    return _parser().run(_train, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
