"""The commands and their options. Each command checks its options and calls the module that does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from acfd_stream.cli.archive.app import archive_app
from acfd_stream.cli.bench import bench_app
from acfd_stream.cli.cast import cast_app
from acfd_stream.cli.choices import (
    CastOption,
    CharacterOptions,
    DetectorOptions,
    FaceOptions,
    FormatOption,
    OverwriteOption,
    QuietOption,
    VideoOptions,
    chosen_format,
    takes,
)
from acfd_stream.cli.client import client_app
from acfd_stream.cli.crops import CropOptions
from acfd_stream.cli.crops import crops as write_crops
from acfd_stream.cli.doctor import doctor
from acfd_stream.cli.exits import CALL_AT_FAULT, DONE, PROGRAM, print_error
from acfd_stream.cli.jobs import jobs_app
from acfd_stream.cli.models import models
from acfd_stream.cli.scenes import SceneFormat, SceneOptions
from acfd_stream.cli.scenes import scenes as write_scenes
from acfd_stream.cli.serve import serve_app

ABOUT = "Find cartoon faces in animation video, and give every face the same ID from frame to frame."
app = typer.Typer(
    help=ABOUT,
    epilog="Exit codes: 0 done, 1 the input or the output failed, 2 wrong arguments; docs/cli.md lists the others.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_asked: bool) -> None:
    if not is_asked:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"{PROGRAM} {version('acfd-stream')}")
    except PackageNotFoundError:
        typer.echo(f"{PROGRAM} (not installed)")
    raise typer.Exit


@app.callback(help=ABOUT)
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
@takes("video", VideoOptions)
@takes("detector", DetectorOptions)
@takes("characters", CharacterOptions)
def track(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video file or URL.")],
    detector: DetectorOptions,
    video: VideoOptions,
    characters: CharacterOptions,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Result file; an older result is replaced; '-' is stdout. "
            "Default: INPUT's name with the suffix of the format, in the current folder.",
        ),
    ] = None,
    result_format: FormatOption = None,
    overlay: Annotated[
        Path | None, typer.Option(metavar="OUT.mp4", help="Also write the video with boxes, IDs and times drawn on it.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="OUT.html", help="Also write a page with a player, boxes and a timeline per track."),
    ] = None,
    has_proxy: Annotated[
        bool, typer.Option("--report-proxy", help="Put a small copy of the video into the report.")
    ] = False,
    views: Annotated[
        Path | None,
        typer.Option(metavar="OUT.views.ndjson", help="Also write the best pictures of every track, for a cast."),
    ] = None,
    cast_path: CastOption = None,
    overwrites: OverwriteOption = False,
    is_quiet: QuietOption = False,
) -> int:
    """Track the faces of a video: one line per frame, written as soon as the frame is known."""
    from acfd_stream.cli.track import TrackOptions, run_track

    call = TrackOptions(
        source=source,
        output=output,
        format=chosen_format(result_format, output),
        overlay=overlay,
        model=detector.model,
        device=detector.device.value,
        detect=detector.config,
        video=video.config,
        min_score=video.min_score,
        is_quiet=is_quiet,
        report=report,
        has_proxy=has_proxy,
        characters=characters.config,
        views=views,
        cast=cast_path,
        overwrites=overwrites,
    )
    return run_track(call)


@app.command()
@takes("faces", FaceOptions)
@takes("detector", DetectorOptions, without=["batch"])
def detect(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Pictures: JPEG, PNG, WebP and others.")],
    detector: DetectorOptions,
    faces: FaceOptions,
) -> int:
    """Find the faces of pictures: one JSON object per picture on stdout."""
    from acfd_stream.cli.detect import run_detect

    return run_detect(images, detector.model, detector.device.value, detector.config, faces.least_score)


@app.command()
@takes("options", CropOptions)
def crops(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="JSON lines of 'track' or of an archive.")],
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video that was tracked.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the crops: new, empty, or of crops.")],
    options: CropOptions,
    is_quiet: QuietOption = False,
) -> int:
    """Cut the faces of a result out of its video: a folder per character, and a table, DIR/crops.csv."""
    return write_crops(result, video, out, options, is_quiet=is_quiet)


@app.command()
@takes("options", SceneOptions)
def scenes(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="JSON lines of 'track' or of an archive.")],
    options: SceneOptions,
    scene_format: Annotated[SceneFormat, typer.Option("--format", help="A table, or a CMX3600 EDL.")] = SceneFormat.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT", help="Default: stdout.")] = None,
    overwrites: OverwriteOption = False,
) -> int:
    """List when characters are on screen, for an editor."""
    return write_scenes(result, scene_format, output, options, overwrites=overwrites)


app.command()(models)
app.command()(doctor)


def _add_training_command(name: str, help_text: str) -> None:
    """Add a command whose options, --help included, are those of ``acfd_stream.model.NAME``."""

    @app.command(
        name,
        help=help_text,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    def run(
        arguments: Annotated[list[str] | None, typer.Argument(metavar="[OPTIONS]", show_default=False)] = None,
    ) -> int:
        from acfd_stream.cli.training import run_training

        return run_training(name, arguments or [])


_add_training_command("train", "Train a detector (needs the extra 'train').")
_add_training_command("evaluate", "Evaluate a detector on annotated pictures (needs the extra 'train').")
_add_training_command("export", "Write a trained checkpoint as a model file (needs the extra 'train').")


app.add_typer(serve_app, name="serve")
client_app.add_typer(jobs_app, name="jobs")
app.add_typer(client_app, name="client")
app.add_typer(bench_app, name="bench")
app.add_typer(archive_app, name="archive")
app.add_typer(cast_app, name="cast")


def run(arguments: list[str]) -> int:
    """Parse and run; wrong arguments give one line on stderr instead of the library's box."""
    command = typer.main.get_command(app)
    try:
        command._main_shell_completion({}, PROGRAM)  # where a shell asks what may follow, this answers and exits
    except SystemExit as error:
        return int(error.code or DONE)
    try:
        with command.make_context(PROGRAM, arguments) as context:
            return cast("int | None", command.invoke(context)) or DONE
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        return _refuse(error)
    except SystemExit as error:  # of --install-completion and --show-completion; others are not 0
        if error.code:
            raise
        return DONE


def _refuse(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    message = message.replace("Value error, ", "", 1)  # pydantic's words before those of typer
    print_error(f"{message.strip().rstrip('.')}; see '{path} --help'")
    return CALL_AT_FAULT
