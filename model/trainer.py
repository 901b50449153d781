"""The training itself: one network on one process, or on one of several.

Schedules: "steps" is the paper's (SGD, warm-up, step decay over iterations), "cosine" falls over the iterations,
"plateau" falls over the last of them, "budget" falls over a given number of minutes.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from acfd_stream.config import require
from acfd_stream.errors import ConfigError
from acfd_stream.malloc import trim
from acfd_stream.ops.anchors import AnchorSpec, anchor_grid

from .augment import make_example
from .checkpoints import counts_of, read_checkpoint
from .datasets import Source
from .distill import open_distiller
from .distributed import DataParallelGroup
from .efficientnet_lite import STAGES, EfficientNetLite
from .grafting import graft, read_peer
from .losses import Losses, detection_loss
from .network import Network
from .opencv import cv2
from .predict import multiplies_bf16, normalise
from .settings import TrainConfig
from .training_log import TrainingLog

LOG_EVERY = 100
"""Iterations between two rows of losses, each with a checkpoint."""
Validate = Callable[[Network], float]


class Examples(IterableDataset):
    """Endless augmented examples; every worker of every process draws other ones."""

    def __init__(
        self, sources: list[Source], weights: np.ndarray, size: int, config: TrainConfig, start: int, rank: int = 0
    ) -> None:
        self.sources, self.weights, self.size, self.config = sources, weights, size, config
        self.start, self.rank = start, rank

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Picture uint8 [S, S, 3], boxes [N, 4], kinds [N]."""
        worker = torch.utils.data.get_worker_info()
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self.config.seed, self.start, (worker.id if worker else 0) + 1000 * self.rank])
        while True:
            example = make_example(self.sources, self.weights, self.size, rng, self.config.augment)
            yield tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in example)


