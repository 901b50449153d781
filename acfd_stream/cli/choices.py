"""What options that several commands have choose from."""

from __future__ import annotations

from enum import StrEnum


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
