"""``serve`` runs the service until a signal stops it; ``serve token`` creates an access token."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acfd_stream.cli.choices import split
from acfd_stream.cli.exits import DONE, INTERRUPTED, print_error, print_note
from acfd_stream.cli.progress import count
from acfd_stream.config import hush_grpc
from acfd_stream.errors import ConfigError
from acfd_stream.printable import printable

if TYPE_CHECKING:
    from types import FrameType

    from acfd_stream.service.server import Server
    from acfd_stream.service.settings import ServiceSettings

serve_app = typer.Typer(help="Serve gRPC until SIGTERM or Ctrl-C.", invoke_without_command=True)
_MEASURE = ((720, 1280), 24.0)
"""The stream of the message about capacity: (height, width) and frames per second."""


@dataclass(frozen=True)
class ServeOptions:
    """Options of ``serve``: a file of settings, and settings that override it."""

    config: Path | None = None
    top: dict[str, Any] = field(default_factory=dict)
    """Settings by name; None: as in the file."""
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of tables, by table and name; None: as in the file."""


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
    cast: Annotated[
        Path | None, typer.Option(metavar="CAST", help="Names characters; read again when it changes. See 'cast'.")
    ] = None,
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
    call = ServeOptions(
        config,
        top={
            "listen": listen,
            "metrics": metrics,
            "model": model,
            "device": device,
            "cast": cast,
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


def run_serve(options: ServeOptions) -> int:
    """Serve until SIGTERM or Ctrl-C, drain, and return 0.

    Raises:
        AcfdError: a setting is invalid, the port is taken, or the model cannot be run.
    """
    hush_grpc()
    settings = settings_of(options)
    from acfd_stream.malloc import freeze, limit_heaps
    from acfd_stream.service.connections import raise_file_limit
    from acfd_stream.service.logs import start_logging, stop_logging
    from acfd_stream.service.server import Server

    limit_heaps()
    raise_file_limit()
    handler = start_logging(settings.log)
    try:
        server = Server(settings)
        with _reloading(server):
            server.start()
            try:
                freeze()
                _announce(server)
                server.wait()
            except KeyboardInterrupt:
                return _drain(server)
            finally:
                server.stop(0.0)
    finally:
        stop_logging(handler)
    return DONE


def settings_of(options: ServeOptions) -> ServiceSettings:
    """The settings of the file, overridden by the options.

    Raises:
        ConfigError: a setting is invalid.
    """
    from acfd_stream.service.settings import ServiceSettings, read_settings

    settings = ServiceSettings() if options.config is None else read_settings(options.config)
    changes = _given(options.top)
    for table, values in options.tables.items():
        if given := _given(values):
            changes[table] = replace(getattr(settings, table), **given)
    return replace(settings, **changes)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _announce(server: Server) -> None:
    """Print address, model and capacity in one line on stdout: the sign that the service is ready."""
    host = server.host
    if host is None:
        return
    (height, width), fps = _MEASURE
    engine, settings = host.context.scheduler.engine, server.settings
    answer = host.context.capacity.ask((height, width), fps)
    objective = f"{settings.objective_seconds * 1000:g} ms"
    room = "has room for" if answer.fits else "has no room for"
    side = host.context.capacity.live_view.of(settings.objective_seconds)
    input_size = f", detected at {side} pixels" if side else ""
    line = (
        f"serving on {server.address}: {engine.spec.name} {engine.spec.version}, {engine.description}; "
        f"{room} live {width}×{height} at {fps:g} fps within {objective}{input_size}"
    )
    if server.dashboard is not None:
        line += f"; page on http://{settings.metrics.rpartition(':')[0]}:{server.dashboard.port}/"
    print(printable(line), flush=True)
    if settings.access.tokens is not None and settings.tls.certificate is None and not _is_local(settings.listen):
        print_error("warning: tokens are sent unencrypted; set a certificate and a key, or listen on this machine only")


def _is_local(listen: str) -> bool:
    return listen.startswith(("127.", "localhost:", "[::1]", "unix:"))


def _drain(server: Server) -> int:
    """Let the streams finish; a second signal ends them at once."""
    host = server.host
    streams = 0 if host is None else host.stream_count
    print_note(f"draining: {count(streams, 'stream')} may finish within {server.settings.drain_seconds:g} s")
    try:
        is_empty = server.stop()
    except KeyboardInterrupt:
        print_error("stopped at once; unfinished streams are lost")
        return INTERRUPTED
    if not is_empty:
        print_error("warning: some streams did not finish in time and were closed")
    return DONE


@contextmanager
def _reloading(server: Server) -> Iterator[None]:
    """Reload the token file on SIGHUP."""

    def reload(number: int, frame: FrameType | None) -> None:
        server.reload()

    before = None
    with suppress(ValueError, AttributeError):  # not the main thread, or no such signal
        before = signal.signal(signal.SIGHUP, reload)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGHUP, before)


@serve_app.command()
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
    rights: Annotated[
        str | None, typer.Option(metavar="R,R,…", help="Some of track, uri, detect, stats, jobs. [all]")
    ] = None,
) -> int:
    """Create a token: it is printed once, and the file stores only its SHA-256."""
    hush_grpc()
    from acfd_stream.service.access.token_file import RIGHTS, add_token, now_utc, parse_duration

    given = RIGHTS if rights is None else split(rights)
    if not given:
        raise ConfigError(f"--rights must be some of {', '.join(RIGHTS)}, got {rights!r}; leave it out to give all")
    path = file or _token_file(config)
    until = None if expires in (None, "never") else now_utc() + parse_duration(str(expires))
    token = add_token(path, name, expires=until, streams=streams, rights=given)
    print(token)
    when = "never" if until is None else f"at {until:%Y-%m-%d %H:%M} UTC"
    if sys.stderr.isatty():
        print_note(f"token {name} of {path} expires {when}; it is shown only once")
    return DONE


def _token_file(config: Path | None) -> Path:
    if config is None:
        raise ConfigError("no token file: give --file tokens.toml, or --config with access.tokens in it")
    from acfd_stream.service.settings import read_settings

    tokens = read_settings(config).access.tokens
    if tokens is None:
        raise ConfigError(f"{config} has no access.tokens; set it, or give --file")
    return tokens
