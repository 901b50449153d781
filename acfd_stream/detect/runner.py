"""The interface of a network: a description from its file, and a runner from pictures to scores and deltas.

A model file describes itself in its metadata. ``ModelSpec`` is read and checked before any runtime is loaded, in the
same way for every runner.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import RunnerError, ShapeError
from acfd_stream.networks.model_file import read_metadata
from acfd_stream.ops.anchors import ALIGNMENT, AnchorSpec
from acfd_stream.types import FloatArray

METADATA_KEY = "acfd_stream"
FORMAT = 1
DEVICES = ("auto", "cpu", "cuda")
COMPILED_SHAPES = 8
"""Most compiled picture sizes of a runner; the least recently used is removed first."""
MOST_LEVELS = 16
"""Feature levels that a model may have; ACFD has 6."""


_Rule = tuple[Callable[[Any], bool], str]
"""Whether a value of the metadata is right, and what is allowed."""


def _number(highest: float) -> _Rule:
    return lambda value: isinstance(value, int | float) and 0 < value <= highest, f"a number in (0, {highest}]"


def _numbers(count: int, lowest: float, highest: float) -> _Rule:
    def are_right(values: Any) -> bool:
        is_list = isinstance(values, list) and len(values) == count
        return is_list and all(isinstance(value, int | float) and lowest <= value <= highest for value in values)

    return are_right, f"{count} numbers in [{lowest}, {highest}]"


def _are_strides(values: Any) -> bool:
    is_list = isinstance(values, list) and 1 <= len(values) <= MOST_LEVELS
    return is_list and all(isinstance(value, int) and 1 <= value <= 4096 for value in values)


def _are_names(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(name, str) for name in values)


_TEXT: _Rule = (lambda value: isinstance(value, str) and value.isprintable(), "a line of text")
_RULES: Mapping[str, _Rule] = {
    "name": _TEXT,
    "version": _TEXT,
    "strides": (_are_strides, f"a list of at most {MOST_LEVELS} whole numbers in 1 … 4096"),
    "anchor_scale": _number(64.0),
    "variances": _numbers(2, 1e-6, 10.0),
    "mean": _numbers(3, 0.0, 1e6),
    "std": _numbers(3, 1e-3, 1e6),
    "pad": _numbers(3, 0, 255),
    "size": _number(4096.0),
    "score_threshold": _number(1.0),
    "classes": (_are_names, "a list of names"),
    "training_data": _TEXT,
    "date": _TEXT,
}


@dataclass(frozen=True)
class ModelSpec:
    """The description in a model file: all that the server needs from the trainer."""

    name: str
    version: str
    anchors: AnchorSpec
    mean: tuple[float, float, float]  # RGB, 0 … 255
    std: tuple[float, float, float]  # RGB, > 0
    pad: tuple[int, int, int]  # RGB of the letterbox's padding
    size: int  # longer side it was trained for, pixels
    score_threshold: float  # in [0, 1]
    classes: tuple[str, ...]
    training_data: str
    date: str

    @classmethod
    def from_metadata(cls, values: Mapping[str, Any]) -> ModelSpec:
        """A checked spec.

        Args:
            values: the parsed JSON of the metadata entry ``acfd_stream``.

        Raises:
            ValueError: an entry is missing or outside its range; the message names it.
        """
        if values.get("format") != FORMAT:
            raise ValueError(f"format must be {FORMAT}, got {values.get('format')!r}")
        missing = sorted(set(_RULES) - set(values))
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        for name, (is_right, allowed) in _RULES.items():
            if not is_right(values[name]):
                raise ValueError(f"{name} must be {allowed}, got {values[name]!r}")
        mean, std, variances = (tuple(map(float, values[name])) for name in ("mean", "std", "variances"))
        red, green, blue = map(round, values["pad"])
        return cls(
            name=values["name"],
            version=values["version"],
            anchors=AnchorSpec(tuple(values["strides"]), float(values["anchor_scale"]), (variances[0], variances[1])),
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            pad=(red, green, blue),
            size=int(values["size"]),
            score_threshold=float(values["score_threshold"]),
            classes=tuple(values["classes"]),
            training_data=values["training_data"],
            date=values["date"],
        )


@dataclass(frozen=True)
class EngineFacts:
    """Runtime, device and precision of a network, for logs and metrics."""

    backend: str  # "openvino", "tensorrt" or "onnxruntime"
    precision: str  # "f32", "bf16", "f16" or "int8"
    version: str  # of the backend
    device: str = "cpu"  # or the driver's name of the GPU
    sm: str = ""  # compute capability of the GPU, "9.0"
    detail: str = ""  # the end of the description: "2 threads"
    is_fallback: bool = False  # there is a GPU, and it cannot be used

    @property
    def trt(self) -> str:
        """Version of TensorRT if that is the backend, else ""."""
        return self.version if self.backend == "tensorrt" else ""

    @property
    def description(self) -> str:
        """All of it in one line."""
        device = f"{self.device} (sm {self.sm})" if self.sm else self.device
        return ", ".join(filter(None, (f"{self.backend} {self.version}", device, self.precision, self.detail)))


class Runner(Protocol):
    """A network on a device. ``run`` may be called from several threads at once."""

    spec: ModelSpec
    """The description in the model file."""
    facts: EngineFacts
    """Runtime, device, precision and threads; scores differ a little between precisions."""
    concurrency: int
    """How many calls of ``run`` at once keep the device busy, >= 1."""

    def run(self, images: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Scores and deltas of every anchor; pictures of a batch do not affect each other.

        Args:
            images: uint8 [B, H, W, 3] RGB, H and W multiples of 32.

        Returns:
            scores float32 [B, A] in [0, 1] and deltas float32 [B, A, 4].

        Raises:
            ShapeError: ``images`` is not of that kind.
            RunnerError: the runtime failed, or the runner is closed.
        """

    def for_latency(self, picture_threads: int) -> Runner | None:
        """A runner of the same network in which ``picture_threads`` threads share a picture; None: use this one."""

    def close(self) -> None:
        """Free the device; a second call does nothing."""


