"""Writes a trained network as the ONNX file that the server reads.

The file contains its own description in the metadata key "acfd_stream" (see ``detect.runner``).
"""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acfd_stream.ops.anchors import ALIGNMENT, AnchorSpec

from .acb import fuse
from .network import Network
from .normalisation import MEAN, STD

OPSET = 18


@dataclass(frozen=True)
class Description:
    """The description in a model file, besides its geometry."""

    name: str
    version: str
    size: int  # longer side of the input it is meant for, pixels
    training_data: str
    date: str  # ISO, day of training
    score_threshold: float = 0.08  # paper, section 4.1


class Deployed(nn.Module):
    """The fused network with probabilities instead of logits; input normalised outside."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = fuse(copy.deepcopy(network).eval())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] → scores [B, A], deltas [B, A, 4]."""
        logits, deltas = self.network(images)
        return torch.sigmoid(logits), deltas


def export(network: Network, spec: AnchorSpec, description: Description, path: Path, *, is_half: bool = True) -> None:
    """Write ``network`` as ONNX with dynamic batch, height and width.

    Args:
        network: trained, unfused; it is not changed.
        spec: anchors it was trained with.
        description: goes into the file's metadata.
        path: the file, replaced if there.
        is_half: store weights as fp16 with casts; inputs and outputs stay float32.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.onnx"
        _trace(Deployed(network).float(), raw)
        model = onnx.load(str(raw))
    drop_traces(model.graph)
    if is_half:
        store_half(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = "acfd_stream", json.dumps(_metadata(spec, description))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _trace(network: Deployed, path: Path) -> None:
    """Write the bare graph; height and width are multiples of ALIGNMENT, as the letterbox makes them."""
    batch = torch.export.Dim("n")
    height, width = (ALIGNMENT * torch.export.Dim(name, min=1, max=512) for name in ("h", "w"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from inside the exporter
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, 128, 160),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["scores", "deltas"],
            dynamic_shapes=({0: batch, 2: height, 3: width},),
            verbose=False,
        )
    program.save(str(path))


def _metadata(spec: AnchorSpec, description: Description) -> dict[str, object]:
    return {
        "format": 1,
        "name": description.name,
        "version": description.version,
        "strides": list(spec.strides),
        "anchor_scale": spec.scale,
        "variances": list(spec.variances),
        "mean": list(MEAN),
        "std": list(STD),
        "pad": list(MEAN),
        "size": description.size,
        "score_threshold": description.score_threshold,
        "classes": ["face"],
        "training_data": description.training_data,
        "date": description.date,
    }


def drop_traces(graph: Any) -> None:
    """Drop what the exporter notes about the source of every node: paths of the machine, a third of the file."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")


def store_half(model: object) -> None:
    """Store large float32 initialisers as fp16 with a cast: half the file size, no run time."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph  # type: ignore[attr-defined]
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < 256:
            continue
        name = tensor.name
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half")
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
