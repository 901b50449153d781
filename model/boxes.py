"""Boxes as tensors: IoU, and conversion between boxes and network deltas.

The inverse of ``encode`` at run time is ``ops.decode_anchors``; a test compares the two.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acfd_stream.ops.anchors import AnchorSpec

LARGEST_GROWTH = math.log(62.5)
"""Bound of the log size ratio of a box and its anchor."""


def corners(anchors: Tensor) -> Tensor:
    """Boxes x1 y1 x2 y2 [A, 4] of anchors cx cy w h [A, 4]."""
    half = anchors[:, 2:] / 2
    return torch.cat([anchors[:, :2] - half, anchors[:, :2] + half], 1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union [N, M] of boxes x1 y1 x2 y2 [N, 4] and [M, 4]; 0 where a box has no area."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    inner = (high - low).clamp_(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) for boxes in (first, second)]
    return inner / (areas[0][:, None] + areas[1][None] - inner).clamp_(min=1e-9)


def encode(boxes: Tensor, anchors: Tensor, spec: AnchorSpec) -> Tensor:
    """Deltas [N, 4] that take anchors cx cy w h [N, 4] to boxes x1 y1 x2 y2 [N, 4]."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    shift = (centre - anchors[:, :2]) / anchors[:, 2:] / spec.variances[0]
    growth = torch.log(size / anchors[:, 2:]) / spec.variances[1]
    return torch.cat([shift, growth], 1)


def decode(deltas: Tensor, anchors: Tensor, spec: AnchorSpec) -> Tensor:
    """Boxes x1 y1 x2 y2 [..., A, 4] that deltas [..., A, 4] make of anchors cx cy w h [A, 4]."""
    centre = anchors[:, :2] + deltas[..., :2] * spec.variances[0] * anchors[:, 2:]
    half = anchors[:, 2:] * torch.exp((deltas[..., 2:] * spec.variances[1]).clamp(max=LARGEST_GROWTH)) / 2
    return torch.cat([centre - half, centre + half], -1)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU [N], -1 … 1, of boxes x1 y1 x2 y2 [N, 4], pair by pair.

    Source: Rezatofighi et al. 2019, eq. 5: the distance of boxes without overlap counts, too.
    """
    inner = _area(torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:]))
    around = _area(torch.minimum(first[:, :2], second[:, :2]), torch.maximum(first[:, 2:], second[:, 2:]))
    union = _area(first[:, :2], first[:, 2:]) + _area(second[:, :2], second[:, 2:]) - inner
    return inner / union.clamp(min=1e-9) - (around - union) / around.clamp(min=1e-9)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(1)