def collate(rows: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Pictures [B, S, S, 3] and the targets of each."""
    return torch.stack([row[0] for row in rows]), [(row[1].float(), row[2]) for row in rows]


class Trainer:
    """Network, averaged weights, optimizer and counts of one run, which can be saved and resumed."""

    def __init__(
        self,
        config: TrainConfig,
        sources: list[Source],
        weights: np.ndarray,
        device: str = "cpu",
        workers: int = 1,
        is_compiled: bool = False,
        group: DataParallelGroup | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.sources, self.weights, self.device, self.workers = config, sources, weights, device, workers
        self.spec, self.group = AnchorSpec(), group or DataParallelGroup()
        self.batch = self.group.local_batch(config.schedule.batch)
        self.network = Network(config.network).to(device, memory_format=torch.channels_last)
        self.frozen = _freeze(self.network, config.schedule.frozen_stages)
        self.distiller = open_distiller(config.distill, self.network)
        self.teach = None if self.distiller is None else self.group.wrap(self.distiller.to(device))
        wrapped = self.group.wrap(self.network)
        self.forward = torch.compile(wrapped, dynamic=False) if is_compiled else wrapped
        self.averaged = Network(config.network).to(device)
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.eval()
        self.optimizer = self._optimizer()
        self.iteration, self.seconds = 0, 0.0
        self.pictures = 0  # that the weights have learned from, those of earlier runs included
        self._durations: deque[float] = deque(maxlen=LOG_EVERY)  # seconds of the last iterations

    def _optimizer(self) -> torch.optim.Optimizer:
        schedule = self.config.schedule
        backbone = {*self.network.backbone.parameters()}
        parameters = [*self.network.parameters()]
        if self.distiller is not None:
            parameters += [*self.distiller.parameters()]
        learning = [p for p in parameters if p.requires_grad]
        groups = []
        for is_backbone, rate in ((False, 1.0), (True, schedule.backbone_rate)):
            part = [p for p in learning if (p in backbone) == is_backbone]
            for is_kernel, decay in ((True, schedule.weight_decay), (False, 0.0)):
                chosen = [p for p in part if (p.ndim == 4) == is_kernel]
                groups.append({"params": chosen, "weight_decay": decay, "rate": rate})
        if schedule.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=schedule.learning_rate, fused=True)
        return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=schedule.momentum)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 … 1."""
        schedule = self.config.schedule
        if schedule.kind == "budget":
            return self.seconds / (60 * schedule.minutes)
        return self.iteration / schedule.iterations

    def learning_rate(self) -> float:
        """Of the coming iteration."""
        schedule, progress = self.config.schedule, min(1.0, self.progress)
        warm = min(1.0, (self.iteration + 1) / schedule.warmup)
        if schedule.kind == "steps":
            decay = 0.1 ** sum(progress >= milestone for milestone in schedule.milestones)
            return 1e-6 + (schedule.learning_rate * decay - 1e-6) * warm
        if schedule.kind == "plateau":
            progress = max(0.0, 1 - (1 - progress) / schedule.decay)
        return schedule.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)

    def size(self) -> int:
        """Side of the pictures now."""
        sizes = self.config.schedule.sizes
        return sizes[min(len(sizes) - 1, int(self.progress * len(sizes)))]

    def step(self, pictures: Tensor, targets: list[tuple[Tensor, Tensor]]) -> Losses:
        """One iteration on pictures uint8 [B, S, S, 3]."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate() * group["rate"]
        self.network.train()
        for part in self.frozen:
            part.eval()
        batch = normalise(pictures.to(self.device))
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=multiplies_bf16(self.device)):
            logits, deltas = self.forward(batch)
            taught = 0.0 if self.teach is None else self.teach(batch, logits, deltas)
        anchors = torch.from_numpy(anchor_grid(tuple(pictures.shape[1:3]), self.spec).copy()).to(self.device)
        moved = [(boxes.to(self.device), kinds.to(self.device)) for boxes, kinds in targets]
        losses = detection_loss(logits, deltas, moved, anchors, self.spec, self.config.match, self.config.loss)
        self.optimizer.zero_grad(set_to_none=True)
        (losses.total + taught).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.schedule.clip)
        self.optimizer.step()
        self.iteration += 1
        self.pictures += self.config.schedule.batch
        self._average()
        self._graft()
        return losses

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.schedule.ema, (1 + self.iteration) / (10 + self.iteration))
        mine, theirs = self.averaged.state_dict(), self.network.state_dict()
        floats = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [mine[key] for key in floats], [theirs[key].to(mine[key].dtype) for key in floats], 1 - decay
        )

    def _graft(self) -> None:
        config = self.config.graft
        if config.peer and self.iteration % config.every == 0:
            peer = read_peer(Path(config.peer))
            if peer is not None:
                graft(self.network.state_dict(), peer, config)

    def run(self, folder: Path, validate: Validate | None = None) -> None:
        """Train to the end, saving ``last.pt`` and appending to ``curve.jsonl`` in ``folder``."""
        evaluations = self._evaluations_due()
        recent: list[Losses] = []
        with TrainingLog(folder) if self.group.is_first else contextlib.nullcontext() as log:
            for losses in self._steps():
                recent.append(losses)
                if log is not None:
                    log.update(self.progress, f"{self._counts_text()}, loss {losses.classification:.3f}")
                if log is not None and self.iteration % LOG_EVERY == 0:
                    log.write(self._counts() | self._state_row(recent))
                    self.save(folder / "last.pt")
                    recent = []
                if self._evaluations_due() > evaluations and self.progress < 1:
                    evaluations = self._evaluations_due()
                    self._evaluate(log, validate)
            if log is not None:
                self.save(folder / "last.pt")
            self._evaluate(log, validate)

    def _steps(self) -> Iterator[Losses]:
        """Iterations to the end of the run. The clock counts these only, not what the caller does between them."""
        while self.progress < 1:
            size = self.size()
            examples = Examples(self.sources, self.weights, size, self.config, self.iteration, self.group.rank)
            prefetch = 6 if self.workers else None
            trim()  # otherwise each new worker starts with a copy of the memory that the previous size left behind
            loader = DataLoader(
                examples, self.batch, collate_fn=collate, num_workers=self.workers, prefetch_factor=prefetch
            )
            started = time.monotonic()
            for pictures, targets in loader:
                losses = self.step(pictures, targets)
                self._durations.append(time.monotonic() - started)
                self.seconds = self.group.broadcast(self.seconds + self._durations[-1])
                yield losses
                started = time.monotonic()
                if self.progress >= 1 or self.size() != size:
                    break

    def _evaluations_due(self) -> int:
        """Evaluations that are due by now; counted from the beginning, so that a resumed run keeps the rhythm."""
        schedule = self.config.schedule
        if schedule.evaluate_pictures:
            return self.pictures // schedule.evaluate_pictures
        return int(self.seconds // (60 * schedule.evaluate_minutes))

    def pictures_per_second(self) -> float:
        """Over the last iterations; 0 before the first."""
        return self.config.schedule.batch * len(self._durations) / max(1e-9, sum(self._durations))

    def _counts(self) -> dict[str, float]:
        return {
            "iteration": self.iteration,
            "pictures": self.pictures,
            "minutes": round(self.seconds / 60, 2),
            "pictures_per_second": round(self.pictures_per_second(), 2),
        }

    def _counts_text(self) -> str:
        return f"iteration {self.iteration}, {self.pictures} pictures, {self.pictures_per_second():.1f} pictures/s"

    def _state_row(self, recent: list[Losses]) -> dict[str, float]:
        digits = {"classification": 4, "regression": 4, "matched": 1, "compensated": 1}
        means = {
            name: round(float(np.mean([getattr(losses, name) for losses in recent])), places)
            for name, places in digits.items()
        }
        return {"size": self.size(), "learning_rate": round(self.learning_rate(), 7), **means}

    def _evaluate(self, log: TrainingLog | None, validate: Validate | None) -> None:
        """Log the AP of the averaged weights, measured by the first process; the others wait."""
        if log is not None and validate is not None:
            log.write(self._counts() | {"ap50": validate(self.averaged)})
        self.group.barrier()

    def save(self, path: Path) -> None:
        """Write everything that a resumed run needs."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(), "iteration": self.iteration, "seconds": self.seconds,
            "pictures": self.pictures,
        }  # fmt: skip
        if self.distiller is not None:
            state["distiller"] = self.distiller.state_dict()
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Resume from a saved state.

        Raises:
            ConfigError: the file is no checkpoint, or of another network or optimizer.
        """
        state = read_checkpoint(path)
        try:
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.distiller is not None:
                self.distiller.load_state_dict(state["distiller"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(f"{path}: is of another training ({str(error).splitlines()[0]})") from error
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.pictures = counts_of(state, self.config)["pictures"]

    def begin_with(self, network: Network, pictures: int = 0) -> None:
        """Take over weights that have learned from ``pictures``, with a fresh optimizer and schedule."""
        self.network.load_state_dict(network.state_dict())
        self.averaged.load_state_dict(network.state_dict())
        self.pictures = pictures

    def begin_with_imagenet(self) -> None:
        """Take over the backbone's ImageNet weights, if there are any for its kind.

        Raises:
            ConfigError: the package that holds them is not installed.
        """
        if isinstance(self.network.backbone, EfficientNetLite):
            self.network.backbone.load_pretrained()
            self.begin_with(self.network)


def _freeze(network: Network, stages: int) -> list[nn.Module]:
    """The parts of the backbone that do not learn; they get no gradients."""
    if not stages:
        return []
    if not isinstance(network.backbone, EfficientNetLite):
        raise ConfigError("schedule.frozen_stages needs a backbone of the kind efficientnet-lite")
    require(stages <= len(STAGES), "schedule.frozen_stages", stages, f"0 … {len(STAGES)}")
    frozen = network.backbone.frozen(stages)
    for part in frozen:
        part.requires_grad_(False)
    return frozen
