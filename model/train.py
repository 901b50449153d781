"""Training: a TOML config and a data folder in, checkpoints and a curve out.

Three schedules: "steps" is the paper's (SGD, warm-up, step decay over iterations), "cosine" falls over the iterations,
"budget" spends a given number of minutes (cosine over the clock, growing pictures) and suits a small machine.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from acfd_stream.config import DetectConfig, require
from acfd_stream.errors import AcfdError, ConfigError
from acfd_stream.malloc import trim
from acfd_stream.ops.anchors import AnchorSpec, anchor_grid

from .augment import make_example
from .checkpoints import load_network, read_checkpoint
from .datasets import Source, open_sources
from .distill import open_distiller
from .efficientnet_lite import STAGES, EfficientNetLite
from .evaluate import evaluate
from .grafting import graft, read_peer
from .journal import Journal
from .losses import Losses, detection_loss
from .network import Network
from .predict import TorchDetector, multiplies_bf16, normalise
from .readers import read_coco
from .settings import TrainConfig
from .team import Team

SAY_EVERY = 100
"""Iterations between a line on the losses with a checkpoint."""
Validate = Callable[[Network], float]


class Examples(IterableDataset):
    """Endless augmented examples; every worker of every process draws its own."""

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
    """One run: network, averaged weights, optimizer, clock; saved whole and taken up again."""

    def __init__(
        self,
        config: TrainConfig,
        sources: list[Source],
        weights: np.ndarray,
        device: str = "cpu",
        workers: int = 1,
        is_compiled: bool = False,
        team: Team | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.sources, self.weights, self.device, self.workers = config, sources, weights, device, workers
        self.spec, self.team = AnchorSpec(), team or Team()
        self.batch = self.team.share(config.schedule.batch)
        self.network = Network(config.network).to(device, memory_format=torch.channels_last)
        self.frozen = _freeze(self.network, config.schedule.frozen_stages)
        self.distiller = open_distiller(config.distill, self.network)
        self.teach = None if self.distiller is None else self.team.wrap(self.distiller.to(device))
        wrapped = self.team.wrap(self.network)
        self.forward = torch.compile(wrapped, dynamic=False) if is_compiled else wrapped
        self.averaged = Network(config.network).to(device)
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.eval()
        self.optimizer = self._optimizer()
        self.iteration, self.seconds = 0, 0.0

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
        next_look = self.seconds + 60 * self.config.schedule.evaluate_minutes
        recent: list[Losses] = []
        with Journal(folder) if self.team.is_first else contextlib.nullcontext() as journal:
            for losses in self._steps():
                recent.append(losses)
                if journal is not None:
                    journal.move(self.progress, f"{self.iteration} iterations, loss {losses.classification:.3f}")
                if self.iteration % SAY_EVERY == 0:
                    self._say(journal, folder, recent)
                    recent = []
                if self.seconds >= next_look:
                    next_look = self.seconds + 60 * self.config.schedule.evaluate_minutes
                    self._look(journal, validate)
            if journal is not None:
                self.save(folder / "last.pt")
            self._look(journal, validate)

    def _steps(self) -> Iterator[Losses]:
        """Iterations to the end of the run, each with its time on the clock; what happens between them is not."""
        while self.progress < 1:
            size = self.size()
            examples = Examples(self.sources, self.weights, size, self.config, self.iteration, self.team.rank)
            prefetch = 6 if self.workers else None
            trim()  # a worker that begins now would keep all that the pictures of the size before have left behind
            loader = DataLoader(
                examples, self.batch, collate_fn=collate, num_workers=self.workers, prefetch_factor=prefetch
            )
            started = time.monotonic()
            for pictures, targets in loader:
                losses = self.step(pictures, targets)
                self.seconds = self.team.agree(self.seconds + time.monotonic() - started)
                yield losses
                started = time.monotonic()
                if self.progress >= 1 or self.size() != size:
                    break

    def _say(self, journal: Journal | None, folder: Path, recent: list[Losses]) -> None:
        if journal is None:
            return
        means = {
            "classification": round(float(np.mean([losses.classification for losses in recent])), 4),
            "regression": round(float(np.mean([losses.regression for losses in recent])), 4),
            "matched": round(float(np.mean([losses.matched for losses in recent])), 1),
            "compensated": round(float(np.mean([losses.compensated for losses in recent])), 1),
        }
        row = {"size": self.size(), "learning_rate": round(self.learning_rate(), 7), **means}
        journal.log(self.iteration, self.seconds, row)
        self.save(folder / "last.pt")

    def _look(self, journal: Journal | None, validate: Validate | None) -> None:
        """AP of the averaged weights, by the first process, while the others wait."""
        if journal is not None and validate is not None:
            journal.log(self.iteration, self.seconds, {"ap50": validate(self.averaged)})
        self.team.wait()

    def save(self, path: Path) -> None:
        """Everything the run needs to go on."""
        state = {
            "network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(), "iteration": self.iteration, "seconds": self.seconds,
        }  # fmt: skip
        if self.distiller is not None:
            state["distiller"] = self.distiller.state_dict()
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state.

        Raises:
            ConfigError: it is none, or of another network or optimizer.
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

    def begin_with(self, network: Network) -> None:
        """Take over trained weights, with a fresh optimizer and clock."""
        self.network.load_state_dict(network.state_dict())
        self.averaged.load_state_dict(network.state_dict())


def _freeze(network: Network, stages: int) -> list[nn.Module]:
    """The parts of the backbone that learn nothing, out of the optimizer's reach."""
    if not stages:
        return []
    if not isinstance(network.backbone, EfficientNetLite):
        raise ConfigError("schedule.frozen_stages needs a backbone of the kind efficientnet-lite")
    require(stages <= len(STAGES), "schedule.frozen_stages", stages, f"0 … {len(STAGES)}")
    frozen = network.backbone.frozen(stages)
    for part in frozen:
        part.requires_grad_(False)
    return frozen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acfd-stream train", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a TOML file as in model/configs")
    parser.add_argument("--variant", help="a [variants.NAME] of the config, as full")
    parser.add_argument("--data", type=Path, required=True, help="folder that the config's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, the curve and the board")
    parser.add_argument("--start", type=Path, help="weights to begin with, .pt or .safetensors, where OUT is new")
    parser.add_argument("--minutes", type=float, help="budget, in place of the config's")
    parser.add_argument("--iterations", type=int, help="budget, in place of the config's")
    parser.add_argument("--workers", type=int, default=1, help="processes that augment")
    parser.add_argument("--threads", type=int, help="threads that compute; as many as there are cores if not given")
    parser.add_argument("--compile", action="store_true", help="minutes of waiting a picture size, then a third faster")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def configured(options: argparse.Namespace) -> TrainConfig:
    """The config that the options name, with their budget."""
    config = TrainConfig.load(options.config, options.variant)
    asked = {"minutes": options.minutes, "iterations": options.iterations}
    changes = {name: value for name, value in asked.items() if value is not None}
    return dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, **changes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a detector; goes on from OUT/last.pt where there is one."""
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        config = configured(options)
        samples = read_coco(options.data / f"annotations/{config.validation}.json", options.data / "images")
        sources, weights = open_sources(config.data, options.data)
        team = Team.join(options.device)
        trainer = Trainer(config, sources, weights, options.device, options.workers, options.compile, team)
        if (options.out / "last.pt").exists():
            trainer.load(options.out / "last.pt")
        elif options.start:
            trainer.begin_with(load_network(config, options.start))
        elif isinstance(trainer.network.backbone, EfficientNetLite):
            trainer.network.backbone.load_pretrained()
            trainer.begin_with(trainer.network)

        def validate(network: Network) -> float:
            detect = TorchDetector(network, trainer.spec, DetectConfig(size=config.evaluate_size)).detect
            return round(evaluate(samples, detect).ap50, 4)

        trainer.run(options.out, validate)
        team.leave()
    except AcfdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
