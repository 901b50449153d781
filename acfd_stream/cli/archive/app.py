"""The commands ``archive …`` and their options; ``cli.app`` adds them."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from acfd_stream.cli.archive.run import SHOWN_FAILURES, Showing, enter_folder_of, resume_archive, run_archive
from acfd_stream.cli.archive.status import gather, lines
from acfd_stream.cli.choices import DetectorOptions, QuietOption, VideoOptions, split, takes
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error, print_note, print_path
from acfd_stream.cli.progress import count
from acfd_stream.cli.signals import STOP
from acfd_stream.config import ArchiveConfig, TrackConfig
from acfd_stream.outputs.formats import OUTPUTS
from acfd_stream.printable import printable

archive_app = typer.Typer(
    help="Track folders of videos. A run resumes after a crash, and writes results and reports per video.",
    no_args_is_help=True,
)
ARCHIVE = ArchiveConfig()


class Engine(StrEnum):
    """What ``--engine`` takes: acfd_stream.archive.options.ENGINES."""

    LOCAL = "local"
    RAY = "ray"


Folder = Annotated[Path, typer.Argument(metavar="OUT", help="The --out of an earlier 'archive run'.")]
Workers = Annotated[
    int, typer.Option(min=0, help="Videos to process at once; 0: one per GPU, else one per four cores.")
]
Metrics = Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the Prometheus metrics acfd_archive_*.")]
LogJson = Annotated[
    bool,
    typer.Option("--log-json", help="Write JSON lines to stdout, not a table; default without a terminal."),
]
RayAddress = Annotated[
    str,
    typer.Option(metavar="auto|HOST:PORT", help="The Ray cluster; default: Ray starts on this machine."),
]


@archive_app.command()
@takes("video", VideoOptions)
@takes("detector", DetectorOptions)
def run(
    places: Annotated[
        list[str], typer.Argument(metavar="DIR|GLOB|URL…", help="Folders, patterns, files, s3:// and other URLs.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results: OUT/NAME.jsonl and so on.")
    ],
    detector: DetectorOptions,
    video: VideoOptions,
    outputs: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help=f"Outputs per video: {', '.join(OUTPUTS)}.",
        ),
    ] = "jsonl",
    report: Annotated[
        bool, typer.Option("--report", help="Also write a page per video and an index, OUT/index.html.")
    ] = False,
    engine: Annotated[Engine, typer.Option(help="Run workers as local processes or as Ray actors.")] = (Engine.LOCAL),
    workers: Workers = 0,
    ray_address: RayAddress = "",
    checkpoint_seconds: Annotated[
        float, typer.Option(metavar="S", help="Seconds between checkpoints; a crash loses at most this much work.")
    ] = ARCHIVE.checkpoint_seconds,
    wait_for_room: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Seconds to wait for a full disk or a locked manifest before giving up; default: for ever.",
        ),
    ] = ARCHIVE.wait_for_room_seconds,
    retries_broken: Annotated[
        bool, typer.Option("--retry-broken", help="Also retry videos that were set aside as broken.")
    ] = False,
    metrics: Metrics = "",
    is_log_json: LogJson = False,
    is_quiet: QuietOption = False,
) -> int:
    """Track every video that is not done yet, and write its results to OUT under the video's name."""
    from acfd_stream.archive.options import ArchiveOptions

    call = ArchiveOptions(
        places=tuple(places),
        out=out,
        outputs=tuple(dict.fromkeys([*split(outputs), *(["report"] if report else [])])),
        model=detector.model,
        device=detector.device.value,
        detect=detector.config,
        track=TrackConfig.of_min_score(video.min_score),
        video=video.config,
        archive=ArchiveConfig(checkpoint_seconds=checkpoint_seconds, wait_for_room_seconds=wait_for_room),
        engine=engine.value,
        workers=workers,
        ray_address=ray_address,
        retries_broken=retries_broken,
    )
    return run_archive(call, Showing(os.fspath(out), is_log_json, is_quiet, metrics))


@archive_app.command()
def resume(
    out: Folder,
    engine: Annotated[Engine | None, typer.Option(help="Default: as in the last run.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Default: as in the last run.")] = None,
    ray_address: Annotated[str | None, typer.Option(metavar="auto|HOST:PORT", help="As in the last run.")] = None,
    metrics: Metrics = "",
    is_log_json: LogJson = False,
    is_quiet: QuietOption = False,
) -> int:
    """Resume the last run of OUT with its settings: finished videos stay, interrupted ones continue."""
    changes = {
        "engine": None if engine is None else engine.value,
        "workers": workers,
        "ray_address": ray_address,
    }
    return resume_archive(out, changes, Showing(os.fspath(out), is_log_json, is_quiet, metrics))


@archive_app.command()
def status(
    out: Folder,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    shows_all: Annotated[bool, typer.Option("--all", help="List every failure, not only the first ones.")] = False,
) -> int:
    """Print the progress of an archive, during a run or after it; exit code 1 if a video was set aside."""
    facts = gather(out, -1 if shows_all else SHOWN_FAILURES)
    if is_json:
        print(json.dumps(facts))
    else:
        for line in lines(facts):
            print(printable(line))
    return INPUT_AT_FAULT if facts["videos"]["broken"] + facts["videos"]["failing"] else DONE


@archive_app.command()
def verify(
    out: Folder,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object per file.")] = False,
    is_quiet: QuietOption = False,
) -> int:
    """Read every file of an archive, and compare it with its SHA-256; exit code 1 if one is not as it was written."""
    from acfd_stream.archive.verify import Finding, verify

    counts = dict.fromkeys(Finding, 0)
    is_good = True
    for file in verify(Path(os.path.abspath(out))):
        STOP.check()
        counts[file.finding] += 1
        is_good = is_good and not file.is_wrong
        if is_json:
            reason = {"reason": file.reason} if file.reason else {}
            print(json.dumps({"path": file.path, "state": file.finding.value, **reason}))
        elif file.is_wrong:
            print(printable(f"{file.finding.value}: {file.path}" + (f": {file.reason}" if file.reason else "")))
    if not is_quiet:
        said = ", ".join(f"{number} {finding.value}" for finding, number in counts.items() if number)
        print_note(f"{count(sum(counts.values()), 'file')}: {said or 'nothing was published'}")
    return DONE if is_good else INPUT_AT_FAULT


@archive_app.command()
def report(out: Folder, is_quiet: QuietOption = False) -> int:
    """Write the page of every finished video, and the index, OUT/index.html."""
    from acfd_stream.archive.manifest import Manifest
    from acfd_stream.archive.pause import Pause
    from acfd_stream.archive.reports import write_index, write_reports

    shown, out = os.fspath(out), Path(os.path.abspath(out))
    with Manifest(out) as manifest:
        last = manifest.last_run()
    if last is not None:
        enter_folder_of(last.call)
    made = failed = 0
    pause = Pause(out, None, tell=lambda reason: print_error(f"waits: {reason}" if reason else "goes on"))
    for name, error in write_reports(out, pause):
        STOP.check()
        made, failed = made + (not error), failed + bool(error)
        if error:
            print_error(error if name in error else f"{name}: {error}")
    pause.trying(lambda: write_index(out, pause.wait))
    if not is_quiet:
        print_note(count(made, "new report"))
        print_path(os.path.join(shown, "index.html"))
    return INPUT_AT_FAULT if failed else DONE
