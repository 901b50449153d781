"""The training of an embedding: one network on one process."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..opencv import cv2
from ..predict import normalise
from ..training_log import TrainingLog
from .initial import centres, set_linear
from .losses import MarginClassifier, distribution_loss
from .network import EmbeddingNetwork
from .settings import IdentityConfig
from .sources import Batch, Sampler

LOG_EVERY = 100
"""Iterations between two rows, each with a checkpoint."""
CENTRE_CROPS = 6
"""Crops of a character that its first centre is the mean of."""
Validate = Callable[[EmbeddingNetwork], dict[str, float]]


class IdentityTrainer:
    """Network, averaged weights, classifier, optimizer and counts of one run, which can be saved and resumed."""

    def __init__(self, config: IdentityConfig, sampler: Sampler) -> None:
        torch.manual_seed(config.seed)
        self.config, self.sampler = config, sampler
        self.network = EmbeddingNetwork(config.network)
        self.averaged = EmbeddingNetwork(config.network)
        self.classifier = MarginClassifier(config.network.dimensions, sampler.count, config.margin)
        self.iteration = 0
        self.crops = 0  # that the weights have learned from, those of earlier runs included
        self.begin_with(self.network.state_dict())

    def begin_with(self, state: dict[str, Tensor], crops: int = 0) -> None:
        """Begin with the weights of ``state``, a whole network's or a trunk's; ``crops`` they have learned from."""
        self.network.load_state_dict(state, strict=False)
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.eval()
        self.crops = crops
        self.network.to(memory_format=torch.channels_last)
        self.frozen = self._freeze()
        self.optimizer = self._optimizer()

    def begin_with_discriminants(self) -> None:
        """Set the linear layer, and then the classifier's centres, by the features of the backbone; see ``initial``."""
        rng = np.random.default_rng([self.config.seed, 1])
        set_linear(self.network, self.sampler, self.config.schedule.looked_at, rng)
        self.begin_with(self.network.state_dict())
        self.set_centres()

    def set_centres(self) -> None:
        """Let the classifier begin with the mean embedding of each character."""
        rng = np.random.default_rng([self.config.seed, 2])
        with torch.no_grad():
            self.classifier.centres.copy_(centres(self.network, self.sampler, CENTRE_CROPS, rng))

    def _freeze(self) -> list[nn.Module]:
        """Parts that keep their weights; depthwise kernels keep theirs, too, but not their norms."""
        parts = self.network.frozen(self.config.schedule.frozen_stages)
        for part in parts:
            part.requires_grad_(False)
        for module in self.network.backbone.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1 and self.config.schedule.frozen_depthwise:
                module.requires_grad_(False)
        return parts

    def _optimizer(self) -> torch.optim.Optimizer:
        schedule = self.config.schedule
        backbone = {*self.network.backbone.parameters()}
        groups = []
        for is_backbone, rate in ((True, schedule.backbone_rate), (False, 1.0)):
            every = [*self.network.parameters(), *self.classifier.parameters()]
            part = [p for p in every if p.requires_grad and (p in backbone) == is_backbone]
            for is_kernel, decay in ((True, schedule.weight_decay), (False, 0.0)):
                chosen = [p for p in part if (p.ndim > 1) == is_kernel]
                groups.append({"params": chosen, "weight_decay": decay, "rate": rate})
        return torch.optim.AdamW(groups, lr=schedule.learning_rate, fused=True)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 … 1."""
        return self.iteration / self.config.schedule.iterations

    def learning_rate(self) -> float:
        """Of the coming iteration."""
        schedule = self.config.schedule
        warm = min(1.0, (self.iteration + 1) / schedule.warmup)
        return schedule.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, self.progress))) / 2)

    def step(self, batch: Batch) -> dict[str, float]:
        """One iteration; the parts of its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate() * group["rate"]
        self.network.train()
        for part in self.frozen:
            part.eval()
        embeddings = self.network(normalise(torch.from_numpy(batch.pixels)))
        characters = torch.from_numpy(batch.characters)
        weights = torch.where(torch.from_numpy(batch.is_noisy), self.config.noisy, 1.0)
        margin = (self.classifier(embeddings, characters) * weights).sum() / weights.sum()
        total, parts = margin, {"margin": float(margin.detach())}
        if self.config.distribution.weight:
            hard = torch.from_numpy(batch.is_hard)
            easy_views, hard_views = ((embeddings[chosen], characters[chosen]) for chosen in (~hard, hard))
            distribution = distribution_loss(easy_views, hard_views, self.config.distribution)
            total = total + self.config.distribution.weight * distribution
            parts["distribution"] = float(distribution.detach())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.schedule.clip)
        self.optimizer.step()
        self.iteration += 1
        self.crops += len(batch.pixels)
        self._average()
        return parts

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.schedule.ema, (1 + self.iteration) / (10 + self.iteration))
        mine, theirs = self.averaged.state_dict(), self.network.state_dict()
        floats = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[key] for key in floats], [theirs[key] for key in floats], 1 - decay)

    def run(self, folder: Path, validate: Validate, evaluations: int = 4) -> None:
        """Train to the end, saving ``last.pt`` and appending to ``curve.jsonl`` in ``folder``."""
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.config.seed, self.iteration])
        recent: list[dict[str, float]] = []
        due = max(1, self.config.schedule.iterations // evaluations)
        with TrainingLog(folder) as log:
            while self.progress < 1:
                recent.append(self.step(self.sampler.draw(rng)))
                log.update(self.progress, f"{self.crops} crops, loss {recent[-1]['margin']:.2f}")
                if self.iteration % LOG_EVERY == 0 or self.progress >= 1:
                    means = {name: round(float(np.mean([row[name] for row in recent])), 4) for name in recent[0]}
                    log.write(self._counts() | means)
                    self.save(folder / "last.pt")
                    recent = []
                if self.iteration % due == 0 or self.progress >= 1:
                    log.write(
                        self._counts() | {f"score_{name}": value for name, value in validate(self.averaged).items()}
                    )

    def _counts(self) -> dict[str, Any]:
        return {"iteration": self.iteration, "crops": self.crops, "t": round(float(self.classifier.t), 3)}

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""
        state = {
            "averaged": self.averaged.state_dict(),
            "network": self.network.state_dict(),
            "classifier": self.classifier.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "iteration": self.iteration,
            "pictures": self.crops,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.classifier.load_state_dict(state["classifier"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.crops = state["iteration"], state["pictures"]
