"""Writes an embedding network as the ONNX file that ``acfd_stream.FaceEmbedder`` reads.

Input "images": float32 [N, 3, SIDE, SIDE], RGB, ``(crop - mean) / std`` as the metadata says; output "embeddings":
float32 [N, D] of unit length. The file describes itself in the metadata key "acfd_stream".
"""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..acb import fuse
from ..normalisation import MEAN, STD
from ..onnx_file import OPSET, drop_traces, store_half
from .crops import CONTEXT, SIDE
from .network import EmbeddingNetwork

METADATA_KEY = "acfd_stream"


@dataclass(frozen=True)
class Description:
    """What a model file says of itself, besides its sizes."""

    name: str
    version: str
    link_similarity: float  # cosine from which on two views are of one character, at a hundredth of false links
    training_data: str
    date: str  # ISO, day of training


class Deployed(nn.Module):
    """The fused network; input normalised outside."""

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network = fuse(copy.deepcopy(network).eval())

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, SIDE, SIDE] → [B, D]."""
        embeddings: Tensor = self.network(images)
        return embeddings


def export(network: EmbeddingNetwork, description: Description, path: Path) -> None:
    """Write ``network`` as ONNX with a dynamic batch, its weights stored as fp16.

    Args:
        network: trained, unfused; it is not changed.
        description: goes into the file's metadata.
        path: the file, replaced if there.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from inside the exporter
            program = torch.onnx.export(
                Deployed(network).float().eval(),
                (torch.zeros(2, 3, SIDE, SIDE),),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["embeddings"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                verbose=False,
            )
        program.save(str(raw))
        model = onnx.load(str(raw))
    drop_traces(model.graph)
    store_half(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(metadata(network, description))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def metadata(network: EmbeddingNetwork, description: Description) -> dict[str, object]:
    """The JSON object in a file's metadata."""
    return {
        "format": 1,
        "kind": "embedding",
        **asdict(description),
        "mean": list(MEAN),
        "std": list(STD),
        "size": SIDE,
        "context": CONTEXT,
        "dimensions": network.config.dimensions,
    }
