"""The fp16 model for runtimes on a GPU, with the type of every tensor in the file.

This is our own because the known converters do not keep the scores in float32: ``onnxconverter-common`` 1.16 and
``onnxruntime.transformers.float16`` 1.31 round them to fp16 after the sigmoid, and their files fail ONNX's checker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.detect.onnx_graph import import_onnx, load_model
from acfd_stream.networks.model_file import is_quantised

FULL_PRECISION = ("Sigmoid",)
"""Operators that stay in float32, so that scores near 1, such as two near 0.9998, stay different."""
_PARAMETERS = {"Resize": (1, 2)}  # float inputs that must be float32 whatever the data is
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear")
_HALF_SCALES_OPSET = 19  # the first whose scales may be fp16; our other operators are the same from 18 on
_NO_FLOATS = ("Shape", "QuantizeLinear")  # their outputs are never floats


def half_model(path: Path) -> bytes:
    """The model at ``path`` as a strongly typed fp16 model.

    Input, weights and activations are fp16; ``FULL_PRECISION`` and the outputs are float32. Quantised layers stay
    quantised, with scales in fp16. A file with an fp16 input keeps its types.

    Raises:
        BackendUnavailable: onnx is not installed.
        RunnerError: the file is no whole ONNX model.
    """
    model = load_model(path)
    if not _is_half(model):
        _Halving(model.graph).run()
        for opset in model.opset_import:
            if not opset.domain and any(node.op_type in _QUANTIZED for node in model.graph.node):
                opset.version = max(opset.version, _HALF_SCALES_OPSET)
    data: bytes = model.SerializeToString()
    return data


def arithmetic(path: Path) -> str:
    """The arithmetic of ``half_model`` of the file: "f16", or "int8" if it has quantised layers.

    Raises:
        RunnerError: the file cannot be read.
    """
    return "int8" if is_quantised(path) else "f16"


def _is_half(model: Any) -> bool:
    half = import_onnx().TensorProto.FLOAT16
    return any(entry.type.tensor_type.elem_type == half for entry in model.graph.input)


class _Halving:
    """Rewrites a float32 graph in place, node by node; every float tensor is float32 or fp16."""

    def __init__(self, graph: Any) -> None:
        onnx = import_onnx()
        self._helper, self._arrays, self._types = onnx.helper, onnx.numpy_helper, onnx.TensorProto
        self._graph = graph
        self._weights = {tensor.name: self._arrays.to_array(tensor) for tensor in graph.initializer}
        self._kinds: dict[str, int] = {}  # float tensors besides weights → FLOAT or FLOAT16
        self._nodes: list[Any] = []
        self._given: dict[tuple[str, int], str] = {}  # (tensor, type) → name of the tensor in that type

    def run(self) -> None:
        """Rewrite the graph."""
        for entry in self._graph.input:
            if entry.type.tensor_type.elem_type == self._types.FLOAT:
                entry.type.tensor_type.elem_type = self._types.FLOAT16
                self._kinds[entry.name] = self._types.FLOAT16
        for node in list(self._graph.node):
            self._take(node)
        for entry in self._graph.output:
            self._widen_output(entry.name)
        del self._graph.node[:], self._graph.value_info[:], self._graph.initializer[:]
        used = {name for node in self._nodes for name in node.input}
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(
            self._arrays.from_array(value, name) for name, value in self._weights.items() if name in used
        )

    def _take(self, node: Any) -> None:
        """Add a node whose float inputs are all of one type."""
        if self._is_folded(node):
            return
        if node.op_type == "Cast":  # its type is meant
            self._mark(node, self._helper.get_attribute_value(node.attribute[0]))
            return
        kind = self._kind_of(node)
        for index, name in enumerate(node.input):
            if name in self._kinds or self._is_float_weight(name):
                is_parameter = index in _PARAMETERS.get(node.op_type, ())
                node.input[index] = self._as(name, self._types.FLOAT if is_parameter else kind)
        is_float = any(name in self._kinds or self._is_float_weight(name) for name in node.input)
        self._mark(node, kind if is_float and node.op_type not in _NO_FLOATS else self._types.INT64)

    def _mark(self, node: Any, kind: int) -> None:
        """Add ``node``, whose outputs are of ``kind``."""
        self._nodes.append(node)
        if kind in (self._types.FLOAT, self._types.FLOAT16):
            self._kinds.update(dict.fromkeys(node.output, kind))

    def _is_folded(self, node: Any) -> bool:
        """Whether ``node`` became a weight: a constant, or a cast of a weight that is stored as fp16."""
        attributes = {entry.name: self._helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "Constant":
            self._weights[node.output[0]] = self._arrays.to_array(attributes["value"])
            return True
        if node.op_type != "Cast" or node.input[0] not in self._weights:
            return False
        dtype = self._helper.tensor_dtype_to_np_dtype(attributes["to"])
        self._weights[node.output[0]] = self._weights[node.input[0]].astype(dtype)
        return True

    def _kind_of(self, node: Any) -> int:
        is_full = node.op_type in FULL_PRECISION or any(
            self._kinds.get(name) == self._types.FLOAT for name in node.input
        )
        return int(self._types.FLOAT if is_full else self._types.FLOAT16)

    def _is_float_weight(self, name: str) -> bool:
        return name in self._weights and bool(np.issubdtype(self._weights[name].dtype, np.floating))

    def _as(self, name: str, kind: int) -> str:
        """The name of a tensor with the values of ``name`` in type ``kind``."""
        if self._kinds.get(name) == kind:
            return name
        if (name, kind) in self._given:
            return self._given[name, kind]
        dtype = self._helper.tensor_dtype_to_np_dtype(kind)
        if name in self._weights and self._weights[name].dtype == dtype:
            return name
        given = self._given[name, kind] = f"{name}.{np.dtype(dtype).name}"
        if name in self._weights:
            self._weights[given] = self._weights[name].astype(dtype)
        else:
            self._mark(self._helper.make_node("Cast", [name], [given], to=kind), kind)
        return given

    def _widen_output(self, name: str) -> None:
        """Make the graph's output float32 under its own name."""
        if self._kinds.get(name) != self._types.FLOAT16:
            return
        inner = f"{name}.inner"
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [inner if found == name else found for found in names]
        self._nodes.append(self._helper.make_node("Cast", [inner], [name], to=self._types.FLOAT))
