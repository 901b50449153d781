"""TensorRT engines, from the cache or built from the model file; ``tensorrt_runner`` lists how versions differ."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from acfd_stream.detect.engine_cache import EngineCache, EngineKey
from acfd_stream.detect.half_graph import half_model
from acfd_stream.detect.runner import EngineFacts, ModelSpec, check_interface
from acfd_stream.errors import BackendUnavailable, RunnerError

_log = logging.getLogger(__name__)

WORKSPACE_BYTES = 4 * 2**30
"""Most scratch memory of a layer."""
_PROGRESS_STEPS = 5  # log lines of one build


class EngineMaker:
    """Makes the engines of one model on one GPU. For one thread at a time.

    Args:
        trt: the module.
        path: the model file.
        spec: its description.
        facts: version of TensorRT, GPU and precision.
        cache: the cache of engines.

    Raises:
        RunnerError: TensorRT cannot start.
    """

    def __init__(self, trt: Any, path: Path, spec: ModelSpec, facts: EngineFacts, cache: EngineCache) -> None:
        self._trt, self._path, self._spec, self._facts, self._cache = trt, path, spec, facts, cache
        self._gpu = f"{facts.device} {facts.sm}"
        self._log = make_logger(trt)
        try:
            self._runtime: Any = trt.Runtime(self._log)
        except TypeError as error:  # raised by the bindings if the library returns nothing
            raise self.failure("start") from error

    def failure(self, label: str) -> RunnerError:
        """The last error that TensorRT logged, as a RunnerError."""
        return RunnerError(f"model {self._spec.name} at {label}: TensorRT failed: {self._log.last_error}")

    def engine(self, size: tuple[int, int], batches: tuple[int, ...]) -> Any:
        """The engine of one size for all of ``batches``, from the cache, or built.

        Raises:
            BackendUnavailable: it must be built, and onnx is not installed.
            RunnerError: TensorRT refuses the model or cannot build it.
        """
        facts = self._facts
        key = EngineKey.of_file(self._path, facts.version, self._gpu, facts.precision, size, batches)
        engine = self._loaded(self._cache.load(key))
        if engine is not None:
            return engine
        with self._cache.building(key):
            engine = self._loaded(self._cache.load(key))  # another process may have built it meanwhile
            if engine is None:
                data = self._built(size, batches)
                self._cache.store(data, key)
                engine = self._loaded(data)
        if engine is None:
            raise self.failure(f"{size[0]}×{size[1]}")
        return engine

    def _loaded(self, data: bytes | None) -> Any:
        """The engine in ``data``; None if there is none or TensorRT rejects it."""
        return self._runtime.deserialize_cuda_engine(data) if data else None

    def _built(self, size: tuple[int, int], batches: tuple[int, ...]) -> bytes:
        facts, label = self._facts, f"{size[0]}×{size[1]}"
        name = f"the TensorRT engine of {self._spec.name} at {label}, batches of {batches[-1]}, {facts.precision}"
        _log.warning("building %s: this takes a minute or more, once", name)
        begin = time.perf_counter()
        try:
            builder = self._trt.Builder(self._log)
        except TypeError as error:  # as above
            raise self.failure(label) from error
        # Version 10 keeps the file's types only with this flag; 11 does so in any case.
        network = builder.create_network(1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = self._parsed(network)  # keeps the weights until the engine is built
        network.get_input(0).shape = (-1, 3, *size)
        config = self._config(builder, size, batches)
        config.progress_monitor = make_monitor(self._trt, name)
        timings = config.create_timing_cache(self._cache.load_timings(facts.version, self._gpu) or b"")
        config.set_timing_cache(timings, False)
        data = builder.build_serialized_network(network, config)
        del parser
        if data is None:
            raise self.failure(label)
        self._cache.store_timings(bytes(timings.serialize()), facts.version, self._gpu)
        _log.warning("built %s in %.0f s", name, time.perf_counter() - begin)
        return bytes(data)

    def _parsed(self, network: Any) -> Any:
        """The parser that has filled ``network`` from the model file, as fp16."""
        parser = self._trt.OnnxParser(network, self._log)
        missing: BackendUnavailable | None = None
        try:
            data = half_model(self._path)
        except BackendUnavailable as error:  # an fp16 file needs no onnx
            data, missing = self._path.read_bytes(), error
        if not parser.parse(data):
            reasons = [parser.get_error(at).desc() for at in range(parser.num_errors)]
            raise RunnerError(f"model file {self._path}: TensorRT refuses it: {'; '.join(reasons)}")
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        outputs = [network.get_output(index).name for index in range(network.num_outputs)]
        check_interface(self._path, [tensor.name for tensor in inputs], outputs)
        if missing is not None and inputs[0].dtype != self._trt.float16:
            raise missing
        return parser

    def _config(self, builder: Any, size: tuple[int, int], batches: tuple[int, ...]) -> Any:
        """Memory, and one profile that the contexts of all batches share."""
        config = builder.create_builder_config()
        config.set_memory_pool_limit(self._trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        profile = builder.create_optimization_profile()
        most = (batches[-1], 3, *size)
        profile.set_shape("images", (1, 3, *size), most, most)  # kernels are chosen for the largest batch
        config.add_optimization_profile(profile)
        return config


def make_logger(trt: Any) -> Any:
    """A logger that passes TensorRT's messages to our log."""
    levels = {
        trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.Severity.ERROR: logging.ERROR,
    }

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps the last error, because TensorRT's functions only return that they failed."""

        last_error = "no reason given"

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any of its threads."""
            if severity in levels:
                self.last_error = message.strip().splitlines()[0] if message.strip() else self.last_error
            _log.log(logging.DEBUG, "TensorRT: %s", message)

    return Log()


def make_monitor(trt: Any, name: str) -> Any:
    """An ``IProgressMonitor`` that logs how far a build is, in a few lines."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Follows the outermost phases."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Called by TensorRT."""
            if parent_phase is None:
                self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Called by TensorRT; True: continue."""
            steps = self._steps.get(phase_name, 0)
            if steps and (step + 1) * _PROGRESS_STEPS // steps != step * _PROGRESS_STEPS // steps:
                _log.info("%s: %s, %.0f %%", name, phase_name, 100 * (step + 1) / steps)
            return True

        def phase_finish(self, phase_name: str) -> None:
            """Called by TensorRT."""
            self._steps.pop(phase_name, None)

    return Monitor()
