"""Pictures in, faces out: letterbox, network, boxes, NMS, each picture by itself.

Every view of a picture (one, or one a scale) goes through all its steps on one thread, and as many
run at once as the runner has use for, so that preparing one overlaps with the network on another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from acfd_stream import ops
from acfd_stream.config import DetectConfig
from acfd_stream.detect.runner import ModelSpec, Runner, open_runner, read_spec
from acfd_stream.errors import RunnerError, ShapeError
from acfd_stream.ops.anchors import Letterbox, fit, fit_scale
from acfd_stream.types import Detections, FloatArray, Picture

StageSeconds = dict[str, float]
"""Stage → seconds: queue (waiting for a thread), preprocess, infer, decode_boxes, nms."""


@dataclass(frozen=True)
class ModelFile:
    """A model that comes with the package."""

    name: str
    path: Path
    spec: ModelSpec


@dataclass(frozen=True)
class _View:
    """What one scale of a picture gave, in display pixels."""

    boxes_xyxy: FloatArray  # [N, 4]
    scores: FloatArray  # [N]
    cut_score: float | None  # bound of what the cap on candidates cut off, if it did
    seconds: StageSeconds


class Detector:
    """A network and everything around it. May be used from several threads at once.

    Example:
        >>> with Detector.open("acfd-n") as detector:
        ...     detections = detector.detect(image)
    """

    def __init__(self, runner: Runner, config: DetectConfig | None = None) -> None:
        self.config = config or DetectConfig()
        self._runner = runner
        self._pool = ThreadPoolExecutor(runner.concurrency, thread_name_prefix="acfd-detect")

    @classmethod
    def open(
        cls, name_or_path: str | Path = "acfd-n", device: str = "auto", config: DetectConfig | None = None
    ) -> Detector:
        """A detector of a shipped model or of an ONNX file.

        Args:
            name_or_path: a name of ``models()``, or the path of a file that ends in ".onnx".
            device: "auto", "cpu" or "cuda".
            config: sizes, thresholds, caps and threads; the defaults if None.

        Raises:
            ConfigError: no such device.
            BackendUnavailable: the device was asked for by name and cannot be used.
            RunnerError: no such model, or its file is refused.
        """
        config = config or DetectConfig()
        return cls(open_runner(find_model(name_or_path), device, config), config)

    @property
    def spec(self) -> ModelSpec:
        """What the model file says of itself."""
        return self._runner.spec

    @property
    def description(self) -> str:
        """Runtime, device, precision and threads."""
        return self._runner.description

    @property
    def precision(self) -> str:
        """Arithmetic of the network, "f32" or "bf16", which the device decides; results depend on it a little."""
        return self._runner.precision

    @property
    def device(self) -> str:
        """Where the planes of pictures should lie, so that nothing has to be copied: "cpu" or "cuda"."""
        return "cpu"

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Faces of one picture.

        Args:
            image: uint8 [H, W, 3] RGB.

        Raises:
            ShapeError: ``image`` is not as said.
            RunnerError: the runtime failed, or the detector is closed.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ShapeError(f"image must be uint8 [H, W, 3] RGB, got {image.dtype} {list(image.shape)}")
        return self.detect_batch([Picture.from_rgb(image)])[0]

    def detect_batch(self, pictures: Sequence[Picture]) -> list[Detections]:
        """Faces of every picture, in order; sizes may differ, neighbours change nothing.

        Raises:
            ShapeError: the planes of a picture are not what it says.
            RunnerError: the runtime failed, or the detector is closed.
        """
        return [detections for detections, _ in self.detect_timed(pictures)]

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        """As ``detect_batch``, with the seconds each picture spent in every stage, summed over its scales."""
        called = time.perf_counter()
        views = [letterboxes(picture.display_size, self.config) for picture in pictures]
        jobs = [(picture, box) for picture, boxes in zip(pictures, views, strict=True) for box in boxes]
        try:
            pending = [self._pool.submit(self._see, *job, called) for job in jobs]
        except RuntimeError as error:  # what a closed pool raises
            raise RunnerError(f"model {self.spec.name} is closed") from error
        seen = iter([future.result() for future in pending])
        return [self._merged([next(seen) for _ in boxes]) for boxes in views]

    def close(self) -> None:
        """Free the network and its threads; a second call does nothing."""
        self._pool.shutdown(cancel_futures=True)
        self._runner.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _see(self, picture: Picture, view: Letterbox, called: float) -> _View:
        """One scale of one picture, from pixels to boxes."""
        begin = time.perf_counter()
        image = ops.letterbox(picture, view.content_size, view.network_size, self.spec.pad)
        prepared = time.perf_counter()
        scores, deltas = self._runner.run(image[None])
        inferred = time.perf_counter()
        found = ops.decode_anchors(
            scores[0],
            deltas[0],
            view.network_size,
            view.content_size,
            self.spec.anchors,
            self.config.score_threshold,
            self.config.candidates,
        )
        boxes = _clipped(view.to_display(found.boxes_xyxy), view.display_size)
        decoded = time.perf_counter()
        seconds = {
            "queue": begin - called,
            "preprocess": prepared - begin,
            "infer": inferred - prepared,
            "decode_boxes": decoded - inferred,
        }
        return _View(boxes, found.scores, float(found.scores[-1]) if found.is_truncated else None, seconds)

    def _merged(self, views: list[_View]) -> tuple[Detections, StageSeconds]:
        begin = time.perf_counter()
        found = ops.merge_scales(
            [(view.boxes_xyxy, view.scores) for view in views], self.config.nms_iou, self.config.faces
        )
        cuts = [view.cut_score for view in views if view.cut_score is not None]
        if cuts:
            found = replace(found, is_truncated=True, cut_score=max(found.cut_score, *cuts))
        seconds = {stage: sum(view.seconds[stage] for view in views) for stage in views[0].seconds}
        seconds["queue"] = min(view.seconds["queue"] for view in views)
        return found, seconds | {"nms": time.perf_counter() - begin}


def letterboxes(display_size: tuple[int, int], config: DetectConfig) -> list[Letterbox]:
    """The views that the network gets of a picture of ``display_size``: one, or one a scale."""
    if config.scales:
        return [fit_scale(display_size, scale) for scale in config.scales]
    return [fit(display_size, config.size)]


def device_for(device: str) -> str:
    """Where the network will run that ``Detector.open`` opens for ``device``, told before it is open: "cpu" or "cuda".

    A device that does not exist or cannot be used is refused by ``Detector.open``, not here.
    """
    return "cpu"


def models(folder: Path | None = None) -> list[ModelFile]:
    """The models in ``folder``, by name; those that come with the package if None.

    Raises:
        RunnerError: a file there is refused.
    """
    folder = folder or _weights_folder()
    return [ModelFile(path.stem, path, read_spec(path)) for path in sorted(folder.glob("*.onnx"))]


def find_model(name_or_path: str | Path) -> Path:
    """Path of a shipped model by its name, or of a file that ends in ".onnx".

    Raises:
        RunnerError: there is no such model; the message lists those there are.
    """
    path = Path(name_or_path)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise RunnerError(f"model file {path} does not exist")
        return path
    names = {found.stem: found for found in _weights_folder().glob("*.onnx")}
    if str(name_or_path) not in names:
        there_are = f"there is {', '.join(sorted(names))}" if names else "none is installed"
        raise RunnerError(f"no model {str(name_or_path)!r}: {there_are}; or give the path of an .onnx file")
    return names[str(name_or_path)]


def _weights_folder() -> Path:
    return Path(str(resources.files("acfd_stream.model"))) / "weights"


def _clipped(boxes_xyxy: FloatArray, display_size: tuple[int, int]) -> FloatArray:
    """Boxes with no corner outside the picture; float rounding may put one there by a hair."""
    height, width = display_size
    return np.clip(boxes_xyxy, 0, np.array([width, height, width, height], np.float32))
