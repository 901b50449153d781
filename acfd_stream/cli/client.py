"""The commands ``client …``: a service does the work of ``track`` and ``detect``; the results are the same bytes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acfd_stream.cli.choices import (
    CharacterOptions,
    FaceOptions,
    FormatOption,
    OverwriteOption,
    QuietOption,
    VideoOptions,
    chosen_format,
    takes,
)
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error
from acfd_stream.cli.remote import Remote
from acfd_stream.cli.signals import STOP
from acfd_stream.cli.track import TrackOptions, check_paths, naming_results, open_progress, report_end
from acfd_stream.config import DropPolicy, hush_grpc
from acfd_stream.errors import ConfigError, MediaError, ServiceError
from acfd_stream.printable import printable

if TYPE_CHECKING:
    from acfd_stream.cli.progress import TrackProgress
    from acfd_stream.client.client import Client, TrackStream
    from acfd_stream.client.stream_progress import StreamOptions
    from acfd_stream.outputs import ResultEnd, ResultHeader

STDIN = "-"
_SIZE_DIGITS = 6  # of a side of a frame, in pixels
client_app = typer.Typer(help="Use a service.", no_args_is_help=True)
ServiceOption = Annotated[str, typer.Option(help="Name of one gRPC service; default: the whole server.")]


@dataclass(frozen=True)
class Live:
    """Options of a live stream."""

    drop_policy: str | None = None
    objective_seconds: float | None = None


@client_app.command("track")
@takes("remote", Remote)
@takes("video", VideoOptions)
@takes("characters", CharacterOptions)
def client_track(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A video file; '-' is stdin.")],
    remote: Remote,
    video: VideoOptions,
    characters: CharacterOptions,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="OUT", help="Result file, as of 'track'; '-' is stdout."),
    ] = None,
    result_format: FormatOption = None,
    is_live: Annotated[
        bool, typer.Option("--live", help="Live stream: results come at once; a file is sent in real time.")
    ] = False,
    drop: Annotated[DropPolicy | None, typer.Option(help="Frames that a live stream drops to keep up.")] = None,
    objective: Annotated[
        float | None,
        typer.Option(metavar="S", help="Latency objective, seconds; default: the server's."),
    ] = None,
    is_uri: Annotated[bool, typer.Option("--uri", help="FILE is a path or URL that the server reads.")] = False,
    overwrites: OverwriteOption = False,
    is_quiet: QuietOption = False,
) -> int:
    """Track a video on a service; with the same settings, the results are those of 'track'."""
    call = TrackOptions(
        source,
        output,
        chosen_format(result_format, output),
        is_quiet,
        video.config,
        characters=characters.config,
        min_score=video.min_score,
        overwrites=overwrites,
    )
    live = Live(None if drop is None else drop.value, objective) if is_live else None
    if not is_live and (drop is not None or objective is not None):
        raise typer.BadParameter("--drop and --objective are for --live")
    return run_client_track(remote, call, live, is_uri=is_uri)


def run_client_track(remote: Remote, call: TrackOptions, live: Live | None = None, *, is_uri: bool = False) -> int:
    """Track the video of ``call`` on a service; exit codes are those of ``track``.

    Raises:
        AcfdError: the video cannot be tracked, or the results cannot be written.
    """
    from acfd_stream.outputs import check_format, result_suffix

    check_format(call.format)
    if call.source == STDIN and call.output is None:
        call = replace(call, output="stdin" + result_suffix(call.format))
    check_paths(call)
    _check_source(call.source, is_uri)
    hush_grpc()
    from acfd_stream.client.stream_progress import StreamOptions
    from acfd_stream.recording.header import expected_frames

    options = StreamOptions(
        mode="file" if live is None else "live",
        drop_policy=None if live is None else live.drop_policy,
        objective_seconds=None if live is None else live.objective_seconds,
        start_seconds=call.video.start_seconds,
        end_seconds=call.video.end_seconds,
        every_frame=call.video.every_frame,
        min_score=call.min_score,
        with_characters=call.characters is not None,
    )
    with remote.open() as client, _opened(client, call.source, options, is_uri) as stream:
        info = stream.start.info
        if call.characters is not None and stream.start.character_model is None:
            print_error(f"warning: {remote.target} does not know characters; the results have none")
        end, progress = write_results(call, stream, expected_frames(info, call.video))
    return report_end(call, info.source, end, progress)


def _opened(client: Client, source: str, options: StreamOptions, is_uri: bool) -> TrackStream:
    if is_uri:
        return client.track_uri(source, options)
    if source == STDIN:
        return client.track(sys.stdin.buffer, options, name="<stdin>")
    if options.mode == "live":
        from acfd_stream.client.pacing import paced

        return client.track(lambda: paced(source), options, name=source)
    return client.track(source, options)


def _check_source(source: str, is_uri: bool) -> None:
    """Refuse a source that cannot be sent, before a connection is made."""
    if is_uri or source == STDIN:
        return
    if "://" in source:
        raise ConfigError(f"{source} is a URL; with --uri the server reads it, if its operator allows that")
    try:
        with Path(source).open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MediaError(f"cannot open {source}: {reason}") from error


def write_results(
    call: TrackOptions, stream: TrackStream, expected_frames: int | None
) -> tuple[ResultEnd, TrackProgress]:
    """Write all frames and the end; a failure leaves no file that looks complete."""
    from acfd_stream.outputs import ResultEnd
    from acfd_stream.recording.header import RecordingStart
    from acfd_stream.recording.sinks import FormatSink, open_sinks

    results, progress = FormatSink(call.target, call.format), open_progress(call, expected_frames)
    start = RecordingStart(stream.start.info, result_header(stream), expected_frames)
    with open_sinks([results], start), naming_results(call, progress, results), progress:
        for result in stream:
            results.write(None, result)
            progress.advance(result)
            STOP.check()
        if stream.end is None:
            raise ServiceError(f"the stream was closed before its end; {call.path} is unfinished")
        last = stream.end
        end = ResultEnd(
            *(last.tracks, last.is_complete, last.error, last.warnings, last.gaps, last.last_seconds),
            characters=last.characters,
        )
        results.close(end)
    return end, progress


def result_header(stream: TrackStream) -> ResultHeader:
    """The header of the results: that of ``track``, with the server's model and settings."""
    from acfd_stream.outputs import ResultHeader

    start = stream.start
    info = start.info
    model, settings, rate = start.model, start.settings, info.frame_rate
    return ResultHeader(info.source, info.display_size, info.time_base, model, settings, rate, info.times)


