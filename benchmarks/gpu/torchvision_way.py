"""The usual alternative: threshold, top-k and boxes with torch, NMS with torchvision's ``batched_nms``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from acfd_stream.ops.anchors import AnchorSpec, anchor_grid
from gpu.rig import Rig


class Way:
    """Faces of a batch with torch and torchvision, without a limit on their number (it would cost more)."""

    def __init__(
        self,
        rig: Rig,
        size: tuple[int, int],
        spec: AnchorSpec,
        score_threshold: float,
        candidates: int,
        iou_threshold: float,
    ) -> None:
        import torch

        try:
            from torchvision.ops import batched_nms
        except ImportError:
            if not rig.is_rehearsal:
                raise
            batched_nms = _no_suppression
        self._torch, self._batched_nms, self._rig = torch, batched_nms, rig
        self._anchors = torch.as_tensor(np.array(anchor_grid(size, spec)), device=rig.device)
        self._size, self._variances = size, spec.variances
        self._threshold, self._iou = score_threshold, iou_threshold
        self._candidates = min(candidates, len(self._anchors))

    def faces(self, scores: Any, deltas: Any) -> Any:
        """Boxes, scores and picture index of every face of the batch, on the host."""
        torch = self._torch
        scores, deltas = (self._tensor(array) for array in (scores, deltas))
        best, places = scores.topk(self._candidates, dim=1)
        chosen = best >= self._threshold
        pictures = torch.arange(len(scores), device=scores.device)[:, None].expand_as(places)[chosen]
        places, best = places[chosen], best[chosen]
        boxes = self._boxes(self._anchors[places], deltas[pictures, places])
        kept = self._batched_nms(boxes, best, pictures, self._iou)
        return boxes[kept].cpu(), best[kept].cpu(), pictures[kept].cpu()

    def _tensor(self, array: Any) -> Any:
        """Over the same memory."""
        array = np.array(array, subok=False) if self._rig.is_rehearsal else array
        return self._torch.as_tensor(array, device=self._rig.device)

    def device_seconds(self, scores: Any, deltas: Any) -> float:
        """Device time by torch's events."""
        torch = self._torch
        if self._rig.is_rehearsal:
            begin = time.perf_counter()
            self.faces(scores, deltas)
            return time.perf_counter() - begin
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        torch.cuda.synchronize()
        marks[0].record()
        self.faces(scores, deltas)
        marks[1].record()
        torch.cuda.synchronize()
        return float(marks[0].elapsed_time(marks[1])) / 1e3

    def _boxes(self, anchors: Any, deltas: Any) -> Any:
        torch = self._torch
        side = anchors[:, 2:4]
        centre = anchors[:, :2] + deltas[:, :2] * self._variances[0] * side
        half = side * torch.exp((deltas[:, 2:] * self._variances[1]).clamp(max=10)) / 2
        boxes = torch.cat([centre - half, centre + half], dim=1)
        height, width = self._size
        return torch.stack([boxes[:, at].clamp(0, (width, height)[at % 2]) for at in range(4)], dim=1)


def _no_suppression(boxes: Any, scores: Any, pictures: Any, iou: float) -> Any:
    return scores.argsort(descending=True)
