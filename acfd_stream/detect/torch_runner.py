"""Networks by torch: for GPUs without TensorRT, and a yardstick for it; the only file of the runtime that imports it.

The model file's graph is run operator by operator, channels last, in fp16 on a GPU and float32 on a CPU. What depends
on sizes alone is worked out on the host when a size first comes, so what is left is the same launches every time, and
on a GPU they become one CUDA graph a batch.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.detect.device import Array, DeviceOps, Program
from acfd_stream.detect.graph_ops import PARAMETERS, HostArray, TensorOps, run_on_host
from acfd_stream.detect.onnx_graph import Graph, Node, read_graph
from acfd_stream.detect.runner import EngineFacts, ModelSpec, check_interface
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import anchor_count

_log = logging.getLogger(__name__)

_WARM_RUNS = 3  # before a capture: libraries choose their kernels and take their workspaces in the first ones


@dataclass(frozen=True)
class _Step:
    """One operator on tensors: values by their number, weights as they are."""

    run: Callable[..., Any]
    inputs: tuple[Any, ...]  # an int is the number of a value, all else a tensor
    output: int
    spent: tuple[int, ...]  # values that nobody needs after this step


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
        precision, version = "f16" if self._is_cuda else "f32", str(torch.__version__).split("+")[0]
        self.facts = EngineFacts("torch", precision, version)
        if ops is not None and self._is_cuda:
            self.facts = replace(self.facts, device=ops.name, sm=ops.compute_capability)
        self._ops = TensorOps(torch)
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
        with _translated(place), self._on_stream(), self._torch.inference_mode():
            for batch in batches:
                rows = batch if self.is_batched else 1
                steps, outputs = self._planned(self._graph, (rows, 3, *network_size))
                self._check_outputs(outputs, network_size)
                parts = [[buffer[row : row + rows] for buffer in buffers] for row in range(0, batch, rows)]
                found.append(_TorchProgram(self, steps, [outputs[name][0] for name in ("scores", "deltas")], parts))
        return found

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._graph = None
        self._weights.clear()

    def launch(self, steps: Sequence[_Step], outputs: Sequence[int], buffers: Sequence[Any]) -> None:
        """Queue ``steps`` from the first of ``buffers`` into the others."""
        values: dict[int, Any] = {0: buffers[0].contiguous(memory_format=self._torch.channels_last)}
        for step in steps:
            given = [values[entry] if isinstance(entry, int) else entry for entry in step.inputs]
            for number in step.spent:
                del values[number]
            values[step.output] = step.run(*given)
        for number, target in zip(outputs, buffers[1:], strict=True):
            target.copy_(values[number])

    def ready(self, place: str, run: Callable[[], None]) -> Callable[[], None]:
        """``run`` as what is called again and again: on a GPU its CUDA graph."""
        torch = self._torch

        def plain() -> None:
            with _translated(place), torch.inference_mode():
                run()

        if not self._is_cuda:
            return plain
        with _translated(place), self._on_stream(), torch.inference_mode(), self._kernels():
            for _ in range(_WARM_RUNS):
                run()
            self._stream.synchronize()  # type: ignore[union-attr]
            graph = torch.cuda.CUDAGraph()
            # Other threads may take memory meanwhile: uploads do.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                run()

        def replay() -> None:
            with _translated(place), self._on_stream():
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
        return self._torch.from_numpy(array)

    def _planned(self, graph: Graph, shape: tuple[int, ...]) -> tuple[list[_Step], dict[str, tuple[int, Any]]]:
        """The operators that are left for pictures of ``shape``, and number and shape of every output."""
        planner = _Planner(graph, self._ops, self._torch, self._weight)
        planner.give(graph.inputs[0], shape, getattr(self._torch, self.dtype.name))
        for node in graph.nodes:
            planner.add(node)
        return planner.steps(), {name: planner.output(name) for name in ("scores", "deltas")}

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

    def _check_outputs(self, outputs: dict[str, tuple[int, Any]], network_size: tuple[int, int]) -> None:
        anchors = anchor_count(network_size, self.spec.anchors)
        for name, trailing in (("scores", ()), ("deltas", (4,))):
            shape = tuple(outputs[name][1])
            if shape[1:] != (anchors, *trailing):
                raise RunnerError(
                    f"the network gives {name} {[1, *shape[1:]]} where the strides that its file "
                    f"names have {anchors} anchors"
                )


class _TorchProgram:
    """A network of one size and batch over its buffers."""

    def __init__(self, network: TorchNetwork, steps: list[_Step], outputs: list[int], parts: list[list[Any]]) -> None:
        def run() -> None:
            for buffers in parts:
                network.launch(steps, outputs, buffers)

        place = f"model {network.spec.name} in batches of {sum(len(buffers[0]) for buffers in parts)}"
        self.launch = network.ready(place, run)


class _Planner:
    """Goes through a graph once with shapes alone; what can be known on the host is not left as a step."""

    def __init__(self, graph: Graph, ops: TensorOps, torch: Any, weight: Callable[[str, HostArray, Any], Any]) -> None:
        self._ops = ops
        self._torch = torch
        self._weight = weight
        self._host: dict[str, HostArray] = dict(graph.weights)
        self._numbers: dict[str, int] = {}
        self._shapes: dict[str, Any] = {}  # tensors without memory
        self._steps: list[_Step] = []
        self._uses = Counter(name for node in graph.nodes for name in node.inputs)
        self._convolved: set[str] = set()

    def give(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        """Value 0, the pictures."""
        self._numbers[name] = 0
        self._shapes[name] = self._torch.empty(shape, dtype=dtype, device="meta")

    def add(self, node: Node) -> None:
        """Work ``node`` out, or leave it as a step."""
        if node.op == "Shape":
            shape = list(self._shape_of(node.inputs[0]))
            begin, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
            self._host[node.outputs[0]] = np.array(shape[begin:end], np.int64)
        elif not any(name in self._numbers for name in node.inputs):
            self._host[node.outputs[0]] = run_on_host(node, [self._host_of(name) for name in node.inputs])
        else:
            self._add_step(node)

    def steps(self) -> list[_Step]:
        """The steps, each with the values that are not needed after it."""
        last = {entry: place for place, step in enumerate(self._steps) for entry in step.inputs if type(entry) is int}
        kept = {self._numbers[name] for name in ("scores", "deltas") if name in self._numbers}
        return [
            _Step(
                step.run,
                step.inputs,
                step.output,
                tuple(number for number, when in last.items() if when == place and number not in kept),
            )
            for place, step in enumerate(self._steps)
        ]

    def output(self, name: str) -> tuple[int, Any]:
        """Number and shape of an output."""
        if name not in self._numbers:
            raise RunnerError(f"the network's {name} do not depend on the pictures")
        return self._numbers[name], self._shapes[name].shape

    def _add_step(self, node: Node) -> None:
        how = PARAMETERS.get(node.op, ())
        parameters = [self._host_of(name) for place, name in enumerate(node.inputs) if place in how]
        names = [name for place, name in enumerate(node.inputs) if place not in how and name]
        run = self._ops.find(node, parameters)
        if node.op == "Relu" and node.inputs[0] in self._convolved and self._uses[node.inputs[0]] == 1:
            run = self._torch.relu_  # nobody else reads it: a pass over the memory less
        if node.op == "Conv":
            self._convolved.add(node.outputs[0])
        dtype = next(self._shapes[name].dtype for name in names if name in self._numbers)
        weights = {name: self._weight(name, self._host[name], dtype) for name in names if name not in self._numbers}
        empty = [self._shapes[name] if name in self._shapes else weights[name].to("meta") for name in names]
        result = run(*empty)
        number = len(self._steps) + 1
        inputs = tuple(self._numbers[name] if name in self._numbers else weights[name] for name in names)
        self._steps.append(_Step(run, inputs, number, ()))
        self._numbers[node.outputs[0]] = number
        self._shapes[node.outputs[0]] = result

    def _host_of(self, name: str) -> HostArray | None:
        """What is known of ``name`` on the host; None for an input that is left out."""
        if not name:
            return None
        if name not in self._host:
            raise RunnerError(f"value {name!r} of the network would have to be known before it runs")
        return self._host[name]

    def _shape_of(self, name: str) -> Sequence[int]:
        return self._shapes[name].shape if name in self._shapes else self._host[name].shape


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
def _translated(place: str) -> Iterator[None]:
    """Torch raises RuntimeErrors, CUDA's among them; the first line says what it is about."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise RunnerError(f"{place}: torch failed: {line}") from error
