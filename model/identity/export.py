"""``python -m acfd_stream.model.identity.export``: a trained embedding becomes a model file and weights to go on from.

Torch is imported only after the arguments have been read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from acfd_stream.errors import ConfigError

from ..command_line import Parser


def _write(options: argparse.Namespace) -> None:
    from ..checkpoints import save_weights
    from .onnx_file import Description, export
    from .settings import IdentityConfig
    from .weights import load_network, read_crop_count

    if not 0 < options.link_similarity < 1:
        raise ConfigError(f"--link-similarity must be in (0, 1), got {options.link_similarity}")
    config = IdentityConfig.load(options.config)
    network = load_network(config, options.checkpoint)
    for target in (options.output, options.weights):
        if target is not None:
            if target.resolve() in (options.config.resolve(), options.checkpoint.resolve()):
                raise ConfigError(f"{target} is also an input; choose another name")
            target.parent.mkdir(parents=True, exist_ok=True)
    description = Description(
        config.name, options.version, options.link_similarity, options.training_data, options.date
    )
    export(network, description, options.output)
    if options.weights:
        save_weights(network, options.weights, {"pictures": read_crop_count(options.checkpoint)})
    print(f"{options.output.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    print(options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the ONNX model file of a checkpoint of an embedding."""
    parser = Parser(prog="python -m acfd_stream.model.identity.export", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the TOML file it was trained with")
    parser.add_argument("--checkpoint", type=Path, required=True, help="last.pt of a run, or .safetensors")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file")
    parser.add_argument("--weights", type=Path, help="also write unfused weights, .safetensors")
    parser.add_argument(
        "--link-similarity", type=float, required=True, help="cosine from which on two views are of one character"
    )
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--training-data", default="unknown")
    parser.add_argument("--date", default="unknown", help="day of training, YYYY-MM-DD")
    return parser.run(_write, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
