"""An engine without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import StageSeconds
from acfd_stream.pipeline.costs import Costs
from acfd_stream.types import Detections, Picture

SIZE = (96, 128)
VIEW = (96, 128)
"""What a picture of SIZE is seen at with ``DetectConfig(size=128)``."""
DETECT = DetectConfig(size=128, batch=4)
WAIT_SECONDS = 10.0
"""Longest wait of a test for what must come at once."""


def picture(value: int, size: tuple[int, int] = SIZE) -> Picture:
    """A picture that the fake engine answers with ``value``."""
    return Picture.from_rgb(np.full((*size, 3), value, np.uint8))


def value_of(seen: tuple[Detections, StageSeconds]) -> int:
    return int(seen[0].boxes_xyxy[0, 0])


def flat_costs(
    seconds: float = 0.01, batches: Sequence[float] = (1.0, 0.6, 0.5, 0.4), slots: int = 1, beside: float = 1.0
) -> Costs:
    """Pictures of any size cost the same, and less the more there are at once."""
    return Costs(DETECT, {(VIEW,): seconds}, 0.0, batches, slots, beside)


class FakeEngine:
    """Answers a picture with a box at its brightness; what is darker than 1 is a fault of the picture."""

    spec: Any = None
    precision = "f32"
    description = "fake"
    device = "cpu"
    concurrency = 1

    def __init__(self, before: Callable[[list[int]], None] = lambda values: None) -> None:
        self.config = DETECT
        self.batches: list[list[int]] = []
        self._before = before

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        values = [int(one.planes[0].flat[0]) for one in pictures]
        self.batches.append(values)
        self._before(values)
        if 0 in values:
            raise ValueError("a black picture")
        scores = np.ones(1, np.float32)
        return [(Detections(np.full((1, 4), value, np.float32), scores), {"queue": 0.0}) for value in values]

    def close(self) -> None:
        """Nothing to free."""


class Latch:
    """Holds an engine up: ``entered`` is set while it waits, ``opened`` lets it and all later batches through."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, values: list[int]) -> None:
        self.entered.set()
        if not self.opened.wait(WAIT_SECONDS):
            raise TimeoutError("the test did not open the latch")
