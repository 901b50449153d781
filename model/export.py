"""``acfd-stream export``: a trained network becomes a model file, and weights to continue training from.

Torch is imported only after the arguments have been read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from acfd_stream.errors import ConfigError

from .command_line import Parser, at_least


def _write(options: argparse.Namespace) -> None:
    """Write all requested files; missing folders are made before the slow tracing."""
    from acfd_stream.ops.anchors import AnchorSpec
    from acfd_stream.progress import WorkProgress

    from .checkpoints import load_network, read_counts, save_weights
    from .onnx_file import Description, export
    from .settings import TrainConfig

    _require_names_of_their_own(options)
    config = TrainConfig.load(options.config)
    network = load_network(config, options.checkpoint)
    for target in (options.output, options.weights, options.half):
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
    description = Description(config.name, options.version, options.size, options.training_data, options.date)
    with WorkProgress(None) as progress:
        progress.update(0, "tracing the network")
        export(network, AnchorSpec(), description, options.output)
        if options.weights:
            save_weights(network, options.weights, read_counts(config, options.checkpoint))
        if options.half:
            from acfd_stream.detect.half_graph import half_model  # what the server makes of the file by itself

            options.half.write_bytes(half_model(options.output))
    print(f"{options.output.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    print(options.output)


def _require_names_of_their_own(options: argparse.Namespace) -> None:
    """Refuse to write a file over another one of the call.

    Raises:
        ConfigError: two options name the same file.
    """
    named: dict[Path, str] = {options.config.resolve(): "config", options.checkpoint.resolve(): "checkpoint"}
    for option in ("output", "weights", "half"):
        path = getattr(options, option)
        if path is not None and (other := named.setdefault(path.resolve(), option)) != option:
            raise ConfigError(f"--{option} {path} is also the file of --{other}; choose another name")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the ONNX model file of a checkpoint."""
    parser = Parser(prog="acfd-stream export", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the TOML file it was trained with")
    parser.add_argument("--checkpoint", type=Path, required=True, help="last.pt of a run, or .safetensors")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file")
    parser.add_argument("--weights", type=Path, help="also write unfused weights, .safetensors")
    parser.add_argument("--half", type=Path, help="also write the strongly typed fp16 .onnx for TensorRT")
    parser.add_argument(
        "--size", type=at_least(1), default=640, help="longer side of the input it is meant for, pixels"
    )
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--training-data", default="unknown")
    parser.add_argument("--date", default="unknown", help="day of training, YYYY-MM-DD")
    return parser.run(_write, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
