"""Networks on the CPU by OpenVINO; the only file that imports it.

A picture is always one request of batch 1, so its scores do not depend on the other pictures of a batch. They do not
depend on the number of threads either, to the last bit: each thread computes complete outputs.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from acfd_stream.config import DetectConfig, available_cores, cache_dir
from acfd_stream.detect.compiled_cache import CompiledCache
from acfd_stream.detect.precision import choose_arithmetic, choose_file
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
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import anchor_count
from acfd_stream.types import FloatArray

_log = logging.getLogger(__name__)
_CONVERTER = "openvino.tools.ovc"


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
        self._shapes: LRUCache[tuple[int, int], _CompiledShape] = LRUCache(COMPILED_SHAPES)
        openvino = import_openvino()
        _fill_type_table(openvino)
        with _translated(f"model file {path}"):
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
        with _translated(f"model {self.spec.name} at {height}×{width}"):
            shape.run(np.ascontiguousarray(images), scores, deltas)
        check_finite(self.spec.name, scores, deltas)
        return scores, deltas

    def close(self) -> None:
        """Free the compiled networks; a second call does nothing."""
        with self._compiling, self._lock:
            self._shapes.clear()
            self._core = self._model = None

    def _shape(self, size: tuple[int, int]) -> _CompiledShape:
        if (shape := self._known(size)) is not None:
            return shape
        with self._compiling:
            if (shape := self._known(size)) is not None:
                return shape
            with _translated(f"model {self.spec.name} at {size[0]}×{size[1]}"):
                shape = _CompiledShape(self._compiled(size))
            _log.debug("compiled %s for %d×%d", self.spec.name, *size)
            with self._lock:
                if self._core is not None:
                    self._shapes[size] = shape
            return shape

    def _known(self, size: tuple[int, int]) -> _CompiledShape | None:
        """The network compiled for ``size``, or None; counts as a use of it."""
        with self._lock:
            if self._core is None:
                raise RunnerError(f"model {self.spec.name} is closed")
            return self._shapes.get(size)

    def _settings(self) -> dict[str, Any]:
        return {
            "INFERENCE_PRECISION_HINT": "bf16" if self._precision == "bf16" else "f32",  # of layers that are not int8
            "NUM_STREAMS": self.concurrency,
            "INFERENCE_NUM_THREADS": self.concurrency * self._picture_threads,
            "ENABLE_CPU_PINNING": False,  # decoding shares these cores
        }

    def _compiled(self, size: tuple[int, int]) -> Any:
        """The network compiled for ``size``, from the disk cache if it is there."""
        blob = self._cache.load(*self._cache_key, size)
        if blob is not None:
            try:
                return self._core.import_model(io.BytesIO(blob), "CPU", self._settings())
            except RuntimeError as error:
                _log.debug("compiled %s for %d×%d is refused, compiling again: %s", self.spec.name, *size, error)
        compiled = self._core.compile_model(self._prepared(size), "CPU", self._settings())
        target = io.BytesIO()
        compiled.export_model(target)
        self._cache.store(target.getvalue(), *self._cache_key, size)
        return compiled

    def _prepared(self, size: tuple[int, int]) -> Any:
        """The network of one size, its input uint8 [1, H, W, 3] and normalised inside."""
        openvino = import_openvino()
        model = self._network().clone()
        model.reshape({"images": [1, 3, *size]})
        steps = openvino.preprocess.PrePostProcessor(model)
        picture = steps.input("images")
        picture.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        picture.model().set_layout(openvino.Layout("NCHW"))
        picture.preprocess().convert_element_type(openvino.Type.f32)
        picture.preprocess().mean(list(self.spec.mean)).scale(list(self.spec.std))
        return steps.build()

    def _network(self) -> Any:
        """The file's network, read once."""
        if self._model is None:
            with _translated(f"model file {self._path}"):
                self._model = self._core.read_model(self._path)
        return self._model

    def _check_interface(self) -> None:
        network = self._network()
        inputs = [name for port in network.inputs for name in port.get_names()]
        outputs = [name for port in network.outputs for name in port.get_names()]
        check_interface(self._path, inputs, outputs)


class _CompiledShape:
    """A network compiled for one picture size, with a pool of requests."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def run(self, images: NDArray[np.uint8], scores: FloatArray, deltas: FloatArray) -> None:
        """Fill ``scores`` and ``deltas``; all pictures run at once."""
        requests = [self._request() for _ in images]
        try:
            for request, image in zip(requests, images, strict=True):
                request.start_async({"images": image[None]}, share_inputs=True)
        finally:
            for request in requests:
                request.wait()
        for index, request in enumerate(requests):
            for name, target in (("scores", scores), ("deltas", deltas)):
                given = request.get_tensor(name).data
                check_output(name, given.shape, target.shape[1])
                target[index] = given[0]
            self._idle.put(request)

    def _request(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._compiled.create_infer_request()


def has_bf16(core: Any) -> bool:
    """Whether the CPU multiplies bf16 natively (AMX or AVX512-BF16).

    OpenVINO's default precision tells. Its list of capabilities also names bf16 where it is only simulated, which is
    slower than f32. Measured on a CPU with AVX512-BF16 and no AMX, a half-trained
    acfd-n at 480×640: half the CPU time of f32, scores moved by at most 0.006.
    """
    default = core.get_property("CPU", "INFERENCE_PRECISION_HINT")
    return bool(default == import_openvino().Type.bf16)


def _fill_type_table(openvino: Any) -> None:
    """Initialise OpenVINO's table of element types before a second thread exists, to avoid a deadlock.

    Its first use initialises a C++ static and releases the interpreter's lock meanwhile. A second thread that uses the
    same static then waits for it while it holds the lock, and the first thread waits for the lock.
    """
    for element_type in (openvino.Type.u8, openvino.Type.f32):
        element_type.to_dtype()


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


def import_openvino() -> Any:
    """The module ``openvino``; a BackendUnavailable where it is not installed."""
    try:
        with _without_converter():
            import openvino
    except ImportError as error:
        raise BackendUnavailable(f"openvino cannot be loaded ({error}); run `pip install openvino`") from error
    if not hasattr(openvino, "convert_model"):
        openvino.convert_model = _convert_model
    return openvino


@contextmanager
def _without_converter() -> Iterator[None]:
    """Load OpenVINO without its converter for other frameworks, which takes as long to load as all the rest."""
    if {"openvino", _CONVERTER} & sys.modules.keys():
        yield
        return
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # makes its import fail
    try:
        yield
    finally:
        sys.modules.pop(_CONVERTER, None)


def _convert_model(*arguments: Any, **options: Any) -> Any:
    """``openvino.convert_model``, loaded on first use for other code in this process."""
    return importlib.import_module(_CONVERTER).convert_model(*arguments, **options)


@contextmanager
def _translated(label: str) -> Iterator[None]:
    """Turn OpenVINO's RuntimeErrors into a RunnerError with their last line, which names the cause."""
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RunnerError(f"{label}: OpenVINO failed: {lines[-1] if lines else type(error).__name__}") from error
