"""The commands around archives and their options; ``cli.app`` puts them in. Nothing runs here."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from acfd_stream.cli.choices import (
    DETECT,
    BatchOption,
    Device,
    DeviceOption,
    EndOption,
    EveryFrameOption,
    ModelOption,
    Precision,
    PrecisionOption,
    QuietOption,
    ScalesOption,
    SizeOption,
    StartOption,
    parse_scales,
    split,
)
from acfd_stream.config import ArchiveConfig, DetectConfig, VideoConfig

archive_app = typer.Typer(
    help="Work through folders of videos, go on after a power cut, and say who is on screen when.",
    no_args_is_help=True,
)
ARCHIVE = ArchiveConfig()


class Engine(StrEnum):
    """What ``--engine`` takes: acfd_stream.archive.options.ENGINES."""

    LOCAL = "local"
    RAY = "ray"


Folder = Annotated[Path, typer.Argument(metavar="OUT", help="The --out of an earlier 'archive run'.")]
Workers = Annotated[
    int, typer.Option(min=0, help="How many videos at once; 0: a worker a GPU, else one for every four cores.")
]
Metrics = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where Prometheus finds acfd_archive_* meanwhile.")]
LogJson = Annotated[
    bool, typer.Option("--log-json", help="A JSON object a line on stdout instead of a table; as without a terminal.")
]
RayAddress = Annotated[
    str, typer.Option(metavar="auto|HOST:PORT", help="The Ray cluster; without it one of this machine's own.")
]


@archive_app.command()
def run(
    places: Annotated[
        list[str], typer.Argument(metavar="DIR|GLOB|URL…", help="Folders, patterns, files, s3:// and other URLs.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the results: OUT/NAME.jsonl and so on.")
    ],
    outputs: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help="What every video leaves: jsonl, parquet, mot, coco, vtt, overlay, thumbnails, report.",
        ),
    ] = "jsonl",
    report: Annotated[
        bool, typer.Option("--report", help="Also a page a video and an index of all: OUT/index.html.")
    ] = False,
    engine: Annotated[Engine, typer.Option(help="Processes of this machine, or actors of a Ray cluster.")] = (
        Engine.LOCAL
    ),
    workers: Workers = 0,
    ray_address: RayAddress = "",
    checkpoint_seconds: Annotated[
        float, typer.Option(metavar="S", help="A kill or a power cut loses at most the work of so many seconds.")
    ] = ARCHIVE.checkpoint_seconds,
    retries_broken: Annotated[
        bool, typer.Option("--retry-broken", help="Try again what was set aside as broken.")
    ] = False,
    model: ModelOption = "acfd-n",
    device: DeviceOption = Device.AUTO,
    size: SizeOption = DETECT.size,
    scales: ScalesOption = "",
    start: StartOption = None,
    end: EndOption = None,
    every_frame: EveryFrameOption = False,
    batch: BatchOption = DETECT.batch,
    threads: Annotated[int, typer.Option(help="CPU threads of each worker; 0: the cores, shared out.")] = 0,
    precision: PrecisionOption = Precision.AUTO,
    metrics: Metrics = "",
    is_log_json: LogJson = False,
    is_quiet: QuietOption = False,
) -> int:
    """Track every video that is not done yet; results beside each other below OUT, under the videos' names."""
    from acfd_stream.archive.options import ArchiveCall
    from acfd_stream.cli.archive.run import Showing, run_archive

    call = ArchiveCall(
        places=tuple(places),
        out=out,
        outputs=tuple(dict.fromkeys([*split(outputs), *(["report"] if report else [])])),
        model=model,
        device=device.value,
        detect=DetectConfig(
            size=size, scales=parse_scales(scales), batch=batch, threads=threads, precision=precision.value
        ),
        video=VideoConfig(start_seconds=start, end_seconds=end, every_frame=every_frame),
        archive=ArchiveConfig(checkpoint_seconds=checkpoint_seconds),
        engine=engine.value,
        workers=workers,
        ray_address=ray_address,
        retries_broken=retries_broken,
    )
    return run_archive(call, Showing(is_log_json, is_quiet, metrics))


@archive_app.command()
def resume(
    out: Folder,
    engine: Annotated[Engine | None, typer.Option(help="As the last run, unless named.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="As the last run, unless named.")] = None,
    ray_address: Annotated[str | None, typer.Option(metavar="auto|HOST:PORT", help="As the last run.")] = None,
    metrics: Metrics = "",
    is_log_json: LogJson = False,
    is_quiet: QuietOption = False,
) -> int:
    """Go on with the last run over OUT, with its settings: what is done stays, what was cut short goes on."""
    from acfd_stream.cli.archive.run import Showing, resume_archive

    changes = {
        "engine": None if engine is None else engine.value,
        "workers": workers,
        "ray_address": ray_address,
    }
    return resume_archive(out, changes, Showing(is_log_json, is_quiet, metrics))


@archive_app.command()
def status(
    out: Folder,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    shows_all: Annotated[bool, typer.Option("--all", help="Every failure, not only the first ones.")] = False,
) -> int:
    """Say how far an archive is, while a run goes on or after it; 1 when something was set aside."""
    from acfd_stream.cli.archive.status import run_status

    return run_status(out, is_json=is_json, shows_all=shows_all)


@archive_app.command()
def report(out: Folder, is_quiet: QuietOption = False) -> int:
    """Make the page of every video that is done, and the index of all: OUT/index.html."""
    from acfd_stream.cli.archive.report import run_report

    return run_report(out, is_quiet=is_quiet)
