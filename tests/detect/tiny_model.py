"""A hand-made network with the interface of a real one, which fires on bright squares.

At every place it subtracts the mean brightness of a ring around the anchor from the mean inside, so a white
square that fills an anchor exactly scores 0.99 there and its box comes out exact: all deltas are zero.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GRAY = (1 / 3, 1 / 3, 1 / 3)
STRIDES = (8, 16, 32)
ALIGNED_SCORE = 1.0 / (1.0 + np.exp(-12.0 * 0.4))
SPEC: dict[str, Any] = {
    "format": 1,
    "name": "tiny",
    "version": "1",
    "strides": list(STRIDES),
    "anchor_scale": 4.0,
    "variances": [0.1, 0.2],
    "mean": [0.0, 0.0, 0.0],
    "std": [255.0, 255.0, 255.0],
    "pad": [0, 0, 0],
    "size": 128,
    "score_threshold": 0.08,
    "classes": ["face"],
    "training_data": "none: weights set by hand",
    "date": "2026-01-01",
}


def write_tiny_model(path: Path, *, channel_weights: tuple[float, ...] = GRAY, **spec: Any) -> Path:
    """Write the network to ``path``; ``spec`` changes entries of its metadata."""
    return write_model(path, {"acfd_stream": json.dumps({**SPEC, **spec})}, channel_weights)


def write_model(path: Path, metadata: dict[str, str], channel_weights: tuple[float, ...] = GRAY) -> Path:
    """Write the network with exactly this metadata to ``path``."""
    weights = {"gray_weight": np.array(channel_weights, np.float32).reshape(1, 3, 1, 1), "ring_weight": _ring_kernel()}
    weights |= {"bias": np.array([-12.0 * 0.6], np.float32), "flat": np.array([0, -1], np.int64)}
    weights |= {"last": np.array([2], np.int64), "zeros": np.zeros((1, 1, 4), np.float32)}
    nodes = [helper.make_node("Conv", ["images", "gray_weight"], ["gray"])]
    for stride in STRIDES:
        nodes += _level_nodes(stride)
    levels = [f"scores{stride}" for stride in STRIDES]
    nodes.append(helper.make_node("Concat", levels, ["scores"], axis=1))
    nodes.append(helper.make_node("Unsqueeze", ["scores", "last"], ["column"]))
    nodes.append(helper.make_node("Mul", ["column", "zeros"], ["deltas"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", "A"]),
            helper.make_tensor_value_info("deltas", TensorProto.FLOAT, ["N", "A", 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def write_tiny_int8(path: Path, target: Path) -> Path:
    """Write the network at ``path`` with its later convolutions in int8 to ``target``, its metadata as they are."""
    model = onnx.load(path)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    ring, most = weights["ring_weight"], np.abs(weights["ring_weight"]).max() / 127
    values = {
        "gray.scale": np.array(weights["gray_weight"].sum() / 127, np.float32),  # of white; broken where weights are
        "gray.zero": np.array(0, np.int8),
        "ring.scale": np.array(most, np.float32),
        "ring.bytes": np.rint(ring / most).astype(np.int8),
        "ring.zero": np.array(0, np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    first, rest = model.graph.node[0], list(model.graph.node[1:])
    first.output[0] = "exact"
    added = [
        helper.make_node("QuantizeLinear", ["exact", "gray.scale", "gray.zero"], ["gray.bytes"]),
        helper.make_node("DequantizeLinear", ["gray.bytes", "gray.scale", "gray.zero"], ["gray"]),
        helper.make_node("DequantizeLinear", ["ring.bytes", "ring.scale", "ring.zero"], ["ring"]),
    ]
    for node in rest:
        node.input[:] = ["ring" if name == "ring_weight" else name for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([first, *added, *rest])
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())
    return target


def white_square(size: tuple[int, int], left: int, top: int, side: int) -> np.ndarray:
    """uint8 [H, W, 3]: black with one white square."""
    image = np.zeros((*size, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


def _level_nodes(stride: int) -> list[onnx.NodeProto]:
    cell = stride // 4
    return [
        helper.make_node("AveragePool", ["gray"], [f"cells{stride}"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node(
            "Conv", [f"cells{stride}", "ring_weight", "bias"], [f"map{stride}"], strides=[4, 4], pads=[10, 10, 10, 10]
        ),
        helper.make_node("Sigmoid", [f"map{stride}"], [f"probability{stride}"]),
        helper.make_node("Reshape", [f"probability{stride}", "flat"], [f"scores{stride}"]),
    ]


def _ring_kernel() -> np.ndarray:
    """float32 [1, 1, 24, 24]: in quarter strides, the anchor's 16×16 less the 4 cells around it."""
    kernel = np.full((24, 24), -1.0 / (24 * 24 - 16 * 16), np.float32)
    kernel[4:20, 4:20] = 1.0 / (16 * 16)
    return 12.0 * kernel.reshape(1, 1, 24, 24)
