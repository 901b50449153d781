"""Networks by TensorRT 10 and 11, and 8.5 for GPU machines that have only that; the only file that imports it.

An engine is built for a size when that first comes: height and width are fixed, the batch is one … the config's. All
batches share one choice of kernels, that for the largest, so that a picture's scores do not depend on how many come
together. Every batch has a context and a CUDA graph of its own over the same memory.

What differs between versions, as their Python bindings have it:

| | 8.5 | 10 | 11 |
|---|---|---|---|
| types of the ONNX file are kept | a wish: flag FP16 lets the builder choose | flag STRONGLY_TYPED | always |
| explicit batch | flag EXPLICIT_BATCH | always | always |
| contexts that share a profile | no: a profile a context, all alike | yes | yes |
| contexts without memory | create_execution_context_without_device_memory | USER_MANAGED | USER_MANAGED |
| giving them memory | device_memory | device_memory, set_device_memory | set_device_memory |
| its size | device_memory_size | device_memory_size, _v2 | device_memory_size_v2 |
| progress of a build | no | IProgressMonitor | IProgressMonitor |
| quantised layers in the file (QDQ) | flag INT8 | as typed | as typed |
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from acfd_stream.config import DetectConfig, cache_dir
from acfd_stream.detect.device import Array, DeviceOps, Program
from acfd_stream.detect.engine_cache import EngineCache, EngineKey
from acfd_stream.detect.half_graph import arithmetic, half_model
from acfd_stream.detect.runner import EngineFacts, ModelSpec, check_interface
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import anchor_count

_log = logging.getLogger(__name__)

OLDEST = (8, 5)
"""First version whose contexts take tensors by name."""
TYPED = 10
"""First major version that keeps the file's types and lets contexts share a profile."""
WORKSPACE_BYTES = 4 * 2**30
"""Most memory that a layer may use for itself while kernels are chosen and run."""
_PROGRESS_STEPS = 5  # lines of a build that tells how far it is


