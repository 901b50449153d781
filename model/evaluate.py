"""AP of a network or a model file over sets of annotated pictures.

Detection uses the ops of the server, so a checkpoint, its published weights and its model file score the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.config import PRECISIONS, DetectConfig
from acfd_stream.errors import ConfigError
from acfd_stream.progress import WorkProgress
from acfd_stream.types import Detections

from .average_precision import ASPECT_EDGES, SIDE_EDGES, Score, Verdicts, draw_curves, judge, pooled, score
from .command_line import Parser
from .opencv import cv2
from .readers import Sample, read_coco, read_picture
from .toon.sets import SETS, draw_set

Detect = Callable[[NDArray[np.uint8]], Detections]
DRAWN = "drawn-"
"""Prefix of the names of drawn sets."""


def evaluate(samples: Sequence[Sample], detect: Detect) -> Score:
    """AP50 of ``detect`` over ``samples``."""
    found = [detect(read_picture(sample.file)[0]) for sample in samples]
    return score(samples, found)


@contextlib.contextmanager
def open_detect(model: str, config: Path | None, device: str, settings: DetectConfig) -> Iterator[Detect]:
    """The detections of a shipped model, an .onnx file, or weights (.pt, .safetensors) with their config.

    Raises:
        AcfdError: there is no such model, or it cannot be used.
    """
    path = Path(model)
    if path.suffix in (".pt", ".safetensors"):
        import torch

        from acfd_stream.ops.anchors import AnchorSpec

        from .checkpoints import load_network
        from .predict import TorchDetector
        from .settings import TrainConfig

        if config is None:
            raise ConfigError(f"{path}: weights need --config, the TOML file they were trained with")
        if settings.threads:
            torch.set_num_threads(settings.threads)
        network = load_network(TrainConfig.load(config), path).to("cuda" if device == "cuda" else "cpu")
        yield TorchDetector(network, AnchorSpec(), settings, is_half=False).detect
        return
    from acfd_stream.detect import Detector

    with Detector.open(model, device=device, config=settings) as detector:
        yield detector.detect


def examples_of(name: str, data: Path | None, count: int) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """Samples and pictures of a set: a COCO file of ``data``, or one that is drawn.

    Raises:
        ConfigError: there is no such set.
        MediaError: a picture is missing or cannot be read.
    """
    if name.startswith(DRAWN):
        kind = name.removeprefix(DRAWN)
        for number, (image, boxes) in enumerate(draw_set(kind, count)):
            yield Sample(Path(f"{name}/{number}"), boxes, np.ones(len(boxes), np.int8)), image
        return
    for sample in _annotated(name, data):
        yield sample, read_picture(sample.file)[0]


def pictures_in(name: str, data: Path | None, count: int) -> int:
    """How many examples ``examples_of`` gives of a set.

    Raises:
        ConfigError: there is no such set.
    """
    return count if name.startswith(DRAWN) else len(_annotated(name, data))


def _annotated(name: str, data: Path | None) -> list[Sample]:
    """The samples of a COCO file of ``data``."""
    if data is None:
        raise ConfigError(f"set {name!r} needs --data; drawn ones are {', '.join(DRAWN + kind for kind in SETS)}")
    return read_coco(data / "annotations" / f"{name}.json", data / "images")


def report(name: str, result: Score, verdicts: Verdicts, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one set, as plain values."""
    sizes = verdicts.recall(SIDE_EDGES, verdicts.sides, options.threshold)
    shapes = verdicts.recall(ASPECT_EDGES, verdicts.aspects, options.threshold)
    return {
        "set": name,
        "ap50": round(result.ap50, 4),
        "ap75": round(result.ap75, 4),
        "recall50": round(result.recall50, 4),
        "pictures": result.pictures,
        "faces": result.faces,
        "recall_by_side": {key: [round(value, 4), count] for key, value, count in sizes},
        "recall_by_aspect": {key: [round(value, 4), count] for key, value, count in shapes},
    }


def working_point(verdicts: Verdicts, least: float) -> dict[str, Any]:
    """The lowest score with a precision of ``least``, and the recall there."""
    point = verdicts.at_precision(least)
    found = {"threshold": None, "recall": 0.0} if point is None else {"threshold": point[0], "recall": point[1]}
    rounded = {key: value if value is None else round(value, 4) for key, value in found.items()}
    return {"set": "all", "precision": least, **rounded, "faces": len(verdicts.found_at)}


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
    drawn = ", ".join(DRAWN + kind for kind in SETS)
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
                _print(report(name, score(samples, found), parts[name], options), options.is_json)
    if options.at_precision:
        _print(working_point(pooled(list(parts.values())), options.at_precision), options.is_json)
    if options.curve:
        draw_curves(parts, options.curve)


if __name__ == "__main__":
    raise SystemExit(main())
