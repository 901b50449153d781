"""Margin binary classification and box regression, matched and compensated anchors weighted apart.

Source: ACFD paper, section 3.5, eqs. 2 and 3. The overlap loss ("giou"), a bound on N2 and loose regions are not in
the paper, and off by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from acfd_stream.checked import Checked, require
from acfd_stream.ops.anchors import AnchorSpec

from .boxes import corners, decode, encode, generalised_iou
from .matching import COMPENSATED, MATCHED, NEGATIVE, MatchConfig, match
from .readers import FACE, IGNORE, LOOSE, PARTIAL


@dataclass(frozen=True)
class LossConfig(Checked):
    """Weights of the loss."""

    margin: float = 0.2  # m of eq. 3 (paper, Table 5)
    compensated_regression: float = 0.7  # lambda_reg (paper, section 4.1; the slides say 0.8)
    compensated_classification: float = 0.7  # lambda_cls
    compensated_at_least: bool = False  # N2 is at least N1: a few compensated anchors do not outweigh all others
    focal_alpha: float = 0.25  # focal loss, Lin et al. 2017
    focal_gamma: float = 2.0
    box: str = "smooth-l1"  # or "giou": 1 - generalised IoU (Rezatofighi et al. 2019)
    smooth_l1_beta: float = 1.0
    regression: float = 1.0  # weight of regression against classification
    loose_regression: float = 1.0  # weight of the boxes of faces in a LOOSE region against those of other faces
    partial_score: float = 0.3  # negatives that score higher in a PARTIAL region are left out

    def _check(self) -> None:
        require(self.box in ("smooth-l1", "giou"), "loss.box", self.box, "smooth-l1 or giou")


@dataclass(frozen=True)
class Losses:
    """The loss of one batch and its parts."""

    total: Tensor
    classification: float
    regression: float
    matched: int
    compensated: int


def detection_loss(
    logits: Tensor,  # [B, A]
    deltas: Tensor,  # [B, A, 4]
    targets: list[tuple[Tensor, Tensor]],  # boxes [G, 4] and kinds [G] of each picture
    anchors: Tensor,  # [A, 4] cx cy w h
    spec: AnchorSpec,
    match_config: MatchConfig,
    config: LossConfig,
) -> Losses:
    """The loss of a batch: eq. 2 with N1 and N2 counted over the batch."""
    labels, goals, weights, box_weights = _assign(logits, deltas, targets, anchors, spec, match_config, config)
    found = [int((labels == label).sum()) for label in (MATCHED, COMPENSATED)]
    counts = [max(1, count) for count in found]
    if config.compensated_at_least:
        counts[1] = max(counts)
    scale = torch.full_like(logits, 1 / counts[0])
    scale[labels == COMPENSATED] = config.compensated_classification / counts[1]
    classification = (_focal(logits, labels != NEGATIVE, config) * weights * scale).sum()

    positive = labels != NEGATIVE
    box_scale = torch.where(labels[positive] == MATCHED, 1 / counts[0], config.compensated_regression / counts[1])
    box_scale = box_scale * box_weights[positive]
    if config.box == "giou":
        places = anchors.expand(len(labels), -1, -1)[positive]
        distance = 1 - generalised_iou(decode(deltas[positive], places, spec), decode(goals[positive], places, spec))
    else:
        beta = config.smooth_l1_beta
        distance = functional.smooth_l1_loss(deltas[positive], goals[positive], beta=beta, reduction="none").sum(1)
    regression = (distance * box_scale).sum()
    total = classification + config.regression * regression
    return Losses(total, float(classification.detach()), float(regression.detach()), *found)


def _focal(logits: Tensor, is_face: Tensor, config: LossConfig) -> Tensor:
    """Focal loss of every anchor [B, A]; the margin is subtracted from the logits of faces (eq. 3)."""
    signed = torch.where(is_face, logits - config.margin, -logits)
    probability = torch.sigmoid(signed)
    alpha = torch.where(is_face, config.focal_alpha, 1 - config.focal_alpha)
    return -alpha * (1 - probability) ** config.focal_gamma * functional.logsigmoid(signed)


@torch.no_grad()
def _assign(
    logits: Tensor,
    deltas: Tensor,
    targets: list[tuple[Tensor, Tensor]],
    anchors: Tensor,
    spec: AnchorSpec,
    match_config: MatchConfig,
    config: LossConfig,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels [B, A], regression goals [B, A, 4], and weights of classification and regression [B, A] of a batch."""
    labels = torch.zeros(logits.shape, dtype=torch.int64, device=logits.device)
    goals = torch.zeros_like(deltas)
    weights, box_weights = torch.ones_like(logits), torch.ones_like(logits)
    regressed = decode(deltas, anchors, spec)
    squares = corners(anchors)
    for number, (boxes, kinds) in enumerate(targets):
        faces = boxes[kinds == FACE]
        label, face = match(squares, regressed[number], faces, match_config)
        labels[number] = label
        positive = label != NEGATIVE
        if len(faces):
            goals[number, positive] = encode(faces[face[positive]], anchors[positive], spec)
            is_loose = _inside((faces[:, :2] + faces[:, 2:]) / 2, boxes[kinds == LOOSE])
            box_weights[number, positive] = torch.where(is_loose, config.loose_regression, 1.0)[face[positive]]
        ignored = _inside(anchors[:, :2], boxes[kinds == IGNORE])
        confident = logits[number].sigmoid() > config.partial_score
        ignored |= _inside(anchors[:, :2], boxes[kinds == PARTIAL]) & confident
        weights[number, ignored & ~positive] = 0
    return labels, goals, weights, box_weights


def _inside(points: Tensor, regions: Tensor) -> Tensor:
    """Whether each point x y [P, 2] lies in one of the regions [R, 4]: bool [P]."""
    points = points[:, None]
    return ((points >= regions[None, :, :2]) & (points <= regions[None, :, 2:])).all(2).any(1)
