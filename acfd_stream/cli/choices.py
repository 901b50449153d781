"""What options that several commands have choose from."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from acfd_stream.outputs.formats import FORMATS

if TYPE_CHECKING:  # type checkers know no enum that is made from a table
    Format = str
else:
    Format = StrEnum("Format", {name.upper(): name for name in FORMATS})
    """Values of ``--format``."""
JSON_LINES = Format("jsonl")


class Device(StrEnum):
    """What ``--device`` takes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """What ``--precision`` takes: acfd_stream.config.PRECISIONS."""

    AUTO = "auto"
    INT8 = "int8"
    BF16 = "bf16"
    F32 = "f32"
