"""Options that several commands share: their values, checks and help."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from acfd_stream.config import DetectConfig
from acfd_stream.outputs.formats import FORMATS

DETECT = DetectConfig()
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


def split(text: str) -> tuple[str, ...]:
    """The names in ``a,b,c``; empty text means none."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_scales(text: str) -> tuple[int, ...]:
    """The scales in ``480,640,800``; empty text means none."""
    try:
        return tuple(int(part) for part in split(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers like 480,640,800") from None


def _check_seconds(seconds: float | None) -> float | None:
    if seconds is not None and not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is not a time in seconds")
    return seconds


ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME|PATH", help="Name of a shipped model, or path of an .onnx file.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Device that runs the network.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Arithmetic of the network on a CPU; auto: the fastest that model and CPU have."),
]
SizeOption = Annotated[int, typer.Option("--size", help="Longer side of the network's input, in pixels; 64 to 4096.")]
ScalesOption = Annotated[
    str,
    typer.Option(
        "--scales",
        metavar="S,S,…",
        help="Shorter sides for a multi-scale test, such as 480,640,800; replaces --size.",
    ),
]
BatchOption = Annotated[
    int, typer.Option("--batch", help="Pictures per batch of the network, 1 to 64; never changes results.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", help="CPU threads of the network; 0: one per core.")]
FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        help="JSON lines; Parquet, with a row per face and frame; MOTChallenge text; COCO JSON; "
        "or WebVTT, with a cue for every span of time in which a track is on screen.",
    ),
]
StartOption = Annotated[
    float | None,
    typer.Option("--start", metavar="S", callback=_check_seconds, help="Start at this second of the video."),
]
EndOption = Annotated[
    float | None,
    typer.Option("--end", metavar="S", callback=_check_seconds, help="Stop before this second of the video."),
]
EveryFrameOption = Annotated[
    bool, typer.Option("--every-frame", help="Run detection also on frames that repeat the drawing before them.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress and no summary; warnings and errors still appear.")
]
