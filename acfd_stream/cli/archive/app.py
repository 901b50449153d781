"""The commands ``archive …`` and their options; ``cli.app`` adds them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from acfd_stream.cli.archive.choices import Engine, LogJson, Out, Places, RunOptions
from acfd_stream.cli.archive.run import Showing, enter_folder_of, resume_archive, run_archive
from acfd_stream.cli.archive.status import gather, lines
from acfd_stream.cli.choices import CharacterOptions, DetectorOptions, QuietOption, VideoOptions, takes
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error, print_note, print_path
from acfd_stream.cli.progress import count
from acfd_stream.cli.signals import STOP
from acfd_stream.printable import printable

archive_app = typer.Typer(
    help="Track folders of videos. A run resumes after a crash, and writes results and reports per video.",
    no_args_is_help=True,
)


Folder = Annotated[Path, typer.Argument(metavar="OUT", help="The --out of an earlier 'archive run'.")]
Metrics = Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the Prometheus metrics acfd_archive_*.")]


@archive_app.command()
@takes("video", VideoOptions)
@takes("detector", DetectorOptions)
@takes("characters", CharacterOptions)
@takes("options", RunOptions)
def run(
    places: Places,
    out: Out,
    options: RunOptions,
    detector: DetectorOptions,
    video: VideoOptions,
    characters: CharacterOptions,
    metrics: Metrics = "",
    is_log_json: LogJson = False,
    is_quiet: QuietOption = False,
) -> int:
    """Track every video that is not done yet, and write its results to OUT under the video's name."""
    showing = Showing(os.fspath(out), is_log_json, is_quiet, metrics)
    return run_archive(options.call(places, out, detector, video, characters), showing)


@archive_app.command()
@takes("video", VideoOptions)
@takes("detector", DetectorOptions)
@takes("characters", CharacterOptions)
@takes("options", RunOptions)
def watch(
    places: Places,
    out: Out,
    options: RunOptions,
    detector: DetectorOptions,
    video: VideoOptions,
    characters: CharacterOptions,
    seconds: Annotated[float, typer.Option("--every", metavar="S", help="Seconds between two looks.")] = 60.0,
    is_log_json: LogJson = False,
    is_quiet: QuietOption = False,
) -> int:
    """Run as 'archive run', and again whenever a new video is whole; ends with Ctrl-C or SIGTERM."""
    from acfd_stream.cli.archive.poll import watch_archive

    showing = Showing(os.fspath(out), is_log_json, is_quiet)
    watch_archive(options.call(places, out, detector, video, characters), showing, seconds)


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
    shows_all: Annotated[
        bool, typer.Option("--all", help="List every video, and every failure, not only the first ones.")
    ] = False,
) -> int:
    """Print the progress of an archive, during a run or after it; exit code 1 if a video was set aside."""
    facts = gather(out, lists_all=shows_all)
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
