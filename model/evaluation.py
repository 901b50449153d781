"""AP of a network or a model file over sets of annotated pictures.

Detection uses the ops of the server, so a checkpoint, its published weights and its model file score the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.config import DetectConfig
from acfd_stream.errors import ConfigError
from acfd_stream.types import Detections

from .average_precision import ASPECT_EDGES, SIDE_EDGES, Score, Verdicts, score
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


def report(name: str, result: Score, verdicts: Verdicts, threshold: float) -> dict[str, Any]:
    """The figures of one set, as plain values; ``threshold`` is the lowest score for recall by size and shape."""
    sizes = verdicts.recall(SIDE_EDGES, verdicts.sides, threshold)
    shapes = verdicts.recall(ASPECT_EDGES, verdicts.aspects, threshold)
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
