"""Networks by torch: for GPUs without TensorRT, and a yardstick for it; the only file of the runtime that imports it.

The model file's graph is run operator by operator, channels last, in fp16 on a GPU and float32 on a CPU. What depends
on sizes alone is worked out on the host when a size first comes, so what is left is the same launches every time, and
on a GPU they become one CUDA graph a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.detect.device import Array, DeviceOps, Program
from acfd_stream.detect.graph_ops import HostArray
from acfd_stream.detect.graph_plan import Plan
from acfd_stream.detect.onnx_graph import Graph, read_graph
from acfd_stream.detect.runner import EngineFacts, ModelSpec, check_interface
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import anchor_count

_log = logging.getLogger(__name__)

_WARM_RUNS = 3  # before a capture: libraries choose their kernels and take their workspaces in the first ones


class TorchNetwork:
    """A ``DeviceNetwork`` by torch.

    Args:
        path: the model file.
        spec: what it says of itself.
        device: "cuda", or "cpu" for float32 on arrays of NumPy, which is what tests and yardsticks use.
        ops: the GPU whose stream everything is queued on; for "cuda" only.
    """

    def __init__(self, path: Path, spec: ModelSpec, device: str = "cuda", ops: DeviceOps | None = None) -> None:
        self.spec = spec
        self._torch = torch = _import_torch()
        self._is_cuda = ops is not None and device == "cuda"
        if self._is_cuda:
            check_cuda()
        # On a CPU a picture is run by itself, since there the place in a batch changes last bits.
        self.is_batched = self._is_cuda
        self._device = torch.device(device)
        self._stream = torch.cuda.ExternalStream(ops.stream) if ops is not None and self._is_cuda else None
        self.dtype: np.dtype[Any] = np.dtype(np.float16 if self._is_cuda else np.float32)
        # What a run leaves behind is copied out of it, so all graphs may work in the same memory.
        self._pool = torch.cuda.graph_pool_handle() if self._is_cuda else None
        precision, version = "f16" if self._is_cuda else "f32", str(torch.__version__).split("+")[0]
        self.facts = EngineFacts("torch", precision, version)
        if ops is not None and self._is_cuda:
            self.facts = replace(self.facts, device=ops.name, sm=ops.compute_capability)
        self._graph: Graph | None = read_graph(path)
        self._weights: dict[tuple[str, Any], Any] = {}
        check_interface(path, self._graph.inputs, self._graph.outputs)

    def compile(self, network_size: tuple[int, int], batches: Sequence[int]) -> None:
        """Nothing takes long here; see ``DeviceNetwork.compile``."""

    def programs(
        self, network_size: tuple[int, int], batches: Sequence[int], images: Array, scores: Array, deltas: Array
    ) -> list[Program]:
        """See ``DeviceNetwork.programs``."""
        if self._graph is None:
            raise RunnerError(f"model {self.spec.name} is closed")
        buffers = [self._tensor(array) for array in (images, scores, deltas)]
        place = f"model {self.spec.name} at {network_size[0]}×{network_size[1]}"
        found: list[Program] = []
        with translated(place), self._on_stream(), self._torch.inference_mode():
            for batch in batches:
                rows = batch if self.is_batched else 1
                shape = (rows, 3, *network_size)
                plan = Plan(self._graph, self._torch, shape, getattr(self._torch, self.dtype.name), self._weight)
                self._check_outputs(plan, network_size)
                parts = [[buffer[row : row + rows] for buffer in buffers] for row in range(0, batch, rows)]
                found.append(_TorchProgram(self, plan, parts))
        return found

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._graph = None
        self._weights.clear()

    def launch(self, plan: Plan, buffers: Sequence[Any]) -> None:
        """Queue ``plan`` from the first of ``buffers`` into the others."""
        images, scores, deltas = buffers
        given = plan.run(images.contiguous(memory_format=self._torch.channels_last))
        scores.copy_(given["scores"])
        deltas.copy_(given["deltas"])

    def ready(self, place: str, run: Callable[[], None]) -> Callable[[], None]:
        """``run`` as what is called again and again: on a GPU its CUDA graph."""
        torch = self._torch

        def plain() -> None:
            with translated(place), torch.inference_mode():
                run()

        if not self._is_cuda:
            return plain
        with translated(place), self._on_stream(), torch.inference_mode(), self._kernels():
            for _ in range(_WARM_RUNS):
                run()
            self._stream.synchronize()  # type: ignore[union-attr]
            graph = torch.cuda.CUDAGraph()
            # Other threads may take memory meanwhile: uploads do.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                run()

        def replay() -> None:
            with translated(place), self._on_stream():
                graph.replay()

        return replay

    def _kernels(self) -> AbstractContextManager[Any]:
        """The same kernels every time: none chosen by how long it took just now, none that adds in any order."""
        flags: AbstractContextManager[Any] = self._torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        return flags

    def _on_stream(self) -> AbstractContextManager[Any]:
        return self._torch.cuda.stream(self._stream) if self._is_cuda else nullcontext()

    def _tensor(self, array: Array) -> Any:
        """The memory of ``array`` as a tensor, without a copy."""
        if self._is_cuda:
            return self._torch.as_tensor(array, device=self._device)
        return self._torch.from_numpy(np.asarray(array))

    def _weight(self, name: str, value: HostArray, dtype: Any) -> Any:
        """A weight on the device, once for all sizes."""
        if (name, dtype) not in self._weights:
            tensor = self._torch.from_numpy(np.array(value)).to(self._device)
            tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
            is_kernel = tensor.ndim == 4
            self._weights[name, dtype] = (
                tensor.contiguous(memory_format=self._torch.channels_last) if is_kernel else tensor
            )
        return self._weights[name, dtype]

    def _check_outputs(self, plan: Plan, network_size: tuple[int, int]) -> None:
        anchors = anchor_count(network_size, self.spec.anchors)
        for name, trailing in (("scores", ()), ("deltas", (4,))):
            shape = plan.outputs[name]
            if shape[1:] != (anchors, *trailing):
                raise RunnerError(
                    f"the network gives {name} {[1, *shape[1:]]} where the strides that its file "
                    f"names have {anchors} anchors"
                )


class _TorchProgram:
    """A network of one size and batch over its buffers."""

    def __init__(self, network: TorchNetwork, plan: Plan, parts: list[list[Any]]) -> None:
        def run() -> None:
            for buffers in parts:
                network.launch(plan, buffers)

        place = f"model {network.spec.name} in batches of {sum(len(buffers[0]) for buffers in parts)}"
        self.launch = network.ready(place, run)


def check_cuda() -> None:
    """Raise BackendUnavailable unless torch is installed and sees a GPU."""
    torch = _import_torch()
    if not torch.cuda.is_available():
        raise BackendUnavailable(f"torch {torch.__version__} sees no GPU; install one that is built for CUDA")


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable(f"torch cannot be loaded ({error}); run `pip install torch`") from error
    return torch


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Torch raises RuntimeErrors, CUDA's among them; the first line says what it is about."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise RunnerError(f"{place}: torch failed: {line}") from error
