"""The int8 variant of an embedding, which CPUs with int8 instructions run instead of it: made by NNCF after training.

The same recipe as ``quantise_cpu`` for detectors: signed weights with one scale per channel, unsigned activations after
ReLU. The linear layer magnifies small differences, so some parts keep their precision:

- the first convolutions;
- the depthwise convolutions, which are trained here: in int8 the cosine of an embedding with that of the float network
  is 0.94 on average, without them 0.998;
- the division by the length, which is of one sum only.

The bias of the linear layer is moved so that embeddings have the same mean as before; otherwise strangers look alike by
more, and the model's ``link_similarity`` does not hold for the variant.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.errors import RunnerError
from acfd_stream.types import FloatArray

from ..command_line import Parser
from .crops import CropSet, Pixels

SHOWN = 300
"""Crops that the ranges are measured on, evenly spread over the table, or drawn."""
FLOAT_CONVOLUTIONS = 3
"""The stem and the block after it, in float32."""
_LENGTH = ("ReduceL2", "Expand", "Div")
MOST_FALL = 0.005
"""Loss of AUC from which on a variant is not kept."""


def quantise_embedding(path: Path, crops: Pixels, target: Path) -> None:
    """Write the embedding at ``path`` in int8, with the same metadata.

    Args:
        path: a model file; it is not changed.
        crops: uint8 [N, SIDE, SIDE, 3] RGB that the ranges are measured on.
        target: the file, replaced if there.

    Raises:
        BackendUnavailable: NNCF is not installed.
        RunnerError: the file is refused.
    """
    import onnx

    from acfd_stream.networks.model_file import read_metadata
    from acfd_stream.networks.precision import MADE_FROM, digest

    from ..quantise_cpu import import_nncf, widened
    from .onnx_file import METADATA_KEY

    nncf = import_nncf()
    import nncf.quantization.range_estimator as ranges

    values = json.loads(read_metadata(path)[METADATA_KEY])
    mean, std = np.array(values["mean"], np.float32), np.array(values["std"], np.float32)

    def as_input(crop: Pixels) -> dict[str, Any]:
        return {"images": np.ascontiguousarray(((crop.astype(np.float32) - mean) / std).transpose(2, 0, 1)[None])}

    plain = widened(path)
    model = nncf.quantize(
        plain,
        nncf.Dataset(crops, as_input),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(crops),
        ignored_scope=nncf.IgnoredScope(names=_float_nodes(plain)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=ranges.RangeEstimatorParametersSet.MEAN_MINMAX
        ),
    )
    _restore_mean(model, plain, [as_input(crop) for crop in crops])
    entry = model.metadata_props.add()
    entry.key, entry.value = MADE_FROM, digest(path)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def _float_nodes(model: Any) -> list[str]:
    """The names of the nodes that keep their precision."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    depthwise = [node for node in convolutions if any(each.name == "group" and each.i > 1 for each in node.attribute)]
    length = [node for node in model.graph.node if node.op_type in _LENGTH]
    return list(dict.fromkeys(node.name for node in (*convolutions[:FLOAT_CONVOLUTIONS], *depthwise, *length)))


def _restore_mean(model: Any, plain: Any, inputs: Sequence[dict[str, Any]]) -> None:
    """Move the bias of the linear layer of ``model`` so that its mean output is that of ``plain``."""
    from onnx import numpy_helper

    means = [_mean_vector(one, inputs) for one in (plain, model)]
    (linear,) = (node for node in model.graph.node if node.op_type == "Gemm")
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == linear.input[2])
    moved = numpy_helper.to_array(bias) + (means[0] - means[1])
    bias.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), bias.name))


def _mean_vector(model: Any, inputs: Sequence[dict[str, Any]]) -> FloatArray:
    """The mean output of the linear layer, before embeddings get unit length: float32 [D]."""
    import onnx
    import openvino

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    (linear,) = (node for node in copied.graph.node if node.op_type == "Gemm")
    copied.graph.output.append(onnx.helper.make_tensor_value_info(linear.output[0], onnx.TensorProto.FLOAT, None))
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(copied.SerializeToString()), "CPU")
    return np.asarray(np.mean([compiled(one)[1][0] for one in inputs], 0), np.float32)


def shown_crops(crops: CropSet | None) -> Pixels:
    """SHOWN crops, spread evenly over ``crops``; drawn characters for None."""
    from .drawn import draw_characters

    pixels = draw_characters(100_000, SHOWN // 4, 4).pixels if crops is None else crops.pixels
    return pixels[np.linspace(0, len(pixels) - 1, min(SHOWN, len(pixels))).astype(int)]


def _parser() -> Parser:
    parser = Parser(prog="python -m acfd_stream.model.identity.quantise", description=main.__doc__)
    parser.add_argument("model", type=Path, help="the .onnx file")
    parser.add_argument("output", nargs="?", type=Path, help="the int8 .onnx file; default: next to the model")
    parser.add_argument("--table", type=Path, help="CSV file of crops; default: drawn characters")
    parser.add_argument("--most-fall", type=float, default=MOST_FALL, help="refuse the file from this loss of AUC on")
    parser.add_argument("--show", action="append", help="show to score on; repeatable; default: all")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the int8 variant of an embedding, unless it loses too much AUC."""
    return _parser().run(_write, arguments)


def _write(options: argparse.Namespace) -> None:
    from acfd_stream.networks.precision import int8_path_of

    from .crops import read_characters
    from .drawn import draw_characters
    from .predict import open_embed
    from .scoring import mean_score, score

    target = options.output or int8_path_of(options.model)
    crops = read_characters(options.table) if options.table else None
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.int8.onnx"
        quantise_embedding(options.model, shown_crops(crops), made)
        judged = draw_characters(200_000, 48, 6) if crops is None else crops
        shows = judged.of_shows(options.show or sorted(set(judged.shows))).by_show()
        before, after = (
            mean_score([score(open_embed(str(file)), show) for show in shows]) for file in (options.model, made)
        )
        print(f"AUC {before['auc']:.4f}, in int8 {after['auc']:.4f}", flush=True)
        if before["auc"] - after["auc"] >= options.most_fall:
            raise RunnerError(f"AUC falls by {before['auc'] - after['auc']:.4f}: not kept")
        target.write_bytes(made.read_bytes())
    print(f"{target.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    print(target)


if __name__ == "__main__":
    raise SystemExit(main())
