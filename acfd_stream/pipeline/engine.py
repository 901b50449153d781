"""What a session asks of whoever finds the faces: a detector of its own, or a lane of one that many share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import StageSeconds
from acfd_stream.detect.runner import ModelSpec
from acfd_stream.types import Detections, Picture

__all__ = ["Engine", "StageSeconds"]


class Engine(Protocol):
    """Pictures in, faces out; ``Detector`` is one. Results depend on a picture alone, never on its neighbours."""

    @property
    def config(self) -> DetectConfig:
        """Sizes, thresholds and caps; ``batch`` is how many pictures it likes to see at once."""

    @property
    def spec(self) -> ModelSpec:
        """What the model file says of itself."""

    @property
    def precision(self) -> str:
        """Arithmetic of the network: "int8", "bf16", "f16" or "f32"."""

    @property
    def description(self) -> str:
        """Runtime, device, precision and threads, for logs."""

    @property
    def device(self) -> str:
        """Where the planes of pictures should lie, so that nothing has to be copied: "cpu" or "cuda"."""

    @property
    def concurrency(self) -> int:
        """How many pictures it looks at side by side, of one call or of several; 1: one batch after the other."""

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """Faces of every picture, in order, with the seconds it spent in every stage.

        Raises:
            ShapeError: the planes of a picture are not what it says.
            RunnerError: the runtime failed, or the engine is closed.
        """

    def close(self) -> None:
        """Free it; a second call does nothing."""
