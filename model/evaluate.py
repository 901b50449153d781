"""``acfd-stream evaluate``: AP of a network or a model file over sets of annotated pictures.

What draws and reads pictures is imported only after the arguments have been read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.config import PRECISIONS, DetectConfig
from acfd_stream.errors import ConfigError

from .command_line import Parser

if TYPE_CHECKING:
    from .average_precision import Verdicts

DRAWN_SETS = ("drawn-crowds", "drawn-lineart", "drawn-small", "drawn-oldfilms")


def _print(row: dict[str, Any], is_json: bool) -> None:
    if is_json:
        print(json.dumps(row, ensure_ascii=False), flush=True)
    elif "ap50" in row:
        print(
            f"{row['set']}: AP50 {row['ap50']:.4f} AP75 {row['ap75']:.4f} recall {row['recall50']:.4f} "
            f"({row['pictures']} pictures, {row['faces']} faces)"
        )
        for title, key in (("by side, pixels", "recall_by_side"), ("by width / height", "recall_by_aspect")):
            parts = "  ".join(f"{name}: {value:.3f} of {count}" for name, (value, count) in row[key].items())
            print(f"  recall {title}: {parts}", flush=True)
    elif row["threshold"] is None:
        print(f"all: no score gives {row['precision']:.0%} precision")
    else:
        print(f"all: {row['precision']:.0%} precision from {row['threshold']:.4f} on, recall there {row['recall']:.4f}")


def _parser() -> Parser:
    parser = Parser(prog="acfd-stream evaluate", description=main.__doc__)
    parser.add_argument("--model", default="acfd-n", help="shipped name, or path of an .onnx, .pt or .safetensors file")
    parser.add_argument("--config", type=Path, help="the TOML file that .pt or .safetensors were trained with")
    parser.add_argument("--data", type=Path, help="folder that holds annotations/ and images/")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where the network runs")
    parser.add_argument("--size", type=int, help="longer side of the input, pixels")
    parser.add_argument("--scales", help="shorter sides of a multi-scale test, for example 480,640,800")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the network; 0: one per core")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="arithmetic of the network on a CPU")
    parser.add_argument("--threshold", type=float, default=0.0, help="lowest score for recall by size and shape")
    parser.add_argument("--at-precision", type=float, help="print the lowest score with this precision over all sets")
    parser.add_argument("--count", type=int, default=200, help="pictures of a drawn set")
    parser.add_argument("--curve", type=Path, help="write the precision-recall curves to this PNG")
    parser.add_argument("--json", action="store_true", dest="is_json", help="print JSON lines")
    drawn = ", ".join(DRAWN_SETS)
    parser.add_argument("sets", nargs="+", help=f"annotation files without .json, as icartoonface_val; or {drawn}")
    return parser


def settings_of(options: argparse.Namespace) -> DetectConfig:
    """The detector's settings of a call."""
    asked: dict[str, Any] = {"threads": options.threads, "precision": options.precision}
    if options.size:
        asked["size"] = options.size
    if options.scales:
        try:
            asked["scales"] = tuple(int(part) for part in options.scales.split(","))
        except ValueError:
            raise ConfigError(f"scales must be whole numbers like 480,640,800, got {options.scales!r}") from None
    return DetectConfig(**asked)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print AP50 of a model over sets of pictures, with recall by size and shape of the faces."""
    return _parser().run(_evaluate_sets, arguments)


def _evaluate_sets(options: argparse.Namespace) -> None:
    from acfd_stream.progress import WorkProgress

    from .average_precision import draw_curves, judge, pooled, score
    from .evaluation import examples_of, open_detect, pictures_in, report, working_point
    from .opencv import cv2

    cv2.setNumThreads(1)
    parts: dict[str, Verdicts] = {}
    with open_detect(options.model, options.config, options.device, settings_of(options)) as detect:
        total = sum(pictures_in(name, options.data, options.count) for name in options.sets)
        with WorkProgress(total, "pictures", "pictures/s") as progress:
            for name in options.sets:
                samples, found = [], []
                for sample, image in examples_of(name, options.data, options.count):
                    samples.append(sample)
                    found.append(detect(image))
                    progress.step(name)
                parts[name] = judge(samples, found)
                _print(report(name, score(samples, found), parts[name], options.threshold), options.is_json)
    if options.at_precision:
        _print(working_point(pooled(list(parts.values())), options.at_precision), options.is_json)
    if options.curve:
        draw_curves(parts, options.curve)


if __name__ == "__main__":
    raise SystemExit(main())
