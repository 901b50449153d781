"""Training: a TOML config and a data folder in, checkpoints and a curve out.

Two schedules: "steps" is the paper's (SGD, warm-up, step decay over iterations), "budget" spends a
given number of minutes (AdamW, cosine over the clock, growing pictures) and suits a small machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from acfd_stream.config import DetectConfig, from_mapping
from acfd_stream.errors import AcfdError, ConfigError
from acfd_stream.ops.anchors import AnchorSpec, anchor_grid

from .augment import AugmentConfig, make_example
from .datasets import DrawnSource, PictureSource, Source, SpriteSource, read_coco
from .evaluate import evaluate
from .losses import LossConfig, Losses, detection_loss
from .matching import MatchConfig
from .network import Network, NetworkConfig
from .predict import TorchDetector, normalise


@dataclass(frozen=True)
class ScheduleConfig:
    """How long, how fast, how large."""

    kind: str = "budget"  # "steps": as published; "budget": by the clock
    optimizer: str = "adamw"  # or "sgd"
    learning_rate: float = 1e-3  # peak; the paper's SGD: 0.04 at batch 64
    weight_decay: float = 0.05  # the paper's SGD: 5e-4
    momentum: float = 0.9  # of SGD (paper)
    batch: int = 16
    minutes: float = 60.0  # of "budget"
    iterations: int = 210_000  # of "steps": 300 epochs of 45,000 pictures at batch 64
    milestones: tuple[float, ...] = (200 / 300, 250 / 300, 280 / 300)  # of "steps", share of iterations (paper)
    warmup: int = 300  # iterations; the paper: 1000 from 1e-6
    sizes: tuple[int, ...] = (640,)  # sides of pictures over the course, each for an equal share
    ema: float = 0.999  # decay of the averaged weights, an iteration
    evaluate_minutes: float = 15.0  # between looks at the validation set


@dataclass(frozen=True)
class TrainConfig:
    """A whole training; ``data`` rows: kind (coco, sprites, drawn), weight, and the kind's own keys."""

    name: str
    data: list[dict[str, Any]]
    validation: str
    network: NetworkConfig = field(default_factory=NetworkConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    evaluate_size: int = 480
    seed: int = 0

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """The config of a TOML file; unknown keys are errors."""
        try:
            table = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
        parts: Mapping[str, Any] = {
            "match": MatchConfig,
            "loss": LossConfig,
            "augment": AugmentConfig,
            "schedule": ScheduleConfig,
        }
        for key, part in parts.items():
            values = {name: tuple(v) if isinstance(v, list) else v for name, v in table.get(key, {}).items()}
            table[key] = from_mapping(part, values)
        table["network"] = NetworkConfig.from_table(table.get("network", {}))
        return from_mapping(cls, table)


def open_sources(config: TrainConfig, data: Path) -> tuple[list[Source], np.ndarray]:
    """The sources of a config and how often each is drawn from."""
    sources: list[Source] = []
    weights = []
    for row in config.data:
        row = dict(row)
        kind, weight = row.pop("kind"), row.pop("weight")
        if kind == "coco":
            samples = read_coco(data / row.pop("annotation"), data / row.pop("images"))
            sources.append(PictureSource(samples, **row))
        elif kind == "sprites":
            sources.append(SpriteSource(data / row.pop("sprites"), data / row.pop("backgrounds")))
        elif kind == "drawn":
            sources.append(DrawnSource(**row))
        else:
            raise ConfigError(f"data kind must be coco, sprites or drawn, got {kind!r}")
        weights.append(weight)
    return sources, np.array(weights, np.float64) / sum(weights)


class Examples(IterableDataset):
    """Endless augmented examples; every worker draws its own."""

    def __init__(self, sources: list[Source], weights: np.ndarray, size: int, config: TrainConfig, start: int) -> None:
        self.sources, self.weights, self.size, self.config, self.start = sources, weights, size, config, start

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Picture uint8 [S, S, 3], boxes [N, 4], kinds [N]."""
        worker = torch.utils.data.get_worker_info()
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self.config.seed, self.start, worker.id if worker else 0])
        while True:
            example = make_example(self.sources, self.weights, self.size, rng, self.config.augment)
            yield tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in example)


def collate(rows: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Pictures [B, S, S, 3] and the targets of each."""
    return torch.stack([row[0] for row in rows]), [(row[1].float(), row[2]) for row in rows]


class Trainer:
    """One run: network, averaged weights, optimizer, clock; saved whole and taken up again."""

    def __init__(
        self, config: TrainConfig, sources: list[Source], weights: np.ndarray, device: str = "cpu", workers: int = 1
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.sources, self.weights, self.device, self.workers = config, sources, weights, device, workers
        self.spec = AnchorSpec()
        self.network = Network(config.network).to(device, memory_format=torch.channels_last)
        self.averaged = Network(config.network).to(device)
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.eval()
        self.optimizer = self._optimizer()
        self.iteration, self.seconds = 0, 0.0

    def _optimizer(self) -> torch.optim.Optimizer:
        schedule = self.config.schedule
        decayed = [p for p in self.network.parameters() if p.ndim == 4]
        plain = [p for p in self.network.parameters() if p.ndim != 4]
        groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        if schedule.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=schedule.learning_rate, fused=True)
        return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=schedule.momentum)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 … 1."""
        schedule = self.config.schedule
        if schedule.kind == "steps":
            return self.iteration / schedule.iterations
        return self.seconds / (60 * schedule.minutes)

    def learning_rate(self) -> float:
        """Of the coming iteration."""
        schedule, progress = self.config.schedule, min(1.0, self.progress)
        warm = min(1.0, (self.iteration + 1) / schedule.warmup)
        if schedule.kind == "steps":
            decay = 0.1 ** sum(progress >= milestone for milestone in schedule.milestones)
            return 1e-6 + (schedule.learning_rate * decay - 1e-6) * warm
        return schedule.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)

    def size(self) -> int:
        """Side of the pictures now."""
        sizes = self.config.schedule.sizes
        return sizes[min(len(sizes) - 1, int(self.progress * len(sizes)))]

    def step(self, pictures: Tensor, targets: list[tuple[Tensor, Tensor]]) -> Losses:
        """One iteration on pictures uint8 [B, S, S, 3]."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.network.train()
        batch = normalise(pictures.to(self.device))
        with torch.autocast(self.device, torch.bfloat16):
            logits, deltas = self.network(batch)
        anchors = torch.from_numpy(anchor_grid(tuple(pictures.shape[1:3]), self.spec).copy()).to(self.device)
        moved = [(boxes.to(self.device), kinds.to(self.device)) for boxes, kinds in targets]
        losses = detection_loss(logits, deltas, moved, anchors, self.spec, self.config.match, self.config.loss)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.iteration += 1
        self._average()
        return losses

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.schedule.ema, (1 + self.iteration) / (10 + self.iteration))
        mine, theirs = self.averaged.state_dict(), self.network.state_dict()
        floats = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [mine[key] for key in floats], [theirs[key].to(mine[key].dtype) for key in floats], 1 - decay
        )

    def run(self, folder: Path, validate: Any = None) -> None:
        """Train to the end, saving ``last.pt`` and appending to ``curve.jsonl`` in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        next_look = self.seconds + 60 * self.config.schedule.evaluate_minutes
        while self.progress < 1:
            size = self.size()
            loader = DataLoader(
                Examples(self.sources, self.weights, size, self.config, self.iteration),
                self.config.schedule.batch, collate_fn=collate, num_workers=self.workers,
                prefetch_factor=6 if self.workers else None,
            )  # fmt: skip
            started, first = time.monotonic(), self.iteration
            recent: list[Losses] = []
            for pictures, targets in loader:
                recent.append(self.step(pictures, targets))
                now = time.monotonic()
                self.seconds, started = self.seconds + now - started, now
                if self.iteration % 100 == 0:
                    self._say(folder, size, recent)
                    recent = []
                    self.save(folder / "last.pt")
                if validate is not None and self.seconds >= next_look:
                    next_look = self.seconds + 60 * self.config.schedule.evaluate_minutes
                    self._log(folder, {"ap50": validate(self.averaged)})
                    started = time.monotonic()
                if self.progress >= 1 or self.size() != size:
                    break
            del loader, first
        self.save(folder / "last.pt")
        if validate is not None:
            self._log(folder, {"ap50": validate(self.averaged)})

    def _say(self, folder: Path, size: int, recent: list[Losses]) -> None:
        means = {
            "classification": round(float(np.mean([losses.classification for losses in recent])), 4),
            "regression": round(float(np.mean([losses.regression for losses in recent])), 4),
            "matched": round(float(np.mean([losses.matched for losses in recent])), 1),
            "compensated": round(float(np.mean([losses.compensated for losses in recent])), 1),
        }
        self._log(folder, {"size": size, "learning_rate": round(self.learning_rate(), 7), **means})

    def _log(self, folder: Path, row: dict[str, Any]) -> None:
        line = json.dumps({"iteration": self.iteration, "minutes": round(self.seconds / 60, 2), **row})
        with (folder / "curve.jsonl").open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def save(self, path: Path) -> None:
        """Everything the run needs to go on."""
        state = {
            "network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(), "iteration": self.iteration, "seconds": self.seconds,
        }  # fmt: skip
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.seconds = state["iteration"], state["seconds"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a detector; goes on from OUT/last.pt where there is one."""
    parser = argparse.ArgumentParser(prog="acfd-stream train", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a TOML file as in model/configs")
    parser.add_argument("--data", type=Path, required=True, help="folder that the config's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the curve")
    parser.add_argument("--minutes", type=float, help="budget, in place of the config's")
    parser.add_argument("--workers", type=int, default=1, help="processes that augment")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    try:
        config = TrainConfig.load(options.config)
        if options.minutes:
            config = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, minutes=options.minutes))
        samples = read_coco(options.data / f"annotations/{config.validation}.json", options.data / "images")
        sources, weights = open_sources(config, options.data)
    except AcfdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    trainer = Trainer(config, sources, weights, options.device, options.workers)
    if (options.out / "last.pt").exists():
        trainer.load(options.out / "last.pt")

    def validate(network: Network) -> float:
        detect = TorchDetector(network, trainer.spec, DetectConfig(size=config.evaluate_size)).detect
        return round(evaluate(samples, detect).ap50, 4)

    trainer.run(options.out, validate)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
