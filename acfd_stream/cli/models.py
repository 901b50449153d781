"""The command ``models``: the models that come with the package, from the metadata of their files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acfd_stream.cli.exits import DONE

if TYPE_CHECKING:
    from acfd_stream.detect.detector import ModelFile


def models(is_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False) -> int:
    """List the models that come with the package."""
    from acfd_stream.detect.detector import models as shipped_models
    from acfd_stream.outputs.jsonl import json_line

    shipped = shipped_models()
    if is_json:
        for model in shipped:
            sys.stdout.buffer.write(json_line(model_values(model)))
    else:
        _print_table(shipped)
    return DONE


def model_values(model: ModelFile) -> dict[str, Any]:
    """The metadata that helps to choose a model."""
    return {
        "name": model.name,
        "version": model.spec.version,
        "size": model.spec.size,
        "precisions": list(model.precisions),
        "strides": list(model.spec.anchors.strides),
        "classes": list(model.spec.classes),
        "date": model.spec.date,
        "training_data": model.spec.training_data,
    }


def _print_table(models: list[ModelFile]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "version", "size", "on a CPU", "date", "training data")
    for model in models:
        spec, precisions = model.spec, ", ".join(model.precisions)
        table.add_row(model.name, spec.version, str(spec.size), precisions, spec.date, spec.training_data)
    Console().print(table if models else "no models are shipped")