class TensorRTNetwork:
    """A ``DeviceNetwork`` by TensorRT.

    Args:
        path: the model file.
        spec: what it says of itself.
        ops: the GPU.
        config: the largest batch.
        cache: where engines are kept; in the user's cache folder if None.

    Raises:
        BackendUnavailable: TensorRT or onnx is not installed.
        RunnerError: the file is no whole model, or TensorRT cannot start.
    """

    def __init__(
        self, path: Path, spec: ModelSpec, ops: DeviceOps, config: DetectConfig, cache: EngineCache | None = None
    ) -> None:
        self.spec = spec
        self.dtype: np.dtype[Any] = np.dtype(np.float16)
        self._path, self._ops = path, ops
        self._trt = import_tensorrt()
        self._log = _make_logger(self._trt)
        try:
            self._runtime: Any = self._trt.Runtime(self._log)
        except TypeError as error:  # what the bindings make of a library that gives nothing
            raise self.failure("start") from error
        self._cache = cache or EngineCache(cache_dir())
        self._building = Lock()
        self._engines: dict[tuple[int, int], Any] = {}  # compiled, and not yet bound
        detail = f"batches of {config.batch}"
        self.facts = EngineFacts(
            "tensorrt", arithmetic(path), self._trt.__version__, ops.name, ops.compute_capability, detail
        )

    def compile(self, network_size: tuple[int, int], batches: Sequence[int]) -> None:
        """See ``DeviceNetwork.compile``."""
        with self._building:
            if self._runtime is None:
                raise RunnerError(f"model {self.spec.name} is closed")
            if network_size not in self._engines:
                self._engines[network_size] = self._engine(network_size, tuple(batches))

    def programs(
        self, network_size: tuple[int, int], batches: Sequence[int], images: Array, scores: Array, deltas: Array
    ) -> list[Program]:
        """See ``DeviceNetwork.programs``."""
        engine = self._engines.pop(network_size, None)
        if engine is None:  # no waiting for another size that is being built, unless there is nothing to bind
            self.compile(network_size, batches)
            engine = self._engines.pop(network_size)
        buffers = {"images": images, "scores": scores, "deltas": deltas}
        is_old = not hasattr(engine, "device_memory_size_v2")
        size = int(engine.device_memory_size if is_old else engine.device_memory_size_v2)
        memory = self._ops.empty((max(size, 256),), np.uint8)
        return [
            _TensorRTProgram(self, engine, min(place, engine.num_optimization_profiles - 1), batch, buffers, memory)
            for place, batch in enumerate(batches)
        ]

    def close(self) -> None:
        """Free the engines that nobody has bound; a second call does nothing."""
        with self._building:
            self._engines.clear()
            self._runtime = None

    def failure(self, place: str) -> RunnerError:
        """What TensorRT last complained of, as our error."""
        return RunnerError(f"model {self.spec.name} at {place}: TensorRT failed: {self._log.last_error}")

    def bind(self, engine: Any, profile: int, batch: int, buffers: dict[str, Array], memory: Array) -> Any:
        """A context for ``batch`` pictures over ``buffers``, working in ``memory``."""
        shape = (batch, *buffers["images"].shape[1:])
        place = f"{shape[2]}×{shape[3]} in batches of {batch}"
        if hasattr(self._trt, "ExecutionContextAllocationStrategy"):
            context = engine.create_execution_context(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        else:
            context = engine.create_execution_context_without_device_memory()
        if context is None:
            raise self.failure(place)
        address, size = _address(memory), int(memory.nbytes)
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(address, size)
        else:
            context.device_memory = address
        is_bound = profile == 0 or context.set_optimization_profile_async(profile, self._ops.stream)
        is_bound = is_bound and context.set_input_shape("images", shape)
        for name, buffer in buffers.items():
            is_bound = is_bound and context.set_tensor_address(name, _address(buffer))
        if not is_bound:
            raise self.failure(place)
        return context

    def queue(self, context: Any, place: str) -> None:
        """Queue one run of ``context``."""
        if not context.execute_async_v3(self._ops.stream):
            raise self.failure(place)

    def settle(self, context: Any, place: str, output: Array) -> None:
        """Run ``context`` twice and wait: what the first runs settle must not stand in a graph."""
        for _ in range(2):
            self.queue(context, place)
        self._ops.to_host(output[:1])

    def captured(self, context: Any, place: str) -> Program | None:
        """``context`` as a CUDA graph; None where TensorRT does what cannot stand in one, which is said."""
        failure: RunnerError | None = None
        self._ops.begin_capture()
        try:
            self.queue(context, place)
        except RunnerError as error:
            failure = error
        try:
            graph: Program = self._ops.end_capture()  # in any case: the stream would record for ever
        except RunnerError as error:
            failure = failure or error
        if failure is None:
            return graph
        _log.warning("%s at %s runs without a CUDA graph, a little slower: %s", self.spec.name, place, failure)
        return None

    def check_outputs(self, engine: Any, context: Any, anchors: int) -> None:
        """Raise RunnerError unless the network takes and gives what its file says."""
        trt = self._trt
        names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        check_interface(self._path, inputs, set(names) - set(inputs))
        for name, trailing in (("scores", ()), ("deltas", (4,))):
            shape = tuple(context.get_tensor_shape(name))
            if shape[1:] != (anchors, *trailing):
                raise RunnerError(
                    f"the network gives {name} {[1, *shape[1:]]} where the strides that its file "
                    f"names have {anchors} anchors"
                )
        for name, dtype in (("images", trt.float16), ("scores", trt.float32), ("deltas", trt.float32)):
            if engine.get_tensor_dtype(name) != dtype:
                raise RunnerError(
                    f"model file {self._path}: {name} must be {dtype}, got {engine.get_tensor_dtype(name)}"
                )

    def _engine(self, size: tuple[int, int], batches: tuple[int, ...]) -> Any:
        """The engine of one size, from the cache, or built."""
        facts = self.facts
        gpu = f"{facts.device} {facts.sm}"
        key = EngineKey.of_file(self._path, facts.version, gpu, facts.precision, size, batches)
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
        place = f"{size[0]}×{size[1]}"
        name = f"the TensorRT engine of {self.spec.name} at {place}, batches of {batches[-1]}, {self.facts.precision}"
        _log.warning("building %s: this takes a minute or more, once", name)
        begin = time.perf_counter()
        try:
            builder = self._trt.Builder(self._log)
        except TypeError as error:  # as above
            raise self.failure(place) from error
        network = builder.create_network(_network_flags(self._trt))
        parser = self._parsed(network, size)  # holds the weights until the engine is built
        network.get_input(0).shape = (-1, 3, *size)
        data = builder.build_serialized_network(network, self._config(builder, size, batches, name))
        del parser
        if data is None:
            raise self.failure(place)
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

    def _config(self, builder: Any, size: tuple[int, int], batches: tuple[int, ...], name: str) -> Any:
        """How to build: memory, one profile (or one a batch, all alike), and what older versions must be told."""
        trt = self._trt
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        most = (batches[-1], 3, *size)
        for _ in batches if _major(trt) < TYPED else batches[:1]:
            profile = builder.create_optimization_profile()
            # The largest is the one that kernels are chosen for.
            profile.set_shape("images", (1, 3, *size), most, most)
            config.add_optimization_profile(profile)
        if _major(trt) < TYPED:
            config.set_flag(trt.BuilderFlag.FP16)
            if self.facts.precision == "int8":
                config.set_flag(trt.BuilderFlag.INT8)
            foreign = sum(1 << int(getattr(trt.TacticSource, part)) for part in ("CUBLAS", "CUBLAS_LT", "CUDNN"))
            config.set_tactic_sources(config.get_tactic_sources() & ~foreign)  # works where they are not installed
        if hasattr(trt, "IProgressMonitor"):
            config.progress_monitor = _make_monitor(trt, name)
        return config


class _TensorRTProgram:
    """The network for one batch over its buffers; holds all that the captured graph reads."""

    def __init__(
        self,
        network: TensorRTNetwork,
        engine: Any,
        profile: int,
        batch: int,
        buffers: dict[str, Array],
        memory: Array,
    ) -> None:
        height, width = buffers["images"].shape[2:]
        anchors = anchor_count((height, width), network.spec.anchors)
        context = network.bind(engine, profile, batch, buffers, memory)
        network.check_outputs(engine, context, anchors)
        place = f"{height}×{width} in batches of {batch}"
        network.settle(context, place, buffers["scores"])
        graph = network.captured(context, place)
        self._held = (engine, context, buffers, memory)
        self.launch: Callable[[], None] = graph.launch if graph else partial(network.queue, context, place)


def import_tensorrt() -> Any:
    """The module ``tensorrt``.

    Raises:
        BackendUnavailable: it is not installed, cannot be loaded, or is too old.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # its libraries are looked for while it loads
        raise BackendUnavailable(
            f"TensorRT cannot be loaded ({error}); run `pip install 'acfd-stream[gpu]'`"
        ) from error
    version = tuple(int(part) for part in tensorrt.__version__.split(".")[:2])
    if version < OLDEST:
        raise BackendUnavailable(f"TensorRT must be at least {OLDEST[0]}.{OLDEST[1]}, got {tensorrt.__version__}")
    return tensorrt


def _major(trt: Any) -> int:
    return int(trt.__version__.split(".")[0])


def _network_flags(trt: Any) -> int:
    """The flag without which a version would not keep the file's types, or its batch."""
    if _major(trt) > TYPED:
        return 0
    name = "EXPLICIT_BATCH" if _major(trt) < TYPED else "STRONGLY_TYPED"
    return 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))


def _address(array: Array) -> int:
    """Where an array lies: on a GPU, or on the host where tests stand in for one."""
    if isinstance(array, np.ndarray):
        return int(array.ctypes.data)
    return int(array.__cuda_array_interface__["data"][0])


def _make_logger(trt: Any) -> Any:
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


def _make_monitor(trt: Any, name: str) -> Any:
    """How far a build is, in a few lines of the log."""

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
