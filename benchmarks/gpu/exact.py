"""Checks a thousand random batches with planted ties: all indices of the GPU equal the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acfd_stream import ops as host_ops
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_count
from acfd_stream.types import FloatArray
from gpu.book import Recorder
from gpu.rig import Rig

BATCHES = 1000
_SIZES = ((64, 64), (96, 128), (160, 96), (192, 192))
_LARGE, _LARGE_EVERY = (640, 640), 50
_PICTURES = 5  # at most, in a batch; a large one has 16
_LEVELS = 12  # so few different scores that most anchors tie with others


@dataclass(frozen=True)
class Case:
    """One batch."""

    size: tuple[int, int]
    spec: AnchorSpec
    scores: FloatArray  # [B, A]
    deltas: FloatArray  # [B, A, 4]
    threshold: float
    candidates: int
    iou: float
    faces: int


def run(rig: Rig, record: Recorder) -> None:
    """One row: number of batches that differ from the reference."""
    count = rig.scaled(BATCHES, 6)
    unequal, boxes = [], 0
    for seed in range(count):
        case = drawn_case(seed, is_large=not rig.is_rehearsal and seed % _LARGE_EVERY == 0)
        fault, seen = compare(rig, case)
        boxes += seen
        if fault:
            unequal.append(f"batch {seed}: {fault}")
    record.row("gpu_batches_unequal", [len(unequal)], "count", batches=count, candidates=boxes, first=unequal[:5])


def drawn_case(seed: int, *, is_large: bool = False) -> Case:
    """A batch whose scores and boxes come from short lists, so that ties are frequent."""
    rng, spec = np.random.default_rng(seed), AnchorSpec()
    size = _LARGE if is_large else _SIZES[seed % len(_SIZES)]
    pictures, anchors = (16 if is_large else 1 + seed % _PICTURES), anchor_count(size, spec)
    levels = np.linspace(0.0, 1.0, _LEVELS).astype(np.float32)
    # Few high scores in a large batch, because the reference's NMS compares all pairs.
    weights = rng.dirichlet(np.geomspace(8.0, 0.2, _LEVELS))
    scores = rng.choice(levels, (pictures, anchors), p=weights)
    deltas = rng.choice(np.array([-1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 1.0], np.float32), (pictures, anchors, 4))
    strange = rng.random((pictures, anchors)) < 0.002
    scores[strange] = rng.choice(np.array([np.nan, np.inf, -0.0, 1.0], np.float32), int(strange.sum()))
    deltas[rng.random(deltas.shape) < 0.0005] = np.nan
    return Case(
        size,
        spec,
        scores,
        deltas,
        threshold=float(levels[int(rng.integers(1, _LEVELS - 1))]),  # one that scores meet exactly
        candidates=int(rng.choice([1, 7, 64, 300] if not is_large else [64, 1000])),
        iou=float(rng.choice([0.0, 0.25, 1 / 3, 0.5, 0.55, 1.0])),
        faces=int(rng.choice([1, 10, 100])),
    )


def compare(rig: Rig, case: Case) -> tuple[str, int]:
    """The difference from the reference, "" if none, and the number of compared candidates."""
    from acfd_stream.ops.cuda.faces import AnchorDecoder, Suppressor

    device, to_host = rig.ops.device, rig.ops.to_host
    pictures = len(case.scores)
    view = Letterbox(case.size, case.size, case.size)
    decoder = AnchorDecoder(device, pictures, [case.size], case.spec, case.threshold, case.candidates)
    suppressor = Suppressor(device, pictures, 1, decoder.candidates, case.iou, case.faces)
    decoder.place([[view]] * pictures)
    decoder.decode(0, device.upload(case.scores), device.upload(case.deltas))
    suppressor.suppress(decoder.boxes, decoder.scores, decoder.counts)
    kept = suppressor.read(pictures)
    chosen = to_host(decoder.indices)
    seen = 0
    for at in range(pictures):
        candidates = host_ops.decode_anchors(
            case.scores[at],
            case.deltas[at],
            view,
            case.spec,
            case.threshold,
            case.candidates,
            backend="reference",
        )
        seen += len(candidates)
        fault = _fault(candidates, chosen[at], kept[at], case)
        if fault:
            return f"picture {at}: {fault} ({len(candidates)} candidates, IoU {case.iou})", seen
    return "", seen


def _fault(candidates: host_ops.Candidates, chosen: Any, kept: Any, case: Case) -> str:
    """The difference of one picture, or ""."""
    if not np.array_equal(chosen[: len(candidates)], candidates.indices):
        return "other anchors were chosen"
    expected = host_ops.nms(candidates.boxes_xyxy, candidates.scores, case.iou, backend="reference")[: case.faces]
    head, rows = kept
    if int(head["count"]) != len(expected) or not np.array_equal(rows["index"], expected):
        return "other boxes were kept"
    same_boxes = np.array_equal(rows["box"], candidates.boxes_xyxy[expected])
    return "" if same_boxes and np.array_equal(rows["score"], candidates.scores[expected]) else "boxes or scores differ"
