"""The commands ``serve``, ``client`` and ``bench`` and their options; ``app`` adds them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from acfd_stream.cli.choices import JSON_LINES, FormatOption, QuietOption, VideoOptions, takes
from acfd_stream.cli.remote import Remote
from acfd_stream.config import DropPolicy

serve_app = typer.Typer(help="Serve gRPC until SIGTERM or Ctrl-C.", invoke_without_command=True)
client_app = typer.Typer(help="Use a service.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure a service.", no_args_is_help=True)


class LogFormat(StrEnum):
    """What ``--log-format`` takes."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """What ``--log-level`` takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@serve_app.callback()
def serve(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address of the gRPC server; port 0: any free port. [127.0.0.1:50051]"),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address of metrics and dashboard; '': neither. [127.0.0.1:9464]"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in TOML; options override them.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Name of a shipped model, or an .onnx file.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="auto|cpu|cuda", help="Device that runs the network.")] = None,
    size: Annotated[int | None, typer.Option(help="Longer side of the network's input, in pixels; 64 to 4096.")] = None,
    live_size: Annotated[int | None, typer.Option(help="The same for live frames; 0: smaller on slow CPUs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures per batch of the network, 1 to 64.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the network; 0: one per core.")] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="auto|int8|bf16|f32", help="Arithmetic of the network on a CPU.")
    ] = None,
    objective: Annotated[
        float | None, typer.Option(metavar="S", help="Latency objective of live frames, in seconds.")
    ] = None,
    drain: Annotated[
        float | None, typer.Option(metavar="S", help="How long streams may take to finish during shutdown, in seconds.")
    ] = None,
    streams: Annotated[int | None, typer.Option(help="Maximum number of concurrent streams.")] = None,
    allow: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Let clients name files in this folder; may be repeated.")
    ] = None,
    tokens: Annotated[Path | None, typer.Option(metavar="FILE", help="Access tokens; see 'serve token'.")] = None,
    resume_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Secret that signs resume tokens, the same for all replicas.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="PEM", help="Certificate of this server.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Private key of --tls-cert.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="CA certificate; clients need a certificate from it.")
    ] = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="Plain text, or one JSON object per line.")] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Lowest level that is logged.")] = None,
) -> int | None:
    """Serve gRPC until SIGTERM or Ctrl-C, then let streams finish, and stop.

    Prints one line on stdout when it is ready. SIGHUP reloads the token file.
    """
    if context.invoked_subcommand is not None:
        return None
    from acfd_stream.cli.serve import ServeOptions, run_serve

    call = ServeOptions(
        config,
        top={
            "listen": listen,
            "metrics": metrics,
            "model": model,
            "device": device,
            "objective_seconds": objective,
            "live_size": live_size,
            "drain_seconds": drain,
        },
        tables={
            "detect": {"size": size, "batch": batch, "threads": threads, "precision": precision},
            "limits": {"streams": streams},
            "sources": {"folders": tuple(path.absolute() for path in allow) if allow else None},
            "access": {"tokens": tokens, "resume_key": resume_key},
            "tls": {"certificate": tls_cert, "key": tls_key, "client_ca": client_ca},
            "log": {"format": log_format and log_format.value, "level": log_level and log_level.value},
        },
    )
    return run_serve(call)


@serve_app.command("token")
def token(
    name: Annotated[str, typer.Argument(help="Name of the token in logs: letters, digits, . _ -")],
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="The token file; created if missing.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings with the token file in access.tokens.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="30d|12h|never", help="Lifetime from now: a number with s, m, h, d or w.")
    ] = "90d",
    streams: Annotated[
        int | None, typer.Option(help="Maximum number of concurrent streams; default: no limit.")
    ] = None,
    rights: Annotated[str, typer.Option(metavar="R,R,…", help="Some of track, uri, detect, stats, jobs. [all]")] = "",
) -> int:
    """Create a token: it is printed once, and the file stores only its SHA-256."""
    from acfd_stream.cli.serve import run_token

    return run_token(name, file, config, expires, streams, rights)


