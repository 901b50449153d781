"""Models as protobuf messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acfd_stream.detect.runner import ModelSpec
from acfd_stream.v1 import stream_pb2

if TYPE_CHECKING:
    from acfd_stream.identity.embedder import FaceEmbedder
    from acfd_stream.identity.spec import EmbedderSpec
    from acfd_stream.pipeline.engine import Engine


def loaded_model_pb(engine: Engine) -> stream_pb2.ModelInfo:
    """The model that ``engine`` runs, with its precision and device."""
    return model_info_pb(engine.spec, engine.spec.name, engine.precision, engine.description, is_loaded=True)


def embedder_pb(spec: EmbedderSpec, embedder: FaceEmbedder | None) -> stream_pb2.ModelInfo:
    """The network that recognises characters; ``embedder`` if it is loaded."""
    precision = "" if embedder is None else embedder.precision
    return stream_pb2.ModelInfo(
        name=spec.name, version=spec.version, precision=precision, is_loaded=embedder is not None
    )


def model_info_pb(
    spec: ModelSpec, name: str, precision: str = "", description: str = "", *, is_loaded: bool = False
) -> stream_pb2.ModelInfo:
    """A model called ``name``; ``precision`` and ``description`` only if it is loaded."""
    return stream_pb2.ModelInfo(
        name=name,
        version=spec.version,
        precision=precision,
        description=description,
        is_loaded=is_loaded,
        training_data=spec.training_data,
        date=spec.date,
    )
