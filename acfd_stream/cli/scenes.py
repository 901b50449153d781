"""``scenes``: when characters are on screen, for an editor."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from acfd_stream.cli.exits import DONE, print_path
from acfd_stream.errors import ConfigError

_ROUNDING = Fraction(1, 200)  # frames a second: 23.98 means 24000/1001


class SceneFormat(StrEnum):
    """What ``--format`` takes."""

    CSV = "csv"
    EDL = "edl"


@dataclass(frozen=True)
class SceneOptions:
    """Which scenes, and how their times are counted."""

    character: Annotated[
        str, typer.Option("--character", metavar="NAME|N", help="Only this one; default: all characters.")
    ] = ""
    gap: Annotated[
        float, typer.Option("--gap", metavar="S", min=0, help="A shorter absence does not end a scene, seconds.")
    ] = 2.0
    rate: Annotated[
        str,
        typer.Option(
            "--rate",
            metavar="FPS",
            help="Of the timecodes of an EDL, such as 23.976 or 25; default: that of the video.",
        ),
    ] = ""
    is_drop_frame: Annotated[
        bool, typer.Option("--drop-frame", help="Write drop-frame timecodes; for 29.97 and 59.94 fps.")
    ] = False


def scenes(result: str, form: SceneFormat, output: Path | None, options: SceneOptions, *, overwrites: bool) -> int:
    """Write the scenes of a result to ``output``, None: stdout.

    Raises:
        AcfdError: the result has no such character, or cannot be read; the file cannot be written.
    """
    from acfd_stream.outputs import read_results
    from acfd_stream.outputs.edl import Timecode, edl, rate_of
    from acfd_stream.outputs.recognise import require_replaceable
    from acfd_stream.outputs.scenes import scenes_csv, scenes_of
    from acfd_stream.outputs.target import OutputTarget

    if form is SceneFormat.CSV and (options.rate or options.is_drop_frame):
        raise ConfigError("--rate and --drop-frame are of timecodes; add --format edl")
    if output is not None:
        if os.path.exists(output) and os.path.exists(result) and os.path.samefile(output, result):
            raise ConfigError(f"--output {output} would write over the result, {result}; choose another path")
        require_replaceable("--output", output, overwrites=overwrites, is_ours=_is_ours)
    if not isfinite(options.gap):
        raise ConfigError(f"--gap must be finite, got {options.gap}")
    results = read_results(result)
    found = scenes_of(results, options.gap, options.character)
    if form is SceneFormat.CSV:
        content = scenes_csv(found)
    else:
        rate = _rate(options.rate) if options.rate else rate_of(results)
        timecode = Timecode(rate, options.is_drop_frame)
        content = edl(found, results, timecode, options.character or Path(results.header.source).stem)
    target = OutputTarget(sys.stdout.buffer if output is None else output, is_streamed=False)
    target.write(content)
    target.finish()
    if output is not None:
        print_path(str(output))
    return DONE


def _rate(text: str) -> Fraction:
    """The rate that a number such as 23.976 means."""
    from acfd_stream.outputs.edl import RATES

    try:
        asked = Fraction(text) if "e" not in text.lower() else Fraction(0)  # an exponent may have no end
    except (ValueError, ZeroDivisionError):
        asked = Fraction(0)
    nearest = min(RATES, key=lambda rate: abs(rate - asked))
    if abs(nearest - asked) <= _ROUNDING:
        return nearest
    raise ConfigError(f"--rate must be one of {', '.join(f'{float(rate):.6g}' for rate in RATES)}, got {text!r}")


def _is_ours(path: str | Path) -> bool:
    """Whether a file is a list of scenes of this program, or empty."""
    from acfd_stream.outputs.scenes import COLUMNS

    with open(path, "rb") as file:
        head = file.read(4096)
    is_edl = head.startswith(b"TITLE: ") and b"\r\n* COMMENT: " in head and b", scene 1\r\n" in head
    return not head or head.startswith(",".join(COLUMNS).encode()) or is_edl