@client_app.command("track")
@takes("remote", Remote)
@takes("video", VideoOptions)
def client_track(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A video file; '-' is stdin.")],
    remote: Remote,
    video: VideoOptions,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="OUT", help="Result file, as of 'track'; '-' is stdout."),
    ] = None,
    result_format: FormatOption = JSON_LINES,
    is_live: Annotated[
        bool, typer.Option("--live", help="Live stream: results come at once; a file is sent in real time.")
    ] = False,
    drop: Annotated[DropPolicy | None, typer.Option(help="Frames that a live stream drops to keep up.")] = None,
    objective: Annotated[
        float | None,
        typer.Option(metavar="S", help="Latency objective, seconds; default: the server's."),
    ] = None,
    is_uri: Annotated[bool, typer.Option("--uri", help="FILE is a path or URL that the server reads.")] = False,
    is_quiet: QuietOption = False,
) -> int:
    """Track a video on a service; with the same settings, the results are those of 'track'."""
    from acfd_stream.cli.client import Live, run_client_track
    from acfd_stream.cli.track import TrackOptions

    call = TrackOptions(source, output, str(result_format), is_quiet, video.config)
    live = Live(None if drop is None else drop.value, objective) if is_live else None
    if not is_live and (drop is not None or objective is not None):
        raise typer.BadParameter("--drop and --objective are for --live")
    return run_client_track(remote, call, live, is_uri=is_uri)


@client_app.command("detect")
@takes("remote", Remote, without=["patience_seconds"])
def client_detect(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Pictures: JPEG, PNG, WebP.")],
    remote: Remote,
) -> int:
    """Find the faces of pictures on a service: one JSON object per picture on stdout."""
    from acfd_stream.cli.client import run_client_detect

    return run_client_detect(remote, images)


@client_app.command("capacity")
@takes("remote", Remote, without=["patience_seconds"])
def client_capacity(
    remote: Remote,
    size: Annotated[str, typer.Option(metavar="WxH", help="Frame size of the stream.")] = "1280x720",
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 24.0,
    objective: Annotated[
        float | None, typer.Option(metavar="S", help="Latency objective in seconds; default: the server's.")
    ] = None,
) -> int:
    """Print whether one more live stream would be admitted: one JSON object."""
    from acfd_stream.cli.client import run_client_capacity

    return run_client_capacity(remote, parse_size(size), fps, objective)


@client_app.command("health")
@takes("remote", Remote, without=["patience_seconds"])
def client_health(
    remote: Remote,
    service: Annotated[str, typer.Option(help="Name of one gRPC service; default: the whole server.")] = "",
) -> int:
    """Print the health of a service; exit code 0 if it is SERVING, else 1."""
    from acfd_stream.cli.client import run_client_health

    return run_client_health(remote, service)


@client_app.command("watch")
@takes("remote", Remote, without=["patience_seconds"])
def client_watch(
    remote: Remote,
    service: Annotated[str, typer.Option(help="Name of one gRPC service; default: the whole server.")] = "",
) -> int:
    """Print the health of a service, one line per change."""
    from acfd_stream.cli.client import run_client_watch

    return run_client_watch(remote, service)


@bench_app.command("service")
@takes("remote", Remote, without=["patience_seconds"], target="")
def bench_service(
    remote: Remote,
    is_spawned: Annotated[bool, typer.Option("--spawn", help="Start a service, and stop it at the end.")] = False,
    options: Annotated[str, typer.Option("--with", metavar="'--batch 8 …'", help="Options of that service.")] = "",
    wait: Annotated[float, typer.Option(metavar="S", help="How long it may take to start, seconds.")] = 300.0,
    streams: Annotated[str, typer.Option(metavar="N,N,…", help="Numbers of live streams to try.")] = "1,2,4,8,16",
    fps: Annotated[float, typer.Option(help="Frames per second of each stream.")] = 24.0,
    objective: Annotated[float, typer.Option(metavar="S", help="Latency objective, in seconds.")] = 0.05,
    seconds: Annotated[float, typer.Option(metavar="S", help="Duration of each load, in seconds.")] = 10.0,
    drop: Annotated[
        DropPolicy, typer.Option(help="Which frames to drop when they come too fast.")
    ] = DropPolicy.DROP_OLDEST,
    clip: Annotated[Path | None, typer.Option(metavar="FILE", help="Video to send; default: a drawn cartoon.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.json")] = Path("bench_service.json"),
) -> int:
    """Send more and more live streams, and find the largest number whose p95 latency keeps the objective.

    Tries N,N,… in order until one fails, then bisects. Writes OUT.json and OUT.png.
    """
    import shlex

    from acfd_stream.cli.bench import BenchOptions, LoadOptions, parse_counts, run_bench_service

    if bool(remote.target) == is_spawned:
        raise typer.BadParameter("give either --to HOST:PORT or --spawn")
    counts = tuple(parse_counts(streams))
    further = tuple(shlex.split(options))
    load = LoadOptions(counts, fps, objective, seconds, drop.value)
    return run_bench_service(BenchOptions(remote if remote.target else None, further, load, clip, output, wait))


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of ``1280x720``."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise typer.BadParameter(f"{text!r} is not a size like 1280x720")
    return int(height), int(width)
