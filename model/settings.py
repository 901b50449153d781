"""The config of a training, read from TOML: every published number is a value here or in a file of ``configs/``.

A file can extend another, ``extends = "base.toml"``, and hold variants that change parts of it if they are requested
by name, ``[variants.full.network]``. Tables are merged key by key. Those that ``replaces`` names are replaced whole.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import reduce
from numbers import Real
from pathlib import Path
from typing import Any

from acfd_stream.checked import Checked, from_mapping, require
from acfd_stream.errors import ConfigError

from .augment import AugmentConfig
from .losses import LossConfig
from .matching import MatchConfig
from .network import NetworkConfig

SCHEDULES = ("steps", "cosine", "plateau", "budget")


@dataclass(frozen=True)
class ScheduleConfig(Checked):
    """Length, learning rate and picture sizes."""

    kind: str = "budget"  # "steps": as published; "cosine": over the iterations; "budget": cosine over the clock;
    # "plateau": the peak, then a cosine over the last of the iterations, whose number can be set while it runs
    optimizer: str = "adamw"  # or "sgd"
    learning_rate: float = 1e-3  # peak; the paper's SGD: 0.04 at batch 64
    weight_decay: float = 0.05  # the paper's SGD: 5e-4
    momentum: float = 0.9  # of SGD (paper)
    batch: int = 16  # pictures per iteration, over all processes
    minutes: float = 60.0  # of "budget"
    iterations: int = 210_000  # of all but "budget": 300 epochs of 45,000 pictures at batch 64
    decay: float = 0.3  # of "plateau": share of the iterations over which the rate falls
    backbone_rate: float = 1.0  # of the backbone, in learning rates
    frozen_stages: int = 0  # of a pretrained backbone: its stem and so many stages learn nothing; 0: all learn
    milestones: tuple[float, ...] = (200 / 300, 250 / 300, 280 / 300)  # of "steps", share of iterations (paper)
    warmup: int = 300  # iterations; the paper: 1000 from 1e-6
    sizes: tuple[int, ...] = (640,)  # sides of pictures over the course, each for an equal share
    ema: float = 0.999  # decay of the averaged weights, per iteration
    clip: float = 5.0  # largest norm of all gradients
    evaluate_minutes: float = 15.0  # between evaluations on the validation set
    evaluate_pictures: int = 0  # pictures between evaluations; 0: evaluate_minutes holds

    def _check(self) -> None:
        require(self.kind in SCHEDULES, "schedule.kind", self.kind, f"one of {', '.join(SCHEDULES)}")
        require(0 < self.learning_rate < math.inf, "schedule.learning_rate", self.learning_rate, "> 0")
        require(0 < self.decay <= 1, "schedule.decay", self.decay, "in (0, 1]")
        require(self.backbone_rate > 0, "schedule.backbone_rate", self.backbone_rate, "> 0")
        require(self.frozen_stages >= 0, "schedule.frozen_stages", self.frozen_stages, ">= 0")
        require(self.optimizer in ("adamw", "sgd"), "schedule.optimizer", self.optimizer, "adamw or sgd")
        require(self.batch >= 1, "schedule.batch", self.batch, ">= 1")
        require(self.iterations >= 1, "schedule.iterations", self.iterations, ">= 1")
        require(self.minutes > 0, "schedule.minutes", self.minutes, "> 0")
        require(self.evaluate_minutes > 0, "schedule.evaluate_minutes", self.evaluate_minutes, "> 0")
        require(self.evaluate_pictures >= 0, "schedule.evaluate_pictures", self.evaluate_pictures, ">= 0")
        require(self.warmup >= 1, "schedule.warmup", self.warmup, ">= 1")
        fits = bool(self.sizes) and all(size >= 32 and size % 32 == 0 for size in self.sizes)
        require(fits, "schedule.sizes", self.sizes, "multiples of 32")


@dataclass(frozen=True)
class DistillConfig(Checked):
    """Distillation from a large network; see ``distill``."""

    teacher: str = ""  # .pt or .safetensors of the large network; empty: no distillation
    config: str = ""  # the TOML file that it was trained with
    logits: float = 1.0  # weights of the parts against the ordinary loss
    deltas: float = 1.0
    features: float = 0.0

    def _check(self) -> None:
        require(bool(self.teacher) == bool(self.config), "distill", self.teacher, "a teacher and its config, or none")


@dataclass(frozen=True)
class GraftConfig(Checked):
    """Filters grafted from a second run; see ``grafting``."""

    peer: str = ""  # last.pt of a run that trains at the same time; empty: no grafting
    every: int = 1000  # iterations; an epoch in the source
    reach: float = 0.4  # A of eq. 8: α is in 0.5 ± A · π / 2
    slope: float = 500.0  # c of eq. 8

    def _check(self) -> None:
        require(self.every >= 1, "graft.every", self.every, ">= 1")
        require(0 <= self.reach * 3.1416 / 2 <= 1, "graft.reach", self.reach, "in [0, 0.63]")


@dataclass(frozen=True)
class TrainConfig(Checked):
    """One training; ``data`` rows: kind (see ``datasets.open_sources``), weight, and the kind's own keys."""

    name: str
    data: list[dict[str, Any]]
    validation: str | dict[str, str]  # see ``datasets.read_set``
    network: NetworkConfig = field(default_factory=NetworkConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    graft: GraftConfig = field(default_factory=GraftConfig)
    evaluate_size: int = 480
    seed: int = 0

    def _check(self) -> None:
        is_table = isinstance(self.data, list) and all(isinstance(row, dict) for row in self.data)
        require(is_table, "data", self.data, "tables, each headed [[data]]")
        require(isinstance(self.validation, str | dict), "validation", self.validation, "a name or a table")
        for row in self.data:
            require(isinstance(row.get("weight", 0), Real), "weight of data", row.get("weight"), "a number")

    @classmethod
    def load(cls, path: Path, variant: str | None = None) -> TrainConfig:
        """The config of a TOML file, with the tables of ``variants.VARIANT`` over it; unknown keys are errors.

        Raises:
            ConfigError: the file, or one it extends, cannot be read, or a setting is unknown or out of range.
        """
        table = read_table(path)
        variants = table.pop("variants", {})
        if variant is not None:
            if variant not in variants:
                raise ConfigError(f"{path}: has no variant {variant!r}; it has {', '.join(sorted(variants)) or 'none'}")
            table = merged(table, variants[variant])
        table = _without_replaces(table)
        for name in {part.name for part in fields(cls) if part.default_factory is not MISSING} & set(table):
            require(isinstance(table[name], dict), name, table[name], f"a table, headed [{name}]")
        table["network"] = NetworkConfig.from_table(table.get("network", {}))
        for part in fields(cls):
            if part.name != "network" and part.default_factory is not MISSING:
                own = table.get(part.name, {}).items()
                values = {name: tuple(value) if isinstance(value, list) else value for name, value in own}
                table[part.name] = from_mapping(part.default_factory, values)
        missing = sorted({"name", "data", "validation"} - set(table))
        if missing:
            raise ConfigError(f"{path}: lacks {', '.join(missing)}")
        return from_mapping(cls, table)


def read_table(path: Path) -> dict[str, Any]:
    """The tables of a TOML file merged over those of the file that it extends."""
    chain: dict[Path, dict[str, Any]] = {}
    while path not in chain:
        try:
            chain[path] = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
        base = chain[path].pop("extends", None)
        if base is None:
            return reduce(merged, reversed(chain.values()))
        require(isinstance(base, str), "extends", base, "the name of a TOML file")
        path = (path.parent / base).resolve()
    raise ConfigError(f"{path}: extends itself")


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of both; of two values, that of ``above``."""
    replaced = above.get("replaces", [])
    result = {key: value for key, value in below.items() if key not in replaced}
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def _without_replaces(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_replaces(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if key != "replaces"
    }
