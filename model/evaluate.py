"""Average precision at IoU 0.5 of a network or a model file over a COCO set.

Scoring is pycocotools'; detection is the server's own ops, so that the figure is what a user gets.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import AcfdError
from acfd_stream.types import Detections

from .datasets import Sample, read_coco, read_picture
from .losses import IGNORE

Detect = Callable[[NDArray[np.uint8]], Detections]


@dataclass(frozen=True)
class Score:
    """What an evaluation says."""

    ap50: float  # average precision at IoU 0.5, as COCO counts it
    recall50: float  # share of faces found, at most 100 boxes a picture
    pictures: int
    faces: int


def evaluate(samples: Sequence[Sample], detect: Detect) -> Score:
    """AP50 of ``detect`` over ``samples``."""
    found = [detect(read_picture(sample.file)[0]) for sample in samples]
    return score(samples, found)


def score(samples: Sequence[Sample], found: Sequence[Detections]) -> Score:
    """AP50 and recall of detections, one of each sample, in its pixels."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    images = [{"id": number} for number in range(1, len(samples) + 1)]
    rows = []
    for number, sample in enumerate(samples, 1):
        for box, kind in zip(sample.boxes_xyxy.tolist(), sample.kinds, strict=True):
            x1, y1, x2, y2 = box
            row = {"id": len(rows) + 1, "image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            rows.append(row | {"area": (x2 - x1) * (y2 - y1), "iscrowd": int(kind == IGNORE)})
    truth.dataset = {"images": images, "annotations": rows, "categories": [{"id": 1}], "info": {}}
    table = np.array(
        [
            [number, box[0], box[1], box[2] - box[0], box[3] - box[1], confidence, 1]
            for number, detections in enumerate(found, 1)
            for box, confidence in zip(detections.boxes_xyxy, detections.scores, strict=True)
        ],
        np.float64,
    ).reshape(-1, 7)
    faces = sum(not row["iscrowd"] for row in rows)
    if not len(table):
        return Score(0.0, 0.0, len(samples), faces)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(table), "bbox")
        run.params.iouThrs = np.array([0.5])
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.params.maxDets = [100]
        run.evaluate()
        run.accumulate()
    precision, recall = run.eval["precision"], run.eval["recall"]
    return Score(float(precision[precision > -1].mean()), float(recall[recall > -1].mean()), len(samples), faces)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print AP50 of a model file over COCO files; 0 when all went well."""
    parser = argparse.ArgumentParser(prog="acfd-stream evaluate", description=main.__doc__)
    parser.add_argument("--model", default="acfd-n", help="shipped name or path of an .onnx file")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds annotations/ and images/")
    parser.add_argument("--size", type=int, help="longer side of the network's view, pixels")
    parser.add_argument("--scales", help="shorter sides of a multi-scale test, as 480,640,800")
    parser.add_argument("sets", nargs="+", help="names of annotation files without .json, as icartoonface_val")
    options = parser.parse_args(arguments)
    from acfd_stream.config import DetectConfig
    from acfd_stream.detect import Detector

    cv2.setNumThreads(1)
    sizes = {"size": options.size} if options.size else {}
    scales = {"scales": tuple(int(part) for part in options.scales.split(","))} if options.scales else {}
    try:
        with Detector.open(options.model, config=DetectConfig(**sizes, **scales)) as detector:
            for name in options.sets:
                samples = read_coco(options.data / "annotations" / f"{name}.json", options.data / "images")
                result = evaluate(samples, detector.detect)
                print(
                    f"{name}: AP50 {result.ap50:.4f} recall {result.recall50:.4f} "
                    f"({result.pictures} pictures, {result.faces} faces)",
                    flush=True,
                )
    except AcfdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
