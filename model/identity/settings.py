"""The config of an embedding's training, read from TOML."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from acfd_stream.checked import Checked, from_mapping, require
from acfd_stream.errors import ConfigError

from ..settings import read_table
from .losses import DistributionConfig, MarginConfig
from .network import EmbedderConfig


@dataclass(frozen=True)
class IdentitySchedule(Checked):
    """Length, learning rate and batches."""

    batch: int = 64  # views
    views: int = 4  # of a character in a batch
    neighbours: int = 4  # characters of one show in a batch, drawn together: hard pairs
    iterations: int = 4000
    looked_at: int = 160  # batches that the first linear layer is computed from
    warmup: int = 100
    learning_rate: float = 1e-3  # peak; falls by a cosine
    backbone_rate: float = 0.3  # of the backbone, relative to that of the layers after it
    weight_decay: float = 0.05
    frozen_stages: int = 4  # the stem and that many of the backbone's stages keep their weights
    frozen_depthwise: bool = True  # so do the other stages' kernels over positions: a quarter faster
    ema: float = 0.998
    clip: float = 5.0  # most norm of the gradient
    hard: float = 0.5  # share of hard views, see ``augment``

    def _check(self) -> None:
        self._require_least(1, "batch", "views", "neighbours", "iterations", "looked_at", "warmup")
        self._require_positive("learning_rate", "backbone_rate", "clip")
        require(self.batch % (self.views * self.neighbours) == 0, "schedule.batch", self.batch, "whole groups")
        require(0 <= self.frozen_stages <= 7, "schedule.frozen_stages", self.frozen_stages, "in 0 … 7")
        require(0 <= self.ema < 1, "schedule.ema", self.ema, "in [0, 1)")
        require(0 <= self.hard <= 1, "schedule.hard", self.hard, "in [0, 1]")
        require(0 <= self.weight_decay < math.inf, "schedule.weight_decay", self.weight_decay, ">= 0")


@dataclass(frozen=True)
class IdentityConfig(Checked):
    """One training; ``data`` rows: kind (see ``sources.open_crops``), weight, and the kind's own keys."""

    name: str
    data: list[dict[str, Any]]
    left_out: tuple[str, ...] = ()  # shows that are judged on instead of learned from
    network: EmbedderConfig = field(default_factory=EmbedderConfig)
    margin: MarginConfig = field(default_factory=MarginConfig)
    distribution: DistributionConfig = field(default_factory=DistributionConfig)
    schedule: IdentitySchedule = field(default_factory=IdentitySchedule)
    detector: str = ""  # weights of a detector, from the working folder; empty: the backbone begins with ImageNet's
    detector_share: float = 0.5  # how far the backbone begins on the way from ImageNet's weights to the detector's
    noisy: float = 0.5  # weight of the loss of crops whose name may be wrong
    seed: int = 0

    def _check(self) -> None:
        is_table = isinstance(self.data, list) and all(isinstance(row, dict) for row in self.data)
        require(is_table and bool(self.data), "data", self.data, "tables, each headed [[data]]")
        require(0 <= self.detector_share <= 1, "detector_share", self.detector_share, "in [0, 1]")
        require(0 <= self.noisy <= 1, "noisy", self.noisy, "in [0, 1]")

    @classmethod
    def load(cls, path: Path) -> IdentityConfig:
        """The config of a TOML file; unknown keys are errors.

        Raises:
            ConfigError: the file cannot be read, or a setting is unknown or out of range.
        """
        table = read_table(path)
        for part, kind in PARTS.items():
            require(isinstance(table.get(part, {}), dict), part, table.get(part), f"a table, headed [{part}]")
            table[part] = from_mapping(kind, table.get(part, {}))
        missing = sorted({"name", "data"} - set(table))
        if missing:
            raise ConfigError(f"{path}: lacks {', '.join(missing)}")
        known = {part.name for part in fields(cls)}
        if isinstance(table.get("left_out"), list) and "left_out" in known:
            table["left_out"] = tuple(table["left_out"])
        return from_mapping(cls, table)


PARTS: dict[str, type[Any]] = {
    "network": EmbedderConfig,
    "margin": MarginConfig,
    "distribution": DistributionConfig,
    "schedule": IdentitySchedule,
}
