"""Crops of faces to embeddings, on the CPU."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from acfd_stream.checked import require
from acfd_stream.config import available_cores, cache_dir
from acfd_stream.errors import RunnerError, ShapeError
from acfd_stream.identity.spec import EmbedderSpec, find_embedder, find_int8_embedder, read_embedder_spec
from acfd_stream.identity.views import CROP_SIDE
from acfd_stream.networks.compiled_cache import CompiledCache
from acfd_stream.networks.openvino_runtime import (
    RequestPool,
    compiled_network,
    cpu_settings,
    fill_type_table,
    has_bf16,
    import_openvino,
    translated,
    with_pixels,
)
from acfd_stream.networks.precision import choose_arithmetic, choose_file, digest
from acfd_stream.types import Closeable, FloatArray

_log = logging.getLogger(__name__)
_SIZE = (CROP_SIDE, CROP_SIDE)


class Embedder(Protocol):
    """Embeds crops of faces; implemented by ``FaceEmbedder``. Many sessions in many threads may share one."""

    @property
    def name(self) -> str:
        """Of the network."""

    @property
    def version(self) -> str:
        """Of the network."""

    @property
    def digest(self) -> str:
        """SHA-256 of its model file. Embeddings of two digests cannot be compared."""

    @property
    def precision(self) -> str:
        """Arithmetic of the network: "int8", "bf16" or "f32"."""

    @property
    def dimensions(self) -> int:
        """Numbers of an embedding."""

    @property
    def link_similarity(self) -> float:
        """Cosine from which two views count as one character, in (0, 1)."""

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Embeddings float32 [N, D] of crops, uint8 [N, 144, 144, 3]; see ``FaceEmbedder.embed``."""


class FaceEmbedder(Closeable):
    """Embeds crops of faces with one network. May be used from several threads at once.

    Crops of one character get embeddings whose cosine is high: ``link_similarity`` or more.

    Example:
        >>> with FaceEmbedder.open() as embedder:
        ...     embeddings = embedder.embed(crops)
    """

    def __init__(self, path: Path, spec: EmbedderSpec, model_digest: str) -> None:
        self.name, self.version, self.digest = spec.name, spec.version, model_digest
        self.dimensions, self.link_similarity = spec.dimensions, spec.link_similarity
        self._lock = threading.Lock()
        openvino = import_openvino()
        fill_type_table(openvino)
        with translated(f"model file {path}"):
            core = openvino.Core()
            self.precision = choose_arithmetic(path, "auto", has_bf16(core))
            self._pool: RequestPool | None = RequestPool(_compiled(openvino, core, path, spec, self.precision))
        _log.info("%s runs on openvino %s, cpu, %s", spec.name, openvino.__version__.split("-")[0], self.precision)

    @classmethod
    def open(cls, model: str | Path = "acfd-id", device: str = "auto") -> Self:
        """An embedder of a shipped network or of an ONNX file.

        Args:
            model: "acfd-id", or the path of a file that ends in ".onnx".
            device: "auto" or "cpu"; embedding always runs on the CPU.

        Raises:
            ConfigError: no such device.
            BackendUnavailable: OpenVINO is not installed.
            RunnerError: no such model, or its file is refused.
        """
        require(device in ("auto", "cpu"), "device", device, "auto or cpu")
        path = find_embedder(model)
        spec, chosen = read_embedder_spec(path), choose_file(path, find_int8_embedder(model), "auto")
        if chosen != path and read_embedder_spec(chosen) != spec:
            raise RunnerError(f"model file {chosen} was made of another {spec.name} than {path}; quantise it again")
        return cls(chosen, spec, digest(path))

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """The embeddings of crops; they do not depend on the other crops of a call.

        Args:
            crops: uint8 [N, 144, 144, 3] RGB: the square of 1.8 × the longer side of a face's box around its centre,
                black outside the picture.

        Returns:
            float32 [N, D], of unit length.

        Raises:
            ShapeError: ``crops`` is not of that kind.
            RunnerError: the runtime failed, or the embedder is closed.
        """
        crops = np.asarray(crops)
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (*_SIZE, 3):
            raise ShapeError(f"crops must be uint8 [N, {CROP_SIDE}, {CROP_SIDE}, 3], got {crops.dtype} {crops.shape}")
        with self._lock:
            pool = self._pool
        if pool is None:
            raise RunnerError(f"model {self.name} is closed")
        embeddings = np.empty((len(crops), self.dimensions), np.float32)
        with translated(f"model {self.name}"):
            pool.run(np.ascontiguousarray(crops), {"embeddings": embeddings}, self._check)
        lengths = np.sqrt((embeddings * embeddings).sum(axis=1, keepdims=True))
        if not np.isfinite(lengths).all() or not (lengths > 0).all():
            raise RunnerError(f"model {self.name} gives embeddings without a length: its weights are broken")
        return np.asarray(embeddings / lengths)

    def close(self) -> None:
        """Free the network; a second call does nothing."""
        with self._lock:
            self._pool = None

    def _check(self, name: str, shape: Any) -> None:
        if tuple(shape) != (1, self.dimensions):
            raise RunnerError(f"model {self.name} gives {name} {list(shape)} instead of [1, {self.dimensions}]")


def _compiled(openvino: Any, core: Any, path: Path, spec: EmbedderSpec, precision: str) -> Any:
    """The network for one crop, one thread per crop."""
    settings = cpu_settings(precision, available_cores())

    def prepared() -> Any:
        network = core.read_model(path)
        inputs = [name for port in network.inputs for name in port.get_names()]
        outputs = {name for port in network.outputs for name in port.get_names()}
        if inputs != ["images"] or "embeddings" not in outputs:
            raise RunnerError(
                f"model file {path} must take 'images' and give 'embeddings', "
                f"got {', '.join(inputs)} and {', '.join(sorted(outputs))}"
            )
        return with_pixels(network, _SIZE, spec.mean, spec.std)

    cpu = core.get_property("CPU", "FULL_DEVICE_NAME")
    key = (digest(path), openvino.__version__, cpu, settings, "embedder")
    return compiled_network(core, prepared, settings, CompiledCache(cache_dir()), key)
