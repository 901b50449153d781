"""Networks by TensorRT 10 and 11; the only file that imports it.

An engine is built for a size when it first occurs: height and width are fixed, the batch is 1 … the config's. All
batches use the kernels of the largest, so that the scores of a picture do not depend on the batch size. Every batch
size has its own context and CUDA graph over the same memory.

What differs between versions, as their Python bindings have it:

| | 10.0 | 10.16 | 11 |
|---|---|---|---|
| types of the ONNX file are kept | flag STRONGLY_TYPED | flag STRONGLY_TYPED | always |
| giving contexts their memory | device_memory | device_memory, set_device_memory | set_device_memory |
| its size | device_memory_size | device_memory_size, _v2 | device_memory_size_v2 |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from acfd_stream.config import DetectConfig, cache_dir
from acfd_stream.detect.device import Array, Program, address_of
from acfd_stream.detect.engine_cache import EngineCache
from acfd_stream.detect.half_graph import arithmetic
from acfd_stream.detect.runner import EngineFacts, ModelSpec, check_interface, check_output
from acfd_stream.detect.tensorrt_engine import EngineMaker
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import anchor_count

if TYPE_CHECKING:
    from acfd_stream.ops.cuda.batch import CudaOps

_log = logging.getLogger(__name__)

OLDEST = (10, 0)
"""First version that keeps the types of the file and whose contexts share a profile."""


class TensorRTNetwork:
    """A ``DeviceNetwork`` by TensorRT.

    Args:
        path: the model file.
        spec: its description.
        ops: the GPU.
        config: the largest batch.
        cache: the cache of engines; the user's cache folder if None.

    Raises:
        BackendUnavailable: TensorRT or onnx is not installed.
        RunnerError: the file is no whole model, or TensorRT cannot start.
    """

    def __init__(
        self, path: Path, spec: ModelSpec, ops: CudaOps, config: DetectConfig, cache: EngineCache | None = None
    ) -> None:
        self.spec = spec
        self.dtype: np.dtype[Any] = np.dtype(np.float16)
        self._path, self._ops = path, ops
        self._trt = import_tensorrt()
        detail = f"batches of {config.batch}"
        self.facts = EngineFacts(
            "tensorrt", arithmetic(path), self._trt.__version__, ops.name, ops.compute_capability, detail
        )
        self._maker = EngineMaker(self._trt, path, spec, self.facts, cache or EngineCache(cache_dir()))
        self._building = Lock()
        self._is_closed = False
        self._engines: dict[tuple[int, int], Any] = {}  # compiled, and not yet bound

    def compile(self, network_size: tuple[int, int], batches: Sequence[int]) -> None:
        """See ``DeviceNetwork.compile``."""
        with self._building:
            if self._is_closed:
                raise RunnerError(f"model {self.spec.name} is closed")
            if network_size not in self._engines:
                self._engines[network_size] = self._maker.engine(network_size, tuple(batches))

    def programs(
        self, network_size: tuple[int, int], batches: Sequence[int], images: Array, scores: Array, deltas: Array
    ) -> list[Program]:
        """See ``DeviceNetwork.programs``."""
        engine = self._engines.pop(network_size, None)
        if engine is None:  # else there is no need to wait for the build of another size
            self.compile(network_size, batches)
            engine = self._engines.pop(network_size)
        buffers = {"images": images, "scores": scores, "deltas": deltas}
        is_old = not hasattr(engine, "device_memory_size_v2")
        size = int(engine.device_memory_size if is_old else engine.device_memory_size_v2)
        memory = self._ops.empty((max(size, 256),), np.uint8)
        return [_TensorRTProgram(self, engine, batch, buffers, memory) for batch in batches]

    def close(self) -> None:
        """Free the engines that are not bound; a second call does nothing."""
        with self._building:
            self._engines.clear()
            self._is_closed = True

    def bind(self, engine: Any, batch: int, buffers: dict[str, Array], memory: Array) -> Any:
        """A context for ``batch`` pictures over ``buffers`` with the scratch memory ``memory``."""
        shape = (batch, *buffers["images"].shape[1:])
        label = f"{shape[2]}×{shape[3]} in batches of {batch}"
        context = engine.create_execution_context(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise self._maker.failure(label)
        address, size = address_of(memory), int(memory.nbytes)
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(address, size)
        else:
            context.device_memory = address
        is_bound = context.set_input_shape("images", shape)
        for name, buffer in buffers.items():
            is_bound = is_bound and context.set_tensor_address(name, address_of(buffer))
        if not is_bound:
            raise self._maker.failure(label)
        return context

    def queue(self, context: Any, label: str) -> None:
        """Queue one run of ``context``."""
        if not context.execute_async_v3(self._ops.stream):
            raise self._maker.failure(label)

    def settle(self, context: Any, label: str, output: Array) -> None:
        """Run ``context`` twice and wait: the initialisation of the first runs must not be captured."""
        for _ in range(2):
            self.queue(context, label)
        self._ops.to_host(output[:1])

    def captured(self, context: Any, label: str) -> Program | None:
        """``context`` as a CUDA graph; None, with a line in the log, if TensorRT cannot be captured in one."""
        failure: RunnerError | None = None
        self._ops.begin_capture()
        try:
            self.queue(context, label)
        except RunnerError as error:
            failure = error
        try:
            graph: Program = self._ops.end_capture()  # always, or the stream would keep recording
        except RunnerError as error:
            failure = failure or error
        if failure is None:
            return graph
        _log.warning("%s at %s runs without a CUDA graph, a little slower: %s", self.spec.name, label, failure)
        return None

    def check_outputs(self, engine: Any, context: Any, anchors: int) -> None:
        """Raise RunnerError unless inputs and outputs are those that the file describes."""
        trt = self._trt
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        check_interface(self._path, inputs, set(names) - set(inputs))
        for name in ("scores", "deltas"):
            check_output(name, context.get_tensor_shape(name), anchors)
        for name, dtype in (("images", trt.float16), ("scores", trt.float32), ("deltas", trt.float32)):
            if engine.get_tensor_dtype(name) != dtype:
                raise RunnerError(
                    f"model file {self._path}: {name} must be {dtype}, got {engine.get_tensor_dtype(name)}"
                )


class _TensorRTProgram:
    """The network for one batch over its buffers; keeps everything that the captured graph reads alive."""

    def __init__(
        self, network: TensorRTNetwork, engine: Any, batch: int, buffers: dict[str, Array], memory: Array
    ) -> None:
        height, width = buffers["images"].shape[2:]
        anchors = anchor_count((height, width), network.spec.anchors)
        context = network.bind(engine, batch, buffers, memory)
        network.check_outputs(engine, context, anchors)
        label = f"{height}×{width} in batches of {batch}"
        network.settle(context, label, buffers["scores"])
        graph = network.captured(context, label)
        self._held = (engine, context, buffers, memory)
        self.launch: Callable[[], None] = graph.launch if graph else partial(network.queue, context, label)


def import_tensorrt() -> Any:
    """The module ``tensorrt``.

    Raises:
        BackendUnavailable: it is not installed, cannot be loaded, or is too old.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # OSError: one of its libraries is missing
        raise BackendUnavailable(
            f"TensorRT cannot be loaded ({error}); run `pip install 'acfd-stream[gpu]'`"
        ) from error
    version = tuple(int(part) for part in tensorrt.__version__.split(".")[:2])
    if version < OLDEST:
        raise BackendUnavailable(f"TensorRT must be at least {OLDEST[0]}.{OLDEST[1]}, got {tensorrt.__version__}")
    return tensorrt
