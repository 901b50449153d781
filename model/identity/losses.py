"""Losses of the embedding: classifiers with a margin, and the distillation of hard views' similarities from easy ones.

Sources: Deng et al. 2019 (ArcFace); Huang et al. 2020 (CurricularFace); Huang et al. 2020 (Improving Face Recognition
from Hard Samples via Distribution Distillation Loss).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from acfd_stream.checked import Checked, require

KINDS = ("arcface", "curricularface")
_LEAST = 1e-7
"""Distance of a cosine from ±1, where the gradient of the angle has no bound."""


@dataclass(frozen=True)
class MarginConfig(Checked):
    """The classifier over the training's characters."""

    kind: str = "curricularface"  # or "arcface"
    margin: float = 0.5  # m, radians (both papers)
    scale: float = 64.0  # s, by which cosines become logits (both papers)
    momentum: float = 0.99  # of t, the mean cosine of the right characters (CurricularFace: α)
    smoothing: float = 0.0  # share of the target that is spread over all characters

    def _check(self) -> None:
        require(self.kind in KINDS, "margin.kind", self.kind, " or ".join(KINDS))
        require(0 <= self.margin < math.pi / 2, "margin.margin", self.margin, "in [0, π/2)")
        require(self.scale > 0, "margin.scale", self.scale, "> 0")
        require(0 <= self.momentum < 1, "margin.momentum", self.momentum, "in [0, 1)")
        require(0 <= self.smoothing < 1, "margin.smoothing", self.smoothing, "in [0, 1)")


class MarginClassifier(nn.Module):
    """Unit embeddings [B, D] and characters [B] → cross-entropy of margin logits, one for each crop.

    With θ_j the angle between an embedding and the centre of character j, and y its own character:

    - ArcFace: the logit of y is s · cos(θ_y + m); of all others s · cos θ_j.
    - CurricularFace: the same for y. Another character j is hard if cos θ_j > cos(θ_y + m); its logit is then
      s · cos θ_j · (t + cos θ_j). t is the running mean of cos θ_y over batches, t ← α t + (1 - α) mean(cos θ_y). So
      hard ones count little in the beginning and much at the end (eqs. 4 to 8 of the paper).

    Where θ_y + m would pass π, the cosine is continued by cos θ_y - m sin m, which falls on.
    """

    def __init__(self, dimensions: int, characters: int, config: MarginConfig) -> None:
        super().__init__()
        self.config = config
        self.centres = nn.Parameter(nn.init.normal_(torch.empty(characters, dimensions), std=0.01))
        self.register_buffer("t", torch.zeros(()))

    def forward(self, embeddings: Tensor, characters: Tensor) -> Tensor:
        """[B, D] and int64 [B] → losses [B]."""
        logits = self.logits(embeddings, characters)
        smoothing = self.config.smoothing
        return functional.cross_entropy(logits, characters, reduction="none", label_smoothing=smoothing)

    def logits(self, embeddings: Tensor, characters: Tensor) -> Tensor:
        """[B, D] and int64 [B] → [B, C], the margin applied and hard ones weighed."""
        margin = self.config.margin
        cosines = (embeddings @ functional.normalize(self.centres, dim=1).T).clamp(-1 + _LEAST, 1 - _LEAST)
        own = cosines.gather(1, characters[:, None])
        widened = own * math.cos(margin) - torch.sqrt(1 - own**2) * math.sin(margin)
        goal = torch.where(own > math.cos(math.pi - margin), widened, own - margin * math.sin(margin))
        if self.config.kind == "curricularface":
            if self.training:
                self._follow(own)
            cosines = torch.where(cosines > goal, cosines * (self.t + cosines), cosines)
        return self.config.scale * cosines.scatter(1, characters[:, None], goal)

    @torch.no_grad()
    def _follow(self, own: Tensor) -> None:
        self.t.lerp_(own.mean(), 1 - self.config.momentum)


@dataclass(frozen=True)
class DistributionConfig(Checked):
    """The distillation of distributions; off at a weight of 0."""

    weight: float = 0.0  # against the classifier
    same: float = 0.1  # λ1 of the divergence of pairs of one character (paper)
    other: float = 0.02  # λ2 of that of pairs of two (paper)
    order: float = 0.5  # λ3 of the order loss (paper)
    bins: int = 100  # of the histograms (R - 1 in the paper's source, histogram loss)

    def _check(self) -> None:
        for name in ("weight", "same", "other", "order"):
            require(getattr(self, name) >= 0, f"distribution.{name}", getattr(self, name), ">= 0")
        require(2 <= self.bins <= 1000, "distribution.bins", self.bins, "in 2 … 1000")


Views = tuple[Tensor, Tensor]
"""Embeddings [B, D] of unit length, and their characters int64 [B]."""


def distribution_loss(easy: Views, hard: Views, config: DistributionConfig) -> Tensor:
    """How far the similarities among hard views are from those among easy views.

    The similarities of pairs of one character, and of pairs of two, are histograms with soft bins over [-1, 1]
    (Ustinova and Lempitsky 2016). Easy views are the teacher, with P+ and P-; hard views are the student, with Q+ and
    Q-. The loss is λ1 KL(P+ ‖ Q+) + λ2 KL(P- ‖ Q-) - λ3 Σ (E[S+] - E[S-]), the sum over all four pairings of teacher
    and student (eqs. 3 to 5 of the paper). Of the pairs of two the hardest count: each view with its most similar other
    character.

    Args:
        easy: views of the batch without strong degradation; their histograms get no gradient.
        hard: the others.
        config: weights and bins.

    Returns:
        a scalar; 0 if there are no pairs of one character, or none of two, among the easy or the hard views.
    """
    parts = [_similarities(*views) for views in (easy, hard)]
    if any(not len(similarities) for part in parts for similarities in part):
        return hard[0].sum() * 0.0
    (teacher_same, teacher_other), (student_same, student_other) = parts
    terms = ((config.same, teacher_same, student_same), (config.other, teacher_other, student_other))
    total = (
        -config.order * 2 * (teacher_same.mean() + student_same.mean() - teacher_other.mean() - student_other.mean())
    )
    for weight, teacher, student in terms:
        goal, found = histogram(teacher.detach(), config.bins), histogram(student, config.bins)
        total = total + weight * (goal * ((goal + _LEAST).log() - (found + _LEAST).log())).sum()
    return total


def _similarities(embeddings: Tensor, characters: Tensor) -> Views:
    """Cosines of all pairs of one character, and of each view with its most similar other character."""
    cosines = embeddings @ embeddings.T
    is_equal = characters[:, None] == characters[None]
    is_same = is_equal & ~torch.eye(len(characters), dtype=torch.bool)
    hardest = cosines.masked_fill(is_equal, -2.0).amax(1) if len(characters) else cosines.sum(1)
    return cosines[is_same], hardest[hardest >= -1.5]


def histogram(similarities: Tensor, bins: int) -> Tensor:
    """Shares [bins + 1] of ``similarities`` in [-1, 1]; each is divided between its two nearest nodes by distance."""
    nodes = torch.linspace(-1, 1, bins + 1)
    weights = (1 - (similarities[:, None] - nodes).abs() * (bins / 2)).clamp(min=0)
    return weights.sum(0) / len(similarities)
