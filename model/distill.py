"""Distillation: a small network learns the outputs of a large one, besides the ground truth.

The logits' loss weighs anchors where either network scores (quality focal loss, Li et al. 2020, with the teacher's
probability as target), the deltas' loss those that the teacher scores. Features are compared after a 1×1 convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checkpoints import load_network
from .network import Network
from .settings import DistillConfig, TrainConfig


class Distiller(nn.Module):
    """The teacher, frozen, and the adapters that bring the student's features to its width.

    Args:
        teacher: trained; put into evaluation mode.
        student: a hook on its ``pyramid`` reads features, if they are used.
        config: weights of the parts.
    """

    def __init__(self, teacher: Network, student: Network, config: DistillConfig) -> None:
        super().__init__()
        self.config = config
        self._seen: dict[str, list[Tensor]] = {}
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: no part of this module's state
        widths = [network.outputs.in_channels for network in (student, teacher)]
        self.adapter = nn.Conv2d(widths[0], widths[1], 1) if config.features else nn.Identity()
        if config.features:
            for name, network in (("student", student), ("teacher", teacher)):
                network.pyramid.register_forward_hook(self._listen(name))

    def _listen(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], outputs: list[Tensor]) -> None:
            self._seen[name] = outputs

        return hook

    def forward(self, batch: Tensor, logits: Tensor, deltas: Tensor) -> Tensor:
        """The loss of a batch [B, 3, H, W] for which the student gave logits [B, A] and deltas [B, A, 4]."""
        teacher = self._teacher[0].to(batch.device)
        with torch.no_grad():
            goal_logits, goal_deltas = teacher(batch)
        config = self.config
        total = config.logits * logit_loss(logits, goal_logits)
        total = total + config.deltas * delta_loss(deltas, goal_deltas, goal_logits.sigmoid())
        if config.features:
            pairs = zip(self._seen.pop("student"), self._seen.pop("teacher"), strict=True)
            parts = [feature_loss(self.adapter(mine), goal) for mine, goal in pairs]
            total = total + config.features * torch.stack(parts).mean()
        return total


def logit_loss(logits: Tensor, goals: Tensor) -> Tensor:
    """Cross entropy of [B, A] logits with the goals' probabilities, weighted by their distance.

    0 for equal outputs; divided by the sum of the goals' probabilities (at least 1).
    """
    goal = goals.sigmoid()
    distance = functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    floor = torch.special.entr(goal) + torch.special.entr(1 - goal)
    apart = (logits.sigmoid() - goal).abs().detach() ** 2
    return ((distance - floor) * apart).sum() / goal.sum().clamp(min=1)


def delta_loss(deltas: Tensor, goals: Tensor, scores: Tensor) -> Tensor:
    """Smooth L1 between deltas [B, A, 4], weighted by the teacher's scores [B, A]."""
    distance = functional.smooth_l1_loss(deltas, goals, reduction="none").sum(2)
    return (distance * scores).sum() / scores.sum().clamp(min=1e-6)


def feature_loss(features: Tensor, goals: Tensor) -> Tensor:
    """Mean squared distance of [B, C, H, W] features, each cell's normalised to length 1: 0 … 4."""
    mine, theirs = (functional.normalize(part.float(), dim=1) for part in (features, goals))
    return (mine - theirs).square().sum(1).mean()


def open_distiller(config: DistillConfig, student: Network) -> Distiller | None:
    """The distiller of a config, or None without a teacher.

    Raises:
        ConfigError: the teacher's files cannot be read.
    """
    if not config.teacher:
        return None
    teacher = load_network(TrainConfig.load(Path(config.config)), Path(config.teacher))
    return Distiller(teacher, student, config)
