"""The detector's network on the CPU by OpenVINO.

A picture is always one request of batch 1, so its scores do not depend on the other pictures of a batch. They do not
depend on the number of threads either, to the last bit: each thread computes complete outputs.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from acfd_stream.config import DetectConfig, available_cores, cache_dir
from acfd_stream.detect.runner import (
    COMPILED_SHAPES,
    EngineFacts,
    ModelSpec,
    check_finite,
    check_images,
    check_interface,
    check_output,
    read_spec,
)
from acfd_stream.errors import RunnerError
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
from acfd_stream.networks.precision import choose_arithmetic, choose_file
from acfd_stream.ops.anchors import anchor_count
from acfd_stream.types import FloatArray

_log = logging.getLogger(__name__)


class OpenVinoRunner:
    """A ``Runner`` on the CPU. Every picture size is compiled once, when it first occurs.

    Args:
        path: the model file.
        spec: its description.
        config: threads and precision.
        picture_threads: threads per picture; ``threads / picture_threads`` pictures run at once.
    """

    def __init__(self, path: Path, spec: ModelSpec, config: DetectConfig, picture_threads: int = 1) -> None:
        self.spec = spec
        cores = config.threads or available_cores()
        self._picture_threads = min(picture_threads, cores)
        self.concurrency = cores // self._picture_threads
        self._path, self._config = path, config
        self._lock = threading.Lock()
        self._compiling = threading.Lock()  # one size at a time; known sizes keep running
        self._shapes: LRUCache[tuple[int, int], RequestPool] = LRUCache(COMPILED_SHAPES)
        openvino = import_openvino()
        fill_type_table(openvino)
        with translated(f"model file {path}"):
            self._core = openvino.Core()
            self._precision = choose_arithmetic(path, config.precision, has_bf16(self._core))
            cpu = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        self._cache = CompiledCache(cache_dir())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._cache_key = (digest, openvino.__version__, cpu, self._settings())
        self._model: Any = None  # read on first use; not needed if every size is in the cache
        if self._cache.load("interface", digest, openvino.__version__) is None:
            self._check_interface()
            self._cache.store(b"", "interface", digest, openvino.__version__)
        threads = f"{self.concurrency} thread{'s' if self.concurrency > 1 else ''}"
        self.facts = EngineFacts("openvino", self._precision, openvino.__version__.split("-")[0], detail=threads)

    def for_latency(self, picture_threads: int) -> OpenVinoRunner | None:
        """See ``Runner.for_latency``."""
        if min(picture_threads, self.concurrency) <= 1:
            return None
        return OpenVinoRunner(self._path, self.spec, self._config, picture_threads)

    def run(self, images: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Scores and deltas of every anchor; see ``Runner.run``."""
        height, width = check_images(images)
        anchors = anchor_count((height, width), self.spec.anchors)
        scores = np.empty((len(images), anchors), np.float32)
        deltas = np.empty((len(images), anchors, 4), np.float32)
        shape = self._shape((height, width))
        with translated(f"model {self.spec.name} at {height}×{width}"):
            shape.run(
                np.ascontiguousarray(images),
                {"scores": scores, "deltas": deltas},
                lambda name, given: check_output(name, given, anchors),
            )
        check_finite(self.spec.name, scores, deltas)
        return scores, deltas

    def close(self) -> None:
        """Free the compiled networks; a second call does nothing."""
        with self._compiling, self._lock:
            self._shapes.clear()
            self._core = self._model = None

    def _shape(self, size: tuple[int, int]) -> RequestPool:
        if (shape := self._known(size)) is not None:
            return shape
        with self._compiling:
            if (shape := self._known(size)) is not None:
                return shape
            with translated(f"model {self.spec.name} at {size[0]}×{size[1]}"):
                shape = RequestPool(self._compiled(size))
            _log.debug("compiled %s for %d×%d", self.spec.name, *size)
            with self._lock:
                if self._core is not None:
                    self._shapes[size] = shape
            return shape

    def _known(self, size: tuple[int, int]) -> RequestPool | None:
        """The network compiled for ``size``, or None; counts as a use of it."""
        with self._lock:
            if self._core is None:
                raise RunnerError(f"model {self.spec.name} is closed")
            return self._shapes.get(size)

    def _settings(self) -> dict[str, Any]:
        return cpu_settings(self._precision, self.concurrency, self._picture_threads)

    def _compiled(self, size: tuple[int, int]) -> Any:
        """The network compiled for ``size``, from the disk cache if it is there."""

        def prepared() -> Any:
            return with_pixels(self._network().clone(), size, self.spec.mean, self.spec.std)

        return compiled_network(self._core, prepared, self._settings(), self._cache, (*self._cache_key, size))

    def _network(self) -> Any:
        """The file's network, read once."""
        if self._model is None:
            with translated(f"model file {self._path}"):
                self._model = self._core.read_model(self._path)
        return self._model

    def _check_interface(self) -> None:
        network = self._network()
        inputs = [name for port in network.inputs for name in port.get_names()]
        outputs = [name for port in network.outputs for name in port.get_names()]
        check_interface(self._path, inputs, outputs)


def open_openvino(path: Path, spec: ModelSpec, config: DetectConfig, int8_path: Path | None) -> OpenVinoRunner:
    """The network of the model file, or of its int8 file where that is requested or faster.

    Raises:
        ConfigError: the model is not available in the requested precision.
        BackendUnavailable: OpenVINO is not installed, or the CPU lacks the requested precision.
        RunnerError: OpenVINO refuses the file, or the int8 file was made of another model.
    """
    chosen = choose_file(path, int8_path, config.precision)
    if chosen != path and read_spec(chosen) != spec:
        raise RunnerError(
            f"model file {chosen} was made of another {spec.name} than {path}; "
            "run `python -m acfd_stream.model.quantise_cpu` again"
        )
    return OpenVinoRunner(chosen, spec, config)
