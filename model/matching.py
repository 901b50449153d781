"""Dynamic anchor match: assigns faces to anchors.

Source: ACFD paper, section 3.4, Algorithm 1. The bound on the second step is not in it, and off by default.
HAMBox (Liu et al. 2020), on which the paper's match is based, has such a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from acfd_stream.checked import Checked, require

from .boxes import iou

NEGATIVE, MATCHED, COMPENSATED = 0, 1, 2


@dataclass(frozen=True)
class MatchConfig(Checked):
    """Thresholds of Algorithm 1."""

    first_iou: float = 0.35  # T1, between anchor and face (paper, section 4.1)
    second_iou: float = 0.7  # T2, between regressed box and face; > 1 turns compensation off
    per_face: int = 0  # anchors per face up to which the second step adds, best boxes first; 0: all (paper)

    def _check(self) -> None:
        require(self.per_face >= 0, "match.per_face", self.per_face, ">= 0")


def match(anchors_xyxy: Tensor, boxes_xyxy: Tensor, faces_xyxy: Tensor, config: MatchConfig) -> tuple[Tensor, Tensor]:
    """Labels and faces of the anchors of one picture.

    Args:
        anchors_xyxy: float32 [A, 4], the predefined anchors.
        boxes_xyxy: float32 [A, 4], regressed from them by the network.
        faces_xyxy: float32 [G, 4], ground truth; G may be 0.
        config: T1 and T2, and the bound of the second step.

    Returns:
        labels int64 [A] (NEGATIVE, MATCHED in the first step, COMPENSATED in the second) and
        the index of the face of every anchor, int64 [A], 0 where negative. Of equal IoUs the first face wins.
    """
    labels = torch.zeros(len(anchors_xyxy), dtype=torch.int64, device=anchors_xyxy.device)
    if len(faces_xyxy) == 0:
        return labels, torch.zeros_like(labels)
    first, first_face = _best(iou(anchors_xyxy, faces_xyxy))
    second, second_face = _best(iou(boxes_xyxy, faces_xyxy))
    matched = first >= config.first_iou
    compensated = ~matched & (second >= config.second_iou)
    if config.per_face:
        room = config.per_face - torch.bincount(first_face[matched], minlength=len(faces_xyxy))
        compensated = _best_of_each(compensated, second, second_face, room)
    labels[matched] = MATCHED
    labels[compensated] = COMPENSATED
    faces = torch.where(matched, first_face, torch.where(compensated, second_face, torch.zeros_like(first_face)))
    return labels, faces


def _best(overlaps: Tensor) -> tuple[Tensor, Tensor]:
    """Largest overlap of each row and the first column that has it."""
    best = overlaps.amax(1)
    return best, (overlaps == best[:, None]).to(torch.uint8).argmax(1)


def _best_of_each(chosen: Tensor, overlaps: Tensor, faces: Tensor, room: Tensor) -> Tensor:
    """Of the ``chosen`` anchors [A], those with the largest overlaps, at most ``room`` [G] per face."""
    order = torch.argsort(overlaps, descending=True, stable=True)
    order = order[chosen[order]]
    order = order[torch.argsort(faces[order], stable=True)]
    owner = faces[order]
    start = torch.searchsorted(owner, torch.arange(len(room), device=owner.device))
    rank = torch.arange(len(order), device=owner.device) - start[owner]
    kept = torch.zeros_like(chosen)
    kept[order[rank < room[owner]]] = True
    return kept
