"""``serve`` runs the service until a signal stops it; ``serve token`` creates an access token."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.exits import DONE, INTERRUPTED, print_error, print_note
from acfd_stream.cli.progress import count
from acfd_stream.config import hush_grpc
from acfd_stream.errors import ConfigError

if TYPE_CHECKING:
    from types import FrameType

    from acfd_stream.service.server import Server
    from acfd_stream.service.settings import ServiceSettings

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


def run_serve(options: ServeOptions) -> int:
    """Serve until SIGTERM or Ctrl-C, drain, and return 0.

    Raises:
        AcfdError: a setting is invalid, the port is taken, or the model cannot be run.
    """
    hush_grpc()
    settings = settings_of(options)
    from acfd_stream.malloc import freeze, limit_heaps
    from acfd_stream.service.logs import start_logging, stop_logging
    from acfd_stream.service.server import Server

    limit_heaps()
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
    print(line, flush=True)
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


def run_token(
    name: str, file: Path | None, config: Path | None, expires: str | None, streams: int | None, rights: str
) -> int:
    """Print a new token, and add its grant to the file.

    Raises:
        ConfigError: the file is invalid or has the name already, or an option is invalid.
    """
    hush_grpc()
    from acfd_stream.service.access.token_file import RIGHTS, add_token, now_utc, parse_duration

    path = file or _token_file(config)
    given = tuple(part.strip() for part in rights.split(",") if part.strip()) or RIGHTS
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
