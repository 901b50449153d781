"""Options that several commands share, as dataclasses: ``takes`` puts their fields on the command line of a command."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acfd_stream.characters import CharacterConfig
from acfd_stream.config import DetectConfig, TrackConfig, VideoConfig
from acfd_stream.errors import ConfigError
from acfd_stream.outputs.formats import FORMATS, RESULTS, format_of_path

DETECT = DetectConfig()
if TYPE_CHECKING:  # type checkers know no enum that is made from a table
    Format = str
else:
    Format = StrEnum("Format", {name.upper(): name for name in FORMATS})
    """Values of ``--format``."""
_Command = Callable[..., int]


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


def takes(
    name: str, group: type[Any], *, without: Sequence[str] = (), **defaults: Any
) -> Callable[[_Command], _Command]:
    """A decorator that replaces the parameter ``name`` of a command by the fields of ``group``.

    Args:
        name: of the parameter, which gets an object of ``group``.
        group: a dataclass whose fields are annotated with ``typer.Option``.
        without: fields that the command does not have.
        defaults: other defaults of fields.
    """
    fields = {
        field: parameter.replace(kind=parameter.KEYWORD_ONLY, default=defaults.get(field, parameter.default))
        for field, parameter in inspect.signature(group, eval_str=True).parameters.items()
        if field not in without
    }

    def decorate(command: _Command) -> _Command:
        own = dict(inspect.signature(command, eval_str=True).parameters)
        del own[name]

        @functools.wraps(command)
        def run(**options: Any) -> int:
            values = {field: options.pop(field) for field in fields}
            return command(**options, **{name: group(**values)})

        parameters = [*(one.replace(kind=one.KEYWORD_ONLY) for one in own.values()), *fields.values()]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def split(text: str) -> tuple[str, ...]:
    """The names in ``a,b,c``; empty text means none."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _check_seconds(seconds: float | None) -> float | None:
    if seconds is not None and not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is not a time in seconds")
    return seconds


@dataclass(frozen=True)
class DetectorOptions:
    """The detector of a command."""

    model: Annotated[
        str, typer.Option("--model", metavar="NAME|PATH", help="Name of a shipped model, or path of an .onnx file.")
    ] = "acfd-n"
    device: Annotated[Device, typer.Option("--device", help="Device that runs the network.")] = Device.AUTO
    size: Annotated[int, typer.Option("--size", help="Longer side of the network's input, in pixels; 64 to 4096.")] = (
        DETECT.size
    )
    scales: Annotated[
        str,
        typer.Option(
            "--scales",
            metavar="S,S,…",
            help="Shorter sides for a multi-scale test, such as 480,640,800; replaces --size.",
        ),
    ] = ""
    batch: Annotated[
        int, typer.Option("--batch", help="Pictures per batch of the network, 1 to 64; never changes results.")
    ] = DETECT.batch
    threads: Annotated[
        int, typer.Option("--threads", help="CPU threads of the network, per worker; 0: all cores together.")
    ] = 0
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision", help="Arithmetic of the network on a CPU; auto: the fastest that model and CPU have."
        ),
    ] = Precision.AUTO

    @property
    def config(self) -> DetectConfig:
        """The settings of detection.

        Raises:
            ConfigError: a setting is out of range.
        """
        try:
            scales = tuple(int(part) for part in split(self.scales))
        except ValueError:
            message = f"{self.scales!r} is not a list of whole numbers like 480,640,800"
            raise typer.BadParameter(message) from None
        return DetectConfig(
            size=self.size, scales=scales, batch=self.batch, threads=self.threads, precision=self.precision.value
        )


@dataclass(frozen=True)
class VideoOptions:
    """What a command tracks: the part of a video, and how sure the detector must be of a face."""

    start: Annotated[
        float | None,
        typer.Option("--start", metavar="S", callback=_check_seconds, help="Start at this second of the video."),
    ] = None
    end: Annotated[
        float | None,
        typer.Option("--end", metavar="S", callback=_check_seconds, help="Stop before this second of the video."),
    ] = None
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Run detection also on frames that repeat the drawing before them.")
    ] = False
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="P",
            help="Score from which a detection starts a track, 0 to 1; lower ones only continue tracks. "
            f"Default: {TrackConfig.start_score}.",
        ),
    ] = None

    @property
    def config(self) -> VideoConfig:
        """The settings of decoding.

        Raises:
            ConfigError: a setting is out of range.
        """
        return VideoConfig(start_seconds=self.start, end_seconds=self.end, every_frame=self.every_frame)


@dataclass(frozen=True)
class CharacterOptions:
    """Whether a command says who is who."""

    characters: Annotated[
        bool,
        typer.Option("--characters/--no-characters", help="Say which tracks are the same character, over all cuts."),
    ] = True

    @property
    def config(self) -> CharacterConfig | None:
        """How tracks become characters; None: they do not."""
        return CharacterConfig() if self.characters else None


@dataclass(frozen=True)
class FaceOptions:
    """Which faces of a picture a command shows."""

    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="P",
            help=f"Leave out faces with a lower score, 0 to 1; default: {TrackConfig.start_score}, as for new tracks.",
        ),
    ] = None
    shows_all: Annotated[
        bool, typer.Option("--all", help=f"Show all faces that the network finds, down to {DETECT.score_threshold}.")
    ] = False

    @property
    def least_score(self) -> float:
        """The lowest score that is shown; 0: all.

        Raises:
            ConfigError: both options, or a score that is out of range.
        """
        if self.shows_all and self.min_score is not None:
            raise ConfigError("--all and --min-score exclude each other; give one of them")
        return 0.0 if self.shows_all else TrackConfig.of_min_score(self.min_score).start_score


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="JSON lines; Parquet or CSV, with a row per face and frame; MOTChallenge text, with the track or the "
        "character as the id; COCO JSON; "
        "or WebVTT or SRT subtitles, with one for every span of time in which a track is on screen. "
        f"Default: what the suffix of --output says, else {RESULTS}.",
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace files at the output paths even if they are no results.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress and no summary; warnings and errors still appear.")
]


def chosen_format(option: Format | None, output: str | None) -> str:
    """The value of ``--format``; without it, the format of the suffix of ``--output``, else JSON lines."""
    return str(option or format_of_path(output or "") or RESULTS)
