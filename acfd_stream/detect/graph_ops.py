"""The ONNX operators of our networks, twice: on shapes and weights in NumPy, and on tensors through torch.

``torch`` is handed in by the one file that imports it. What an operator is asked for and cannot do is a RunnerError
with the operator's name, never another result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.detect.onnx_graph import Node
from acfd_stream.errors import RunnerError

HostArray = NDArray[Any]
Tensor = Any
Attributes = Mapping[str, Any]

PARAMETERS: Mapping[str, tuple[int, ...]] = {
    "Gather": (1,),
    "ReduceMean": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
"""Inputs that say how, not what: they are known on the host before anything runs."""
_HARD_SIGMOID = (1 / 6, 0.5)


def run_on_host(node: Node, inputs: Sequence[HostArray | None]) -> HostArray:
    """What ``node`` makes of shapes and weights.

    Raises:
        RunnerError: there is no such operator here.
    """
    values = [value for value in inputs if value is not None]
    table: dict[str, Callable[[], Any]] = {
        "Add": lambda: values[0] + values[1],
        "Sub": lambda: values[0] - values[1],
        "Mul": lambda: values[0] * values[1],
        "Div": lambda: _divided(values[0], values[1]),
        "Relu": lambda: np.maximum(values[0], 0),
        "ReduceSum": lambda: values[0].sum(keepdims=bool(node.attributes.get("keepdims", 1))),
        "Cast": lambda: values[0].astype(_cast_type(node)),
        "Concat": lambda: np.concatenate(values, node.attributes["axis"]),
        "Gather": lambda: np.take(values[0], values[1], node.attributes.get("axis", 0)),
        "Reshape": lambda: values[0].reshape(_whole(values[1])),
        "Slice": lambda: values[0][_slices(values[0].ndim, inputs[1:])],
        "Squeeze": lambda: np.squeeze(values[0], tuple(_whole(values[1])) if len(values) > 1 else None),
        "Unsqueeze": lambda: np.expand_dims(values[0], tuple(_whole(values[1]))),
        "Identity": lambda: values[0],
        "DequantizeLinear": lambda: _dequantised(values, node.attributes.get("axis", 1)),
    }
    if node.op not in table:
        raise RunnerError(f"operator {node.op} on shapes or weights is not known here, only {', '.join(sorted(table))}")
    return np.asarray(table[node.op]())


def _divided(dividend: HostArray, divisor: HostArray) -> HostArray:
    """ONNX divides whole numbers toward zero; sizes are never negative, so rounding down is that."""
    return dividend // divisor if np.issubdtype(dividend.dtype, np.integer) else dividend / divisor


def _dequantised(values: Sequence[HostArray], axis: int) -> HostArray:
    """A weight that is stored as bytes, with one scale or one a channel along ``axis``."""
    steps, scale, zero = (*values, np.zeros_like(values[1]))[:3]
    shape = [-1 if place == axis else 1 for place in range(steps.ndim)] if scale.ndim else []
    centred: HostArray = steps.astype(scale.dtype) - zero.astype(scale.dtype).reshape(shape)
    return np.asarray(centred * scale.reshape(shape))


def _cast_type(node: Node) -> type[np.generic]:
    types: dict[int, type[np.generic]] = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}
    if node.attributes["to"] not in types:
        raise RunnerError(f"operator Cast to ONNX's type {node.attributes['to']} is not known here")
    return types[node.attributes["to"]]


def _whole(values: HostArray) -> list[int]:
    return [int(value) for value in np.atleast_1d(values)]


def _slices(dimensions: int, parameters: Sequence[HostArray | None]) -> tuple[slice, ...]:
    """The slices of operator Slice: starts, ends, axes, steps; steps are forward only, as torch has them."""
    known = [None if value is None else _whole(value) for value in parameters]
    starts, ends, axes, steps = [*known, None, None][:4]
    if starts is None or ends is None or min(steps or [1]) < 1:
        raise RunnerError("operator Slice is known here with starts and ends, and steps forward only")
    found = [slice(None)] * dimensions
    for place, axis in enumerate(axes or range(len(starts))):
        found[axis] = slice(starts[place], ends[place], steps[place] if steps else 1)
    return tuple(found)


class TensorOps:
    """The operators on tensors; ``find`` gives a node as a function of its tensor inputs."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._functional = torch.nn.functional
        self._table: dict[str, Callable[[Attributes, Sequence[HostArray | None]], Callable[..., Tensor]]] = {
            "Add": lambda _, __: torch.add,
            "Sub": lambda _, __: torch.sub,
            "Mul": lambda _, __: torch.mul,
            "Div": lambda _, __: torch.div,
            "Identity": lambda _, __: lambda x: x,
            "Relu": lambda _, __: self._functional.relu,
            "Sigmoid": lambda _, __: lambda x: torch.sigmoid(x.float()),  # see onnx_graph.FULL_PRECISION
            "HardSigmoid": self._hard_sigmoid,
            "QuantizeLinear": lambda _, __: self._quantised,
            "DequantizeLinear": lambda _, __: lambda steps, scale, zero=0: (steps - zero) * scale,
            "Concat": lambda attributes, _: lambda *x: torch.cat(x, attributes["axis"]),
            "Transpose": lambda attributes, _: lambda x: x.permute(attributes["perm"]),
            "Conv": self._conv,
            "MaxPool": self._max_pool,
            "AveragePool": self._average_pool,
            "GlobalAveragePool": lambda _, __: lambda x: x.mean((2, 3), keepdim=True),
            "ReduceMean": self._mean,
            "Resize": self._resize,
            "Reshape": self._reshape,
            "Slice": lambda _, how: lambda x: x[_slices(x.ndim, how)],
            "Gather": self._gather,
            "Unsqueeze": lambda _, how: lambda x: _each(x, sorted(_whole(_there(how[0]))), torch.unsqueeze),
            "Squeeze": lambda _, how: lambda x: _each(x, sorted(_whole(_there(how[0])), reverse=True), torch.squeeze),
        }

    def find(self, node: Node, parameters: Sequence[HostArray | None]) -> Callable[..., Tensor]:
        """``node`` as a function of its tensor inputs, in their order.

        Args:
            node: an operator.
            parameters: values of its inputs that ``PARAMETERS`` names; None where one is left out.

        Raises:
            RunnerError: there is no such operator here, or not with these attributes.
        """
        if node.op not in self._table:
            known = ", ".join(sorted(self._table))
            raise RunnerError(f"operator {node.op} is not known to the torch runner, only {known}")
        return self._table[node.op](node.attributes, parameters)

    def _hard_sigmoid(self, attributes: Attributes, _: object) -> Callable[..., Tensor]:
        alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
        if np.allclose((alpha, beta), _HARD_SIGMOID, rtol=1e-6):
            return self._functional.hardsigmoid  # type: ignore[no-any-return]
        return lambda x: self._torch.clamp(x * alpha + beta, 0, 1)

    def _quantised(self, x: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        """Steps of a signed byte, kept as floats: what bytes would give, at the speed of floats."""
        if scale.ndim or zero.dtype != self._torch.int8:
            raise RunnerError("operator QuantizeLinear is known here with one scale and signed bytes")
        return self._torch.clamp(self._torch.round(x / scale) + zero, -128, 127)

    def _conv(self, attributes: Attributes, _: object) -> Callable[..., Tensor]:
        padding = _symmetric(attributes, "Conv")
        strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
        groups = attributes.get("group", 1)
        conv = self._functional.conv2d
        return lambda x, weight, bias=None: conv(x, weight, bias, strides, padding, dilations, groups)

    def _max_pool(self, attributes: Attributes, _: object) -> Callable[..., Tensor]:
        kernel, padding = attributes["kernel_shape"], _symmetric(attributes, "MaxPool")
        strides, is_ceil = attributes.get("strides", [1, 1]), bool(attributes.get("ceil_mode", 0))
        dilations = attributes.get("dilations", [1, 1])
        return lambda x: self._functional.max_pool2d(x, kernel, strides, padding, dilations, is_ceil)

    def _average_pool(self, attributes: Attributes, _: object) -> Callable[..., Tensor]:
        kernel, padding = attributes["kernel_shape"], _symmetric(attributes, "AveragePool")
        strides, is_ceil = attributes.get("strides", [1, 1]), bool(attributes.get("ceil_mode", 0))
        counts_padding = bool(attributes.get("count_include_pad", 0))
        return lambda x: self._functional.avg_pool2d(x, kernel, strides, padding, is_ceil, counts_padding)

    def _mean(self, attributes: Attributes, how: Sequence[HostArray | None]) -> Callable[..., Tensor]:
        axes, keeps = _whole(_there(how[0])), bool(attributes.get("keepdims", 1))
        return lambda x: x.mean(axes, keepdim=keeps)

    def _resize(self, attributes: Attributes, how: Sequence[HostArray | None]) -> Callable[..., Tensor]:
        mode = [
            bytes(attributes.get(key, given)).decode()
            for key, given in (
                ("mode", b"nearest"),
                ("coordinate_transformation_mode", b"half_pixel"),
                ("nearest_mode", b"round_prefer_floor"),
            )
        ]
        scales = [float(scale) for scale in _there(how[1])] if how[1] is not None else []
        factors = [int(scale) for scale in scales]
        if mode != ["nearest", "asymmetric", "floor"] or factors != scales or factors[:2] != [1, 1]:
            raise RunnerError(f"operator Resize is known here by whole factors to the nearest, got {mode} by {scales}")
        return lambda x: self._functional.interpolate(x, scale_factor=factors[2:], mode="nearest")

    def _reshape(self, attributes: Attributes, how: Sequence[HostArray | None]) -> Callable[..., Tensor]:
        shape, keeps_zero = _whole(_there(how[0])), bool(attributes.get("allowzero", 0))

        def reshape(x: Tensor) -> Tensor:
            return x.reshape([x.shape[at] if n == 0 and not keeps_zero else n for at, n in enumerate(shape)])

        return reshape

    def _gather(self, attributes: Attributes, how: Sequence[HostArray | None]) -> Callable[..., Tensor]:
        indices, axis = _there(how[0]), attributes.get("axis", 0)
        if indices.ndim:
            raise RunnerError(f"operator Gather is known here by one index, got {list(indices.shape)}")
        return lambda x: x.select(axis, int(indices))


def _there(value: HostArray | None) -> HostArray:
    if value is None:
        raise RunnerError("an operator lacks an input that must be known before it runs")
    return value


def _each(x: Tensor, axes: list[int], action: Callable[[Tensor, int], Tensor]) -> Tensor:
    for axis in axes:
        x = action(x, axis)
    return x


def _symmetric(attributes: Attributes, op: str) -> list[int]:
    """Padding above and left, which must be that below and right."""
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    automatic = bytes(attributes.get("auto_pad", b"NOTSET")).decode()
    if automatic not in ("NOTSET", "VALID") or len(pads) != 4 or pads[:2] != pads[2:]:
        raise RunnerError(f"operator {op} is known here in two dimensions with equal padding, got {automatic} {pads}")
    return pads[:2]
