"""Quality of detections: average precision as in COCO, recall by kind of face, and the precision-recall curve.

AP is that of pycocotools. ``judge`` applies the same rules to single boxes, for figures that pycocotools lacks: recall
by size and shape, and the score at which the boxes reach a precision.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import BackendUnavailable
from acfd_stream.types import Detections

from .readers import IGNORE, Sample
from .scoring import overlaps, shared_areas

IOU = 0.5
TIGHT_IOU = 0.75
MOST_BOXES = 100
"""Boxes per picture that count, best first."""
SIDE_EDGES = (0, 10, 20, 24, 32, 64, 128, 256, 512, float("inf"))
"""Bounds of the sizes of faces: √(width · height), pixels of the picture."""
ASPECT_EDGES = (0, 1 / 3, 1 / 2, 3 / 4, 4 / 3, 2, 3, float("inf"))
"""Bounds of the shapes of faces: width / height."""
_RECALLS = np.linspace(0, 1, 101)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Result of an evaluation."""

    ap50: float  # average precision at IoU 0.5, as in COCO
    ap75: float  # the same at IoU 0.75
    recall50: float  # share of faces found, at most 100 boxes a picture
    pictures: int
    faces: int


@dataclass(frozen=True)
class Verdicts:
    """The match of every box and every face; ignored ones are left out."""

    scores: Floats  # [N] of the boxes, falling
    is_face: NDArray[np.bool_]  # [N]
    sides: Floats  # [F] √area of the faces, pixels
    aspects: Floats  # [F] width / height
    found_at: Floats  # [F] score of the box that found the face; -1: none

    def recall(self, edges: Sequence[float], values: Floats, threshold: float = 0.0) -> list[tuple[str, float, int]]:
        """(range, recall, faces) of every range of ``values`` [F] between ``edges`` that has faces."""
        rows = []
        for low, high in pairwise(edges):
            inside = (values >= low) & (values < high)
            if inside.any():
                found = float((self.found_at[inside] >= max(threshold, 0.0)).mean())
                rows.append((f"{low:.3g}–{high:.3g}", found, int(inside.sum())))
        return rows

    def curve(self) -> tuple[Floats, Floats]:
        """Recall and precision [N] over the boxes, best first."""
        hits = np.cumsum(self.is_face)
        return hits / max(1, len(self.found_at)), hits / np.arange(1, len(hits) + 1)

    def average_precision(self) -> float:
        """COCO's 101-point average precision; equals pycocotools' to a thousandth."""
        if not len(self.scores) or not len(self.found_at):
            return 0.0
        recall, precision = self.curve()
        envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        return float(envelope[np.searchsorted(recall, _RECALLS, side="left")].mean())

    def at_precision(self, least: float) -> tuple[float, float] | None:
        """(score, recall) at the lowest score with at least this precision.

        None if no score reaches it.
        """
        recall, precision = self.curve()
        is_last = np.append(self.scores[1:] < self.scores[:-1], True)  # equal scores are taken together
        enough = np.flatnonzero((precision >= least) & is_last[: len(precision)])
        return (float(self.scores[enough[-1]]), float(recall[enough[-1]])) if len(enough) else None


def judge(samples: Sequence[Sample], found: Sequence[Detections]) -> Verdicts:
    """Verdicts on detections, one of each sample, in its pixels: COCO's rules at IoU 0.5.

    Boxes are taken best first; each is matched to the unmatched face that it overlaps most. A box without a face on an
    ignored region (by its own area) is left out.
    """
    scores, is_face, faces = [], [], []
    for sample, detections in zip(samples, found, strict=True):
        ignored = sample.boxes_xyxy[sample.kinds == IGNORE].astype(np.float64)
        truth = sample.boxes_xyxy[sample.kinds != IGNORE].astype(np.float64)
        found_at = np.full(len(truth), -1.0)
        order = np.argsort(-detections.scores, kind="stable")[:MOST_BOXES]
        for box, value in zip(detections.boxes_xyxy[order].astype(np.float64), detections.scores[order], strict=True):
            overlap = np.where(found_at < 0, overlaps(box[None], truth)[0], 0.0)
            best = int(overlap.argmax()) if len(truth) else -1
            if best >= 0 and overlap[best] >= IOU:
                found_at[best] = value
            elif len(ignored) and _covered(box, ignored).max() >= IOU:
                continue
            scores.append(float(value))
            is_face.append(best >= 0 and overlap[best] >= IOU)
        sizes = truth[:, 2:] - truth[:, :2]
        faces.append(np.stack([np.sqrt(sizes.prod(1)), sizes[:, 0] / np.maximum(sizes[:, 1], 1e-9), found_at], 1))
    rank = np.argsort(-np.array(scores), kind="stable")
    table = np.concatenate([np.zeros((0, 3)), *faces])
    return Verdicts(
        np.array(scores, np.float64)[rank], np.array(is_face, np.bool_)[rank], table[:, 0], table[:, 1], table[:, 2]
    )


def pooled(parts: Sequence[Verdicts]) -> Verdicts:
    """The verdicts of several sets as one."""
    scores = np.concatenate([part.scores for part in parts])
    rank = np.argsort(-scores, kind="stable")
    is_face = np.concatenate([part.is_face for part in parts])[rank]
    faces = [np.concatenate([getattr(part, name) for part in parts]) for name in ("sides", "aspects", "found_at")]
    return Verdicts(scores[rank], is_face, *faces)


def score(samples: Sequence[Sample], found: Sequence[Detections]) -> Score:
    """AP50, AP75 and recall of detections, one of each sample, in its pixels, by pycocotools."""
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
    if not len(table) or not faces:
        return Score(0.0, 0.0, 0.0, len(samples), faces)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(table), "bbox")
        run.params.iouThrs = np.array([IOU, TIGHT_IOU])
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.params.maxDets = [MOST_BOXES]
        run.evaluate()
        run.accumulate()
    ap50, ap75 = (float(part[part > -1].mean()) for part in run.eval["precision"])
    recall = run.eval["recall"][0]
    return Score(ap50, ap75, float(recall[recall > -1].mean()), len(samples), faces)


def draw_curves(parts: dict[str, Verdicts], path: Path) -> None:
    """Write a PNG with the precision-recall curve of every named set.

    Raises:
        BackendUnavailable: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendUnavailable("the curve needs matplotlib; pip install 'acfd-stream[plot]'") from error
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    for name, verdicts in parts.items():
        axes.plot(*verdicts.curve(), label=f"{name}: AP50 {verdicts.average_precision():.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def _covered(box: Floats, regions: Floats) -> Floats:
    """Share of the area of ``box`` [4] inside each of ``regions`` [N, 4]."""
    return shared_areas(box[None], regions)[0] / max(float(np.prod(box[2:] - box[:2])), 1e-9)