def read_spec(path: Path) -> ModelSpec:
    """The checked spec of the model file at ``path``.

    Raises:
        RunnerError: no such file, no ONNX model, or its description is missing or wrong.
    """
    text = read_metadata(path).get(METADATA_KEY)
    if text is None:
        raise RunnerError(
            f"model file {path} does not describe itself: metadata entry {METADATA_KEY!r} is missing; "
            "export it with `acfd-stream export`"
        )
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"it must be a JSON object, got {type(values).__name__}")
        return ModelSpec.from_metadata(values)
    except (TypeError, ValueError) as error:
        raise RunnerError(f"model file {path}: metadata entry {METADATA_KEY!r} is refused: {error}") from error


def check_interface(path: Path, inputs: Collection[str], outputs: Collection[str]) -> None:
    """Raise RunnerError unless a network has the inputs and outputs of our models."""
    if list(inputs) != ["images"] or not {"scores", "deltas"} <= set(outputs):
        raise RunnerError(
            f"model file {path} must take 'images' and give 'scores' and 'deltas', "
            f"got {', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}"
        )


def check_output(name: str, shape: Sequence[int], anchors: int) -> None:
    """Raise RunnerError unless output ``name`` of a network, "scores" or "deltas", has a row for every anchor."""
    if tuple(shape[1:]) != ((anchors,) if name == "scores" else (anchors, 4)):
        raise RunnerError(
            f"the network gives {name} {[1, *shape[1:]]} where the strides that its file names have {anchors} anchors"
        )


def check_images(images: NDArray[np.uint8]) -> tuple[int, int]:
    """(height, width) of ``images``.

    Raises:
        ShapeError: they are not what ``Runner.run`` takes.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ShapeError(f"images must be uint8 [B, H, W, 3], got {images.dtype} {list(images.shape)}")
    height, width = images.shape[1:3]
    if min(height, width) < ALIGNMENT or height % ALIGNMENT or width % ALIGNMENT:
        raise ShapeError(f"images must be a multiple of {ALIGNMENT} pixels high and wide, got {height}×{width}")
    return height, width


def check_finite(name: str, scores: FloatArray, deltas: FloatArray) -> None:
    """Raise RunnerError unless the outputs of the network ``name`` are finite."""
    if not (np.isfinite(scores).all() and np.isfinite(deltas).all()):
        raise RunnerError(f"model {name} gives numbers that are not finite: its weights are broken")
