"""A model file as nodes and weights; the only file of the runtime that imports onnx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from acfd_stream.errors import BackendUnavailable, RunnerError


@dataclass(frozen=True)
class Node:
    """One operator of a graph."""

    op: str
    name: str
    inputs: tuple[str, ...]  # "" where an optional one is left out
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A network's operators in an order in which they can be run."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, NDArray[Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """The graph of the ONNX file at ``path``.

    Raises:
        BackendUnavailable: onnx is not installed.
        RunnerError: the file is no whole ONNX model.
    """
    onnx = import_onnx()
    graph = load_model(path).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = []
    for found in graph.node:
        node = read_node(found)
        if node.op == "Constant":
            weights[node.outputs[0]] = onnx.numpy_helper.to_array(node.attributes["value"])
        else:
            nodes.append(node)
    inputs = tuple(entry.name for entry in graph.input if entry.name not in weights)
    return Graph(tuple(nodes), weights, inputs, tuple(entry.name for entry in graph.output))


def read_node(node: Any) -> Node:
    """An operator as ONNX has it, as ours."""
    get_value = import_onnx().helper.get_attribute_value
    attributes = {entry.name: get_value(entry) for entry in node.attribute}
    return Node(node.op_type, node.name, tuple(node.input), tuple(node.output), attributes)


def load_model(path: Path) -> Any:
    """The ONNX model at ``path``, as the library has it; raises as ``read_graph`` does."""
    onnx, data = import_onnx(), read_bytes(path)
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, whose module has moved between its versions
        raise RunnerError(f"model file {path} is not a whole ONNX model: {error}") from error


def read_bytes(path: Path) -> bytes:
    """What the file holds; a RunnerError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunnerError(f"model file {path} cannot be read: {error.strerror or error}") from error


def import_onnx() -> Any:
    """The module ``onnx``; a BackendUnavailable where it is not installed."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise BackendUnavailable(f"onnx cannot be loaded ({error}); run `pip install 'acfd-stream[gpu]'`") from error
    return onnx
