"""The interface that sessions and Trackers need of a detector: one of their own, or a ``SharedEngine``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acfd_stream.checked import or_default, require
from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import StageSeconds
from acfd_stream.detect.runner import ModelSpec
from acfd_stream.errors import ConfigError
from acfd_stream.identity.embedder import Embedder
from acfd_stream.types import Detections, Picture

__all__ = ["Embedder", "Engine", "StageSeconds"]


def check_engine(detector: object, detect_config: DetectConfig | None) -> None:
    """Return if both can be arguments of one call; either may be None.

    Raises:
        ConfigError: one of them is of another type, or ``detector`` has a config of its own besides ``detect_config``.
    """
    or_default(detect_config, "detect_config", DetectConfig)
    if detector is None:
        return
    require(hasattr(detector, "detect_timed"), "detector", detector, "a Detector, as Detector.open returns it")
    if detect_config is not None:
        raise ConfigError("detect_config must be None with a detector, which has its own")


class Engine(Protocol):
    """Finds faces in pictures; implemented by ``Detector``. The result of a picture never depends on its batch."""

    @property
    def config(self) -> DetectConfig:
        """Sizes, thresholds and limits; ``batch`` is the preferred number of pictures per call."""

    @property
    def spec(self) -> ModelSpec:
        """Metadata of the model file."""

    @property
    def precision(self) -> str:
        """Arithmetic of the network: "int8", "bf16", "f16" or "f32"."""

    @property
    def description(self) -> str:
        """Runtime, device, precision and threads, for logs."""

    @property
    def device(self) -> str:
        """Memory in which pictures need no copy: "cpu" or "cuda"."""

    @property
    def concurrency(self) -> int:
        """Number of pictures that run in parallel, of one call or several; 1: one batch after the other."""

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """Faces of every picture, in order, with the seconds in every stage.

        Raises:
            ShapeError: the planes of a picture do not match its description.
            RunnerError: the runtime failed, or the engine is closed.
        """

    def close(self) -> None:
        """Free its resources; a second call does nothing."""
