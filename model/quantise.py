"""An int8 model file for GPUs: explicit quantisation, which TensorRT reads.

Pairs of QuantizeLinear and DequantizeLinear are on the inputs of the inner convolutions. All bytes are signed and
symmetric, with one scale per feature map and one per channel of weights. The first and the last convolutions keep their
precision.

NNCF makes the files for CPUs (``quantise_cpu``) and cannot make these: version 3.4 refuses signed activations for its
target devices (tried: CPU, GPU), and TensorRT takes no others.

Source: Wu et al., Integer Quantization for Deep Learning Inference (2020), sections 3 and 5.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acfd_stream import ops
from acfd_stream.config import DetectConfig
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import fit
from acfd_stream.progress import WorkProgress
from acfd_stream.types import Picture

from .average_precision import score
from .command_line import Parser
from .evaluation import examples_of
from .normalisation import MEAN
from .predict import normalise
from .readers import Sample

OPSET = 19
"""The first version that allows fp16 scales, which a GPU's model has."""
LEVELS = 127
FEWEST_CHANNELS = 8
"""Of a convolution that is quantised; the output convolutions have 5."""
PERCENTILE = 99.99
"""Values above this percentile are clipped, so that single outliers do not widen the steps of all others."""
LEAST_SCALE = 2.0**-14
"""The smallest normal number of fp16."""
MOST_FALL = 0.005
"""Loss of AP50 from which on a quantised model is refused."""


def find_ranges(path: Path, views: Iterable[NDArray[np.uint8]]) -> dict[str, float]:
    """The largest value, without outliers, of the input of each inner convolution, by tensor name.

    Args:
        path: a model file.
        views: uint8 [H, W, 3] RGB, letterboxed; a few dozen are enough.
    """
    import onnxruntime
    from onnx import ValueInfoProto

    model = _load(path)
    names = list(dict.fromkeys(node.input[0] for node in _inner(model)))
    model.graph.output.extend(ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ranges = dict.fromkeys(names, 0.0)
    for view in views:
        images = normalise(torch.from_numpy(view)[None]).numpy()
        for name, values in zip(names, session.run(names, {"images": images}), strict=True):
            ranges[name] = max(ranges[name], float(np.percentile(np.abs(values), PERCENTILE)))
    return ranges


def quantise(path: Path, ranges: dict[str, float], target: Path) -> None:
    """Write the model at ``path`` with the inputs and weights of its inner convolutions in int8.

    Args:
        path: a model file; it is not changed.
        ranges: of ``find_ranges``.
        target: the file, replaced if there.
    """
    import onnx

    model = _load(path)
    weights, inner = _weights(model), {node.output[0] for node in _inner(model)}
    bytes_of: dict[str, str] = {}  # tensor → the same tensor, quantised and dequantised
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.output[0] in inner:
            name, weight = node.input[0], node.input[1]
            if name not in bytes_of:
                bytes_of[name] = _rounded(model.graph, nodes, name, np.array(ranges[name] / LEVELS))
            if weight not in bytes_of:
                bytes_of[weight] = _stored(model.graph, nodes, weight, weights[weight])
            node.input[0], node.input[1] = bytes_of[name], bytes_of[weight]
        nodes.append(node)
    _replace(model.graph, nodes)
    model.opset_import[0].version = max(model.opset_import[0].version, OPSET)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def _load(path: Path) -> Any:
    from acfd_stream.detect.onnx_graph import load_model

    return load_model(path)


def _weights(model: Any) -> dict[str, NDArray[Any]]:
    """The weights by the names that layers use, those stored as fp16 included."""
    import onnx

    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]].astype(np.float32)
    return weights


def _inner(model: Any) -> list[Any]:
    """The convolutions between the first and the last; not the gates, whose input is one number per channel."""
    weights, made_by = _weights(model), {node.output[0]: node.op_type for node in model.graph.node}
    pictures = model.graph.input[0].name
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.input[0] != pictures
        and made_by.get(node.input[0]) not in ("ReduceMean", "GlobalAveragePool")
        and len(weights[node.input[1]]) >= FEWEST_CHANNELS
    ]


def _rounded(graph: Any, nodes: list[Any], name: str, scale: NDArray[Any]) -> str:
    """Quantise and dequantise a tensor; the name of the result."""
    from onnx import helper

    parameters = _parameters(graph, name, scale)
    nodes.append(helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}.bytes"]))
    nodes.append(helper.make_node("DequantizeLinear", [f"{name}.bytes", *parameters], [f"{name}.rounded"]))
    return f"{name}.rounded"


