"""Options that the commands ``archive run`` and ``archive watch`` share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acfd_stream.cli.choices import CharacterOptions, DetectorOptions, VideoOptions, split
from acfd_stream.config import ArchiveConfig, TrackConfig
from acfd_stream.errors import ConfigError
from acfd_stream.outputs.formats import OUTPUTS, REPORT_OUTPUTS, VIEWS

if TYPE_CHECKING:
    from acfd_stream.archive.options import ArchiveOptions

ARCHIVE = ArchiveConfig()


class Engine(StrEnum):
    """What ``--engine`` takes: acfd_stream.archive.options.ENGINES."""

    LOCAL = "local"
    RAY = "ray"


Places = Annotated[
    list[str], typer.Argument(metavar="DIR|GLOB|URL…", help="Folders, patterns, files, s3:// and other URLs.")
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results: OUT/NAME.jsonl and so on.")
]
LogJson = Annotated[
    bool,
    typer.Option("--log-json", help="Write JSON lines to stdout, not a table; default without a terminal."),
]


@dataclass(frozen=True)
class RunOptions:
    """What a run makes of each video, and with what."""

    outputs: Annotated[
        str, typer.Option("--outputs", metavar="NAME,…", help=f"Outputs per video: {', '.join(OUTPUTS)}.")
    ] = "jsonl"
    report: Annotated[
        bool, typer.Option("--report", help="Also write a page and a poster per video, and an index, OUT/index.html.")
    ] = False
    report_proxy: Annotated[
        bool,
        typer.Option(
            "--report-proxy", help="As --report; the pages of videos that browsers do not play get a small copy."
        ),
    ] = False
    engine: Annotated[Engine, typer.Option("--engine", help="Run workers as local processes or as Ray actors.")] = (
        Engine.LOCAL
    )
    workers: Annotated[
        int,
        typer.Option("--workers", min=0, help="Videos to process at once; 0: one per GPU, else one per four cores."),
    ] = 0
    ray_address: Annotated[
        str,
        typer.Option(
            "--ray-address", metavar="auto|HOST:PORT", help="The Ray cluster; default: Ray starts on this machine."
        ),
    ] = ""
    checkpoint_seconds: Annotated[
        float,
        typer.Option(
            "--checkpoint-seconds",
            metavar="S",
            help="Seconds between checkpoints; a crash loses at most this much work.",
        ),
    ] = ARCHIVE.checkpoint_seconds
    wait_for_room: Annotated[
        float | None,
        typer.Option(
            "--wait-for-room",
            metavar="S",
            help="Seconds to wait for a full disk or a locked manifest before giving up; default: for ever.",
        ),
    ] = ARCHIVE.wait_for_room_seconds
    retries_broken: Annotated[
        bool, typer.Option("--retry-broken", help="Also retry videos that were set aside as broken.")
    ] = False

    def call(
        self,
        places: list[str],
        out: Path,
        detector: DetectorOptions,
        video: VideoOptions,
        characters: CharacterOptions,
    ) -> ArchiveOptions:
        """The options of the run.

        Raises:
            ConfigError: a setting is out of range.
        """
        from acfd_stream.archive.options import ArchiveOptions

        if VIEWS in split(self.outputs) and not characters.characters:
            raise ConfigError("--outputs views goes with characters; leave out --no-characters")
        pages = REPORT_OUTPUTS if self.report or self.report_proxy else ()
        proxy = ("proxy",) if self.report_proxy else ()
        return ArchiveOptions(
            places=tuple(places),
            out=out,
            outputs=tuple(dict.fromkeys([*split(self.outputs), *pages, *proxy])),
            model=detector.model,
            device=detector.device.value,
            detect=detector.config,
            track=TrackConfig.of_min_score(video.min_score),
            video=video.config,
            characters=characters.config,
            archive=ArchiveConfig(checkpoint_seconds=self.checkpoint_seconds, wait_for_room_seconds=self.wait_for_room),
            engine=self.engine.value,
            workers=self.workers,
            ray_address=self.ray_address,
            retries_broken=self.retries_broken,
        )
