"""``crops``: the faces of a result, cut out of its video."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acfd_stream.cli.exits import DONE, print_note, print_path
from acfd_stream.cli.progress import count
from acfd_stream.cli.signals import STOP

if TYPE_CHECKING:
    from acfd_stream.recording.crops import CropConfig


class Group(StrEnum):
    """What ``--by`` takes."""

    CHARACTER = "character"
    TRACK = "track"


@dataclass(frozen=True)
class CropOptions:
    """Which faces are cut out, and how."""

    size: Annotated[
        int, typer.Option("--size", metavar="PX", help="Height and width of the crops; 0: as in the video.")
    ] = 0
    margin: Annotated[
        float, typer.Option("--margin", metavar="P", help="More than the face on each side, as a share of its size.")
    ] = 0.4
    best: Annotated[int, typer.Option("--best", metavar="N", help="Most crops per folder, the best ones; 0: all.")] = 0
    min_side: Annotated[
        float, typer.Option("--min-side", metavar="PX", help="Leave out faces whose longer side is smaller.")
    ] = 0
    min_score: Annotated[
        float, typer.Option("--min-score", metavar="P", help="Leave out faces with a lower score, 0 to 1.")
    ] = 0.0
    by: Annotated[Group, typer.Option("--by", help="A folder per character, or per track.")] = Group.CHARACTER

    @property
    def config(self) -> CropConfig:
        """The settings.

        Raises:
            ConfigError: one is out of range.
        """
        from acfd_stream.recording.crops import CropConfig

        by_track = self.by is Group.TRACK
        return CropConfig(self.size, self.margin, self.best, self.min_side, self.min_score, by_track)


def crops(result: str, video: str, out: Path, options: CropOptions, *, is_quiet: bool) -> int:
    """Write the crops of a result.

    Raises:
        AcfdError: the result or the video cannot be read, or the folder cannot be written.
    """
    from acfd_stream.config import VideoConfig
    from acfd_stream.outputs import read_results
    from acfd_stream.recording.crops import write_crops
    from acfd_stream.recording.derived import frames_again

    config, results = options.config, read_results(result)
    settings = results.header.settings
    part = VideoConfig(start_seconds=settings.get("start"), end_seconds=settings.get("end"))
    with closing(frames_again(video, part, results, STOP.check)) as frames:
        written = write_crops(results, frames, out, config)
    if Path(video).name != Path(results.header.source).name:
        print_note(f"{result} says that {results.header.source} was tracked; {video} was read")
    if not is_quiet:
        print_note(count(written, "crop"))
        print_path(str(out))
    return DONE