@client_app.command("detect")
@takes("remote", Remote, without=["patience_seconds"])
@takes("shown", FaceOptions)
def client_detect(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Pictures: JPEG, PNG, WebP.")],
    remote: Remote,
    shown: FaceOptions,
) -> int:
    """Find the faces of pictures on a service: one JSON object per picture on stdout."""
    from acfd_stream.cli.detect import picture_values, read_noting, write_pictures
    from acfd_stream.picture_files import path_of

    min_score = shown.least_score
    with remote.open() as client:

        def detect(name: str) -> dict[str, Any]:
            found = client.detect(read_noting(path_of(name)), min_score=min_score)
            faces = [(face.box_xyxy, face.score) for face in found.faces]
            return picture_values(name, found.display_size, faces, is_truncated=found.is_truncated)

        return write_pictures(images, detect)


@client_app.command()
@takes("remote", Remote, without=["patience_seconds"])
def capacity(
    remote: Remote,
    size: Annotated[str, typer.Option(metavar="WxH", help="Frame size of the stream.")] = "1280x720",
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 24.0,
    objective: Annotated[
        float | None, typer.Option(metavar="S", help="Latency objective in seconds; default: the server's.")
    ] = None,
) -> int:
    """Print whether one more live stream would be admitted: one JSON object."""
    from acfd_stream.outputs.jsonl import json_line

    asked = parse_size(size)
    with remote.open() as client:
        answer = client.capacity(asked, fps, objective)
    values = {"fits": answer.fits, "headroom": round(answer.headroom, 4), "reason": answer.reason}
    if answer.retry_seconds is not None:
        values["retry_seconds"] = answer.retry_seconds
    sys.stdout.buffer.write(json_line(values))
    return DONE


@client_app.command()
@takes("remote", Remote, without=["patience_seconds"])
def health(remote: Remote, service: ServiceOption = "") -> int:
    """Print the health of a service; exit code 0 if it is SERVING, else 1."""
    with remote.open() as client:
        status = client.health(service)
    print(printable(status))
    return DONE if status == "SERVING" else INPUT_AT_FAULT


@client_app.command()
@takes("remote", Remote, without=["patience_seconds"])
def watch(remote: Remote, service: ServiceOption = "") -> int:
    """Print the health of a service, one line per change."""
    with remote.open() as client:
        for status in client.watch_health(service):
            print(printable(status), flush=True)
            STOP.check()
    return DONE


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of ``1280x720``."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    if not all(side.isdecimal() and len(side) <= _SIZE_DIGITS and int(side) for side in (width, height)):
        raise typer.BadParameter(f"{text[:40]!r} is not a size like 1280x720")
    return int(height), int(width)