def _stored(graph: Any, nodes: list[Any], name: str, weight: NDArray[Any]) -> str:
    """Store a weight as bytes with a scale per output channel; the name of the dequantised weight."""
    from onnx import helper, numpy_helper

    scale = np.maximum(np.abs(weight).reshape(len(weight), -1).max(axis=1) / LEVELS, LEAST_SCALE)
    steps = np.rint(weight / scale.reshape(-1, 1, 1, 1)).clip(-LEVELS, LEVELS).astype(np.int8)
    graph.initializer.append(numpy_helper.from_array(steps, f"{name}.bytes"))
    inputs = [f"{name}.bytes", *_parameters(graph, name, scale)]
    nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}.rounded"], axis=0))
    return f"{name}.rounded"


def _parameters(graph: Any, name: str, scale: NDArray[Any]) -> list[str]:
    """Names of the scale and of the zero point, which is 0."""
    from onnx import numpy_helper

    whole = np.maximum(scale, LEAST_SCALE).astype(np.float16).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(whole, f"{name}.scale"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(whole.shape, np.int8), f"{name}.zero"))
    return [f"{name}.scale", f"{name}.zero"]


def _replace(graph: Any, nodes: list[Any]) -> None:
    """Put ``nodes`` into the graph, without casts and weights that no node reads any more."""
    read = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    nodes = [node for node in nodes if node.op_type != "Cast" or node.output[0] in read]
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def views_of(pictures: Iterable[NDArray[np.uint8]], size: int) -> Iterable[NDArray[np.uint8]]:
    """Letterboxed views of pictures, as the network takes them."""
    for picture in pictures:
        view = fit((picture.shape[0], picture.shape[1]), size)
        yield ops.letterbox(Picture.from_rgb(picture), view, MEAN)


def _fall(path: Path, quantised: Path, examples: Sequence[tuple[Sample, NDArray[np.uint8]]], size: int) -> float:
    """Loss of AP50 over ``examples`` by quantisation."""
    from acfd_stream.detect import Detector

    scores = []
    with WorkProgress(2 * len(examples), "pictures", "pictures/s") as progress:
        for model in (path, quantised):
            found = []
            with Detector.open(model, "cpu", DetectConfig(size=size)) as detector:
                for _, picture in examples:
                    found.append(detector.detect(picture, min_score=0.0))
                    progress.step("scoring")
            scores.append(score([sample for sample, _ in examples], found).ap50)
    return scores[0] - scores[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write an int8 model file for GPUs, unless it loses too much AP50."""
    parser = Parser(prog="python -m acfd_stream.model.quantise", description=main.__doc__)
    parser.add_argument("model", help="a shipped name or an .onnx file")
    parser.add_argument("output", type=Path, help="the .onnx file")
    parser.add_argument("--set", default="drawn-crowds", help="set of pictures, as in acfd-stream evaluate")
    parser.add_argument("--data", type=Path, help="folder that holds annotations/ and images/")
    parser.add_argument("--count", type=int, default=64, help="pictures to measure ranges on, and as many to score")
    parser.add_argument("--size", type=int, help="longer side of the input, pixels; default: the model's own")
    parser.add_argument("--most-fall", type=float, default=MOST_FALL, help="refuse the file from this loss of AP50 on")
    return parser.run(_write, arguments)


def _write(options: argparse.Namespace) -> None:
    from acfd_stream.detect.detector import find_model
    from acfd_stream.detect.runner import read_spec

    path = find_model(options.model)
    size = options.size or read_spec(path).size
    examples = list(examples_of(options.set, options.data, 2 * options.count))[: 2 * options.count]
    measured, scored = examples[: len(examples) // 2], examples[len(examples) // 2 :]
    quantise(path, find_ranges(path, views_of((picture for _, picture in measured), size)), options.output)
    fall = _fall(path, options.output, scored, size)
    said = f"AP50 falls by {fall:.4f} on {len(scored)} pictures of {options.set}"
    if fall >= options.most_fall:
        options.output.unlink()
        raise RunnerError(f"{said}: not kept")
    print(said, file=sys.stderr)
    print(options.output)


if __name__ == "__main__":
    raise SystemExit(main())
