"""What a file of an embedding network says of itself, and where such files are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acfd_stream.errors import RunnerError
from acfd_stream.identity.views import MOST_DIMENSIONS
from acfd_stream.networks.model_file import read_metadata
from acfd_stream.networks.shipped import find_network, int8_variant_of, shipped_files

METADATA_KEY = "acfd_stream"


@dataclass(frozen=True)
class EmbedderSpec:
    """The description in a model file."""

    name: str
    version: str
    mean: tuple[float, ...]  # RGB, 0 … 255
    std: tuple[float, ...]  # RGB, > 0
    dimensions: int
    link_similarity: float  # cosine from which two views count as one character

    @classmethod
    def from_metadata(cls, values: Mapping[str, Any]) -> EmbedderSpec:
        """A checked spec.

        Raises:
            ValueError: an entry is missing or outside its range; the message names it.
        """
        missing = sorted({"name", "version", "mean", "std", "dimensions", "link_similarity"} - set(values))
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        for name in ("name", "version"):
            if not isinstance(values[name], str) or not values[name].isprintable():
                raise ValueError(f"{name} must be a line of text, got {values[name]!r}")
        dimensions, similarity = values["dimensions"], values["link_similarity"]
        if not isinstance(dimensions, int) or not 1 <= dimensions <= MOST_DIMENSIONS:
            raise ValueError(f"dimensions must be a whole number in 1 … {MOST_DIMENSIONS}, got {dimensions!r}")
        if not isinstance(similarity, int | float) or not 0 < similarity < 1:
            raise ValueError(f"link_similarity must be a number in (0, 1), got {similarity!r}")
        mean, std = _colours(values, "mean", 0.0), _colours(values, "std", 1e-3)
        return cls(values["name"], values["version"], mean, std, dimensions, float(similarity))


def _colours(values: Mapping[str, Any], name: str, least: float) -> tuple[float, ...]:
    found = values[name]
    is_right = isinstance(found, list) and len(found) == 3
    if not is_right or not all(isinstance(value, int | float) and least <= value <= 1e6 for value in found):
        raise ValueError(f"{name} must be 3 numbers of at least {least:g}, got {found!r}")
    return tuple(map(float, found))


def read_embedder_spec(path: Path) -> EmbedderSpec:
    """The checked spec of the model file at ``path``.

    Raises:
        RunnerError: no such file, no ONNX model, or its description is missing or wrong.
    """
    text = read_metadata(path).get(METADATA_KEY)
    if text is None:
        raise RunnerError(f"model file {path} does not describe itself: metadata entry {METADATA_KEY!r} is missing")
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"it must be a JSON object, got {type(values).__name__}")
        return EmbedderSpec.from_metadata(values)
    except (TypeError, ValueError) as error:
        raise RunnerError(f"model file {path} is no embedding network: {error}") from error


def find_embedder(name_or_path: str | Path) -> Path:
    """Path of a shipped embedding network by its name, or of a file that ends in ".onnx".

    Raises:
        RunnerError: there is no such network; the message lists the installed ones.
    """
    return find_network(name_or_path, shipped_files(embedders=True), "embedding network")


def find_int8_embedder(name_or_path: str | Path) -> Path | None:
    """The int8 variant of a shipped embedding network, or None; a path means only that file."""
    return int8_variant_of(name_or_path, find_embedder)
