"""A graph made ready for one size: what sizes alone decide is worked out, the rest is steps on tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acfd_stream.detect.graph_ops import PARAMETERS, HostArray, TensorOps, run_on_host
from acfd_stream.detect.onnx_graph import Graph, Node
from acfd_stream.errors import RunnerError

Tensor = Any


@dataclass(frozen=True)
class _Step:
    """One operator on tensors: values by their number, weights as they are."""

    run: Callable[..., Tensor]
    inputs: tuple[Any, ...]  # an int is the number of a value, all else a tensor
    output: int
    spent: tuple[int, ...] = ()  # values that nobody needs after this step


class Plan:
    """A graph of one input for inputs of one shape.

    Args:
        graph: of operators that ``graph_ops`` knows.
        torch: the module.
        shape: of the input.
        dtype: torch's, of the input.
        weight: gives the tensor of a weight by its name, its values and the dtype that its floats should have.

    Raises:
        RunnerError: an operator is not known, or asks for what cannot be done.
    """

    def __init__(
        self,
        graph: Graph,
        torch: Any,
        shape: Sequence[int],
        dtype: Any,
        weight: Callable[[str, HostArray, Any], Tensor],
    ) -> None:
        self._torch, self._ops, self._weight = torch, TensorOps(torch), weight
        self._host: dict[str, HostArray] = dict(graph.weights)
        self._numbers: dict[str, int] = {graph.inputs[0]: 0}
        self._shapes: dict[str, Tensor] = {graph.inputs[0]: torch.empty(tuple(shape), dtype=dtype, device="meta")}
        self._uses = Counter(name for node in graph.nodes for name in node.inputs)
        self._convolved: set[str] = set()
        steps: list[_Step] = []
        for node in graph.nodes:
            self._add(node, steps)
        fixed = [name for name in graph.outputs if name not in self._numbers]
        if fixed:
            raise RunnerError(f"the network's {', '.join(fixed)} do not depend on the pictures")
        self.outputs: Mapping[str, tuple[int, ...]] = {name: tuple(self._shapes[name].shape) for name in graph.outputs}
        self._steps = _with_spent(steps, {self._numbers[name] for name in graph.outputs})

    def run(self, x: Tensor) -> dict[str, Tensor]:
        """Queue the steps on ``x``; the outputs by name."""
        values: dict[int, Tensor] = {0: x}
        for step in self._steps:
            given = [values[entry] if isinstance(entry, int) else entry for entry in step.inputs]
            for number in step.spent:
                del values[number]
            values[step.output] = step.run(*given)
        return {name: values[self._numbers[name]] for name in self.outputs}

    def _add(self, node: Node, steps: list[_Step]) -> None:
        """Work ``node`` out, or leave it as a step."""
        if node.op == "Shape":
            shape = list(self._shape_of(node.inputs[0]))
            begin, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
            self._host[node.outputs[0]] = np.array(shape[begin:end], np.int64)
        elif not any(name in self._numbers for name in node.inputs):
            self._host[node.outputs[0]] = run_on_host(node, [self._host_of(name) for name in node.inputs])
        else:
            steps.append(self._step(node, len(steps) + 1))

    def _step(self, node: Node, number: int) -> _Step:
        how = PARAMETERS.get(node.op, ())
        parameters = [self._host_of(name) for place, name in enumerate(node.inputs) if place in how]
        names = [name for place, name in enumerate(node.inputs) if place not in how and name]
        run = self._ops.find(node, parameters)
        if node.op == "Relu" and node.inputs[0] in self._convolved and self._uses[node.inputs[0]] == 1:
            run = self._torch.relu_  # nobody else reads it: a pass over the memory less
        if node.op == "Conv":
            self._convolved.add(node.outputs[0])
        dtype = next(self._shapes[name].dtype for name in names if name in self._numbers)
        weights = {name: self._weight(name, self._there(name), dtype) for name in names if name not in self._numbers}
        inputs = tuple(self._numbers[name] if name in self._numbers else weights[name] for name in names)
        empty = [self._shapes[name] if name in self._numbers else weights[name].to("meta") for name in names]
        self._shapes[node.outputs[0]] = run(*empty)
        self._numbers[node.outputs[0]] = number
        return _Step(run, inputs, number)

    def _host_of(self, name: str) -> HostArray | None:
        """What is known of ``name`` on the host; None for an input that is left out."""
        return self._there(name) if name else None

    def _there(self, name: str) -> HostArray:
        if name not in self._host:
            raise RunnerError(f"value {name!r} of the network would have to be known before it runs")
        return self._host[name]

    def _shape_of(self, name: str) -> Sequence[int]:
        return self._shapes[name].shape if name in self._numbers else self._there(name).shape


def _with_spent(steps: Sequence[_Step], kept: set[int]) -> list[_Step]:
    """``steps``, each with the values that are not needed after it."""
    last = {entry: place for place, step in enumerate(steps) for entry in step.inputs if isinstance(entry, int)}
    spent: dict[int, list[int]] = {}
    for number, place in last.items():
        if number not in kept:
            spent.setdefault(place, []).append(number)
    return [_Step(step.run, step.inputs, step.output, tuple(spent.get(place, ()))) for place, step in enumerate(steps)]
