"""Engines of TensorRT, from the cache or built of the model file; ``tensorrt_runner`` says how versions differ."""

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

TYPED = 10
"""First major version that keeps the file's types and lets contexts share a profile."""
WORKSPACE_BYTES = 4 * 2**30
"""Most memory that a layer may use for itself while kernels are chosen and run."""
_PROGRESS_STEPS = 5  # lines of a build that tells how far it is


class EngineMaker:
    """Makes the engines of one model on one GPU. For one thread at a time.

    Args:
        trt: the module.
        path: the model file.
        spec: what it says of itself.
        facts: version of TensorRT, GPU and precision.
        cache: where engines are kept.

    Raises:
        RunnerError: TensorRT cannot start.
    """

    def __init__(self, trt: Any, path: Path, spec: ModelSpec, facts: EngineFacts, cache: EngineCache) -> None:
        self._trt, self._path, self._spec, self._facts, self._cache = trt, path, spec, facts, cache
        self._gpu = f"{facts.device} {facts.sm}"
        self._log = make_logger(trt)
        try:
            self._runtime: Any = trt.Runtime(self._log)
        except TypeError as error:  # what the bindings make of a library that gives nothing
            raise self.failure("start") from error

    def failure(self, place: str) -> RunnerError:
        """What TensorRT last complained of, as our error."""
        return RunnerError(f"model {self._spec.name} at {place}: TensorRT failed: {self._log.last_error}")

    def engine(self, size: tuple[int, int], batches: tuple[int, ...]) -> Any:
        """The engine of one size for all of ``batches``, from the cache, or built.

        Raises:
            BackendUnavailable: it has to be built, which takes onnx, and that is not installed.
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
        """The engine of a file; None where there is none or TensorRT refuses it."""
        return self._runtime.deserialize_cuda_engine(data) if data else None

    def _built(self, size: tuple[int, int], batches: tuple[int, ...]) -> bytes:
        facts, place = self._facts, f"{size[0]}×{size[1]}"
        name = f"the TensorRT engine of {self._spec.name} at {place}, batches of {batches[-1]}, {facts.precision}"
        _log.warning("building %s: this takes a minute or more, once", name)
        begin = time.perf_counter()
        try:
            builder = self._trt.Builder(self._log)
        except TypeError as error:  # as above
            raise self.failure(place) from error
        network = builder.create_network(network_flags(self._trt))
        parser = self._parsed(network, size)  # holds the weights until the engine is built
        network.get_input(0).shape = (-1, 3, *size)
        config, monitor = self._config(builder, size, batches), make_monitor(self._trt, name)
        if monitor is not None:
            config.progress_monitor = monitor
        timings = config.create_timing_cache(self._cache.load_timings(facts.version, self._gpu) or b"")
        config.set_timing_cache(timings, False)
        data = builder.build_serialized_network(network, config)
        del parser
        if data is None:
            raise self.failure(place)
        self._cache.store_timings(bytes(timings.serialize()), facts.version, self._gpu)
        _log.warning("built %s in %.0f s", name, time.perf_counter() - begin)
        return bytes(data)

    def _parsed(self, network: Any, size: tuple[int, int]) -> Any:
        """The parser that has filled ``network`` from the model file, as fp16 and for one size."""
        parser = self._trt.OnnxParser(network, self._log)
        missing: BackendUnavailable | None = None
        try:
            data = half_model(self._path, size)
        except BackendUnavailable as error:  # a file that is fp16 already needs no onnx
            data, missing = self._path.read_bytes(), error
        if not parser.parse(data):
            reasons = [parser.get_error(at).desc() for at in range(parser.num_errors)]
            raise RunnerError(f"model file {self._path}: TensorRT refuses it: {'; '.join(reasons)}")
        inputs = [network.get_input(place) for place in range(network.num_inputs)]
        outputs = [network.get_output(place).name for place in range(network.num_outputs)]
        check_interface(self._path, [tensor.name for tensor in inputs], outputs)
        if missing is not None and inputs[0].dtype != self._trt.float16:
            raise missing
        return parser

    def _config(self, builder: Any, size: tuple[int, int], batches: tuple[int, ...]) -> Any:
        """How to build: memory, one profile (or one a batch, all alike), and what older versions must be told."""
        trt = self._trt
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        most = (batches[-1], 3, *size)
        for _ in batches if major(trt) < TYPED else batches[:1]:
            profile = builder.create_optimization_profile()
            # The largest is the one that kernels are chosen for.
            profile.set_shape("images", (1, 3, *size), most, most)
            config.add_optimization_profile(profile)
        if major(trt) < TYPED:
            config.set_flag(trt.BuilderFlag.FP16)
            if self._facts.precision == "int8":
                config.set_flag(trt.BuilderFlag.INT8)
            foreign = sum(1 << int(getattr(trt.TacticSource, part)) for part in ("CUBLAS", "CUBLAS_LT", "CUDNN"))
            config.set_tactic_sources(config.get_tactic_sources() & ~foreign)  # works where they are not installed
        return config


def major(trt: Any) -> int:
    """The first number of its version."""
    return int(trt.__version__.split(".")[0])


def network_flags(trt: Any) -> int:
    """The flag without which a version would not keep the file's types, or its batch."""
    if major(trt) > TYPED:
        return 0
    name = "EXPLICIT_BATCH" if major(trt) < TYPED else "STRONGLY_TYPED"
    return 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))


def make_logger(trt: Any) -> Any:
    """TensorRT's messages in our log; its base class is known only here."""
    levels = {
        trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.Severity.ERROR: logging.ERROR,
    }

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps the last complaint: functions of TensorRT only say that they failed."""

        last_error = "it does not say why"

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any of its threads."""
            if severity in levels:
                self.last_error = message.strip().splitlines()[0] if message.strip() else self.last_error
            _log.log(logging.DEBUG, "TensorRT: %s", message)

    return Log()


def make_monitor(trt: Any, name: str) -> Any:
    """How far a build is, in a few lines of the log; None where TensorRT does not tell."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

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
            """Called by TensorRT; True: go on."""
            steps = self._steps.get(phase_name, 0)
            if steps and (step + 1) * _PROGRESS_STEPS // steps != step * _PROGRESS_STEPS // steps:
                _log.info("%s: %s, %.0f %%", name, phase_name, 100 * (step + 1) / steps)
            return True

        def phase_finish(self, phase_name: str) -> None:
            """Called by TensorRT."""
            self._steps.pop(phase_name, None)

    return Monitor()
