"""Pictures in, faces out: letterbox, network, boxes, NMS; pictures do not affect each other.

``HostPath`` runs all steps on the CPU, ``DevicePath`` on a GPU. Their results differ only by the rounding inside the
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, overload

from acfd_stream.checked import or_default, require_min_score
from acfd_stream.config import DetectConfig, TrackConfig
from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.device_choice import device_for, open_network
from acfd_stream.detect.device_path import DevicePath
from acfd_stream.detect.host_path import HostPath
from acfd_stream.detect.images import Image, in_groups, picture_of
from acfd_stream.detect.runner import EngineFacts, ModelSpec, read_spec
from acfd_stream.detect.views import StageSeconds, letterboxes
from acfd_stream.networks.precision import precisions_of
from acfd_stream.networks.shipped import find_network, int8_variant_of, shipped_files
from acfd_stream.types import Closeable, Detections, Picture

__all__ = ["Detector", "ModelFile", "StageSeconds", "device_for", "find_model", "letterboxes", "models"]


@dataclass(frozen=True)
class ModelFile:
    """A model that comes with the package."""

    name: str
    path: Path
    spec: ModelSpec

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions in which a CPU can run it."""
        return precisions_of(self.path)


class Detector(Closeable):
    """Finds faces with one network. May be used from several threads at once.

    Example:
        >>> with Detector.open("acfd-n") as detector:
        ...     detections = detector.detect("frame.png")
    """

    spec: ModelSpec
    """The description in the model file."""
    facts: EngineFacts
    """Runtime, device and precision of the network, for logs and metrics."""
    concurrency: int
    """How many pictures it processes at once, of one call or of several; 1: one batch after the other."""

    def __init__(self, path: HostPath | DevicePath, config: DetectConfig) -> None:
        self.config, self._path = config, path
        self.spec, self.facts, self.concurrency = path.spec, path.facts, path.concurrency

    @classmethod
    def open(
        cls, name_or_path: str | Path = "acfd-n", device: str = "auto", config: DetectConfig | None = None
    ) -> Detector:
        """A detector of a shipped model or of an ONNX file.

        Args:
            name_or_path: a name of ``models()``, or the path of a file that ends in ".onnx".
            device: "auto", "cpu" or "cuda".
            config: sizes, thresholds, caps, threads and precision; the defaults if None.

        Raises:
            ConfigError: no such device, an argument of another type, or the model is not available in the requested
                precision.
            BackendUnavailable: the device was requested by name and cannot be used.
            RunnerError: no such model, or its file is refused.
        """
        config = or_default(config, "config", DetectConfig)
        opened = open_network(find_model(name_or_path), device, config, find_int8_variant(name_or_path))
        if isinstance(opened, GpuNetwork):
            return cls(DevicePath(opened), config)
        return cls(HostPath(opened, config, opened.for_latency(config.picture_threads)), config)

    @property
    def description(self) -> str:
        """Runtime, device, precision and threads."""
        return self.facts.description

    @property
    def precision(self) -> str:
        """Arithmetic of the network, which affects results slightly; see ``EngineFacts``."""
        return self.facts.precision

    @property
    def device(self) -> str:
        """The device on which planes of pictures need no copy: "cpu" or "cuda"."""
        return "cpu" if self.facts.device == "cpu" else "cuda"

    @overload  # a str is a Sequence, too
    def detect(self, image: Image, *, min_score: float = ...) -> Detections: ...  # type: ignore[overload-overlap]
    @overload
    def detect(self, image: Sequence[Image], *, min_score: float = ...) -> list[Detections]: ...

    def detect(
        self, image: Image | Sequence[Image], *, min_score: float = TrackConfig.start_score
    ) -> Detections | list[Detections]:
        """Faces of one picture, or of each picture of a list or tuple, in order.

        Args:
            image: path of a picture file (rotated as its EXIF data says), uint8 [H, W, 3] RGB, a PIL image (used as it
                is) or a Picture; or a list or tuple of these, of any size and kind.
            min_score: faces with a lower score are left out, [0, 1]; 0: all that ``config.score_threshold`` lets pass.

        Raises:
            ConfigError: ``min_score`` is out of its range.
            ShapeError: ``image``, or one of the list, is not of that kind.
            MediaError: a file cannot be read or decoded.
            RunnerError: the runtime failed, or the detector is closed.
        """
        require_min_score(min_score)
        if isinstance(image, list | tuple):
            groups = in_groups(image, self.config.batch)
            return [found.at_least(min_score) for group in groups for found in self.detect_batch(group)]
        return self.detect_batch([picture_of(cast("Image", image))])[0].at_least(min_score)

    def detect_batch(self, pictures: Sequence[Picture]) -> list[Detections]:
        """Faces of every picture, in order; sizes may differ, and pictures do not affect each other.

        Raises:
            ShapeError: the planes of a picture are not what it says.
            RunnerError: the runtime failed, or the detector is closed.
        """
        return [detections for detections, _ in self.detect_timed(pictures)]

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """As ``detect_batch``, with the seconds each picture spent in every stage, summed over its scales."""
        return self._path.detect(pictures)

    def close(self) -> None:
        """Free the network and its threads; a second call does nothing."""
        self._path.close()


def models(folder: Path | None = None) -> list[ModelFile]:
    """The models in ``folder``, by name; those that come with the package if None.

    Raises:
        RunnerError: a file there is refused.
    """
    return [ModelFile(path.stem, path, read_spec(path)) for path in sorted(shipped_files(folder))]


def find_model(name_or_path: str | Path) -> Path:
    """Path of a shipped model by its name, or of a file that ends in ".onnx".

    Raises:
        RunnerError: there is no such model; the message lists the installed ones.
    """
    return find_network(name_or_path, shipped_files(), "model")


def find_int8_variant(name_or_path: str | Path) -> Path | None:
    """The int8 variant of a shipped model, or None; a path means only that file."""
    return int8_variant_of(name_or_path, find_model)
