"""Every setting and cap of the service, with its unit and range, and the TOML file they come from.

A table of the file is a dataclass here: ``[limits]`` is ``Limits``. Unknown keys are errors.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from acfd_stream.characters import CharacterConfig
from acfd_stream.checked import Checked
from acfd_stream.config import ADDRESSES, CapacityConfig, DetectConfig, SchedulerConfig, from_mapping, require
from acfd_stream.config_file import parse_toml, read_config_file
from acfd_stream.errors import ConfigError
from acfd_stream.service.settings.callers import CallerLimits, CallerSettings
from acfd_stream.service.settings.connections import ConnectionSettings
from acfd_stream.service.settings.decoding import DecodingSettings
from acfd_stream.wire.channel import KeepaliveConfig

T = TypeVar("T")
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
MEMORY_BYTES = 256 * 2**20
"""Most bytes of results that are kept without a folder for them."""
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})|unix:(//)?\S+")


@dataclass(frozen=True)
class Limits(Checked):
    """How much memory and work one client can cause."""

    message_bytes: int = 4 * 2**20
    """Maximum size of a received message, bytes, 64 KiB … 1 GiB; also limits encoded pictures."""
    data_bytes: int = 64 * 2**10
    """Maximum bytes of a container per message, 1 KiB … message_bytes."""
    frame_pixels: int = 4096 * 4096
    """Maximum size of a picture, pixels, >= 1."""
    picture_bytes: int = 2**30
    """Maximum bytes of pictures in all calls and streams, while they are decoded and while they wait, >= 1 MiB."""
    duration_seconds: float = 24 * 3600.0
    """Maximum length of a stream, seconds of media, > 0."""
    streams: int = 64
    """Maximum concurrent streams, 1 … 4096."""
    calls: int = 32
    """Maximum other concurrent calls, 1 … 4096."""
    ingest_bytes: int = 2**20
    """Maximum bytes per stream that wait for the decoder, >= 64 KiB."""
    queue_bytes: int = 8 * 2**20
    """Maximum bytes of decoded frames per stream that wait for the network, >= 1 MiB; one frame always may."""
    first_message_seconds: float = 10.0
    """A call that sends no message within this time is ended, seconds, > 0."""
    idle_seconds: float = 60.0
    """A stream is ended if the server waits this long for its client to send or to read, seconds, > 0."""
    frameless_seconds: float = 300.0
    """A stream is ended if its client keeps the server waiting this long without a frame, seconds, > 0."""
    least_bytes_per_second: float = 1024.0
    """While others wait for a place, a stream that sends less in `idle_seconds` (live: twice that) is ended, >= 0."""
    least_frames_per_second: float = 0.5
    """As above: a stream that sends so many frames is not ended; one whose client reads fewer results is, >= 0."""

    call_seconds: float = 60.0
    """A call with one response is ended after this time, seconds, > 0."""
    stream_seconds: float = 24 * 3600.0
    """A stream is ended after this time, with a resume point at which its client may continue, seconds, > 0."""
    memory_share: float = 0.8
    """New streams, pictures and jobs are refused while more than this share of memory is used, (0, 1]; 1: never."""

    def _check(self) -> None:
        require(2**16 <= self.message_bytes <= 2**30, "message_bytes", self.message_bytes, "in 65536 … 2^30")
        require(
            2**10 <= self.data_bytes <= self.message_bytes, "data_bytes", self.data_bytes, "in 1024 … message_bytes"
        )
        self._require_least(1, "frame_pixels")
        self._require_between(1, 4096, "streams", "calls")
        self._require_least(2**16, "ingest_bytes")
        self._require_least(2**20, "queue_bytes", "picture_bytes")
        self._require_least(0, "least_bytes_per_second", "least_frames_per_second")
        self._require_share("memory_share")
        self._require_positive("call_seconds", "stream_seconds")
        self._require_positive("duration_seconds", "first_message_seconds", "idle_seconds", "frameless_seconds")


@dataclass(frozen=True)
class SourceSettings:
    """What TrackUri and jobs may read; by default nothing."""

    folders: tuple[Path, ...] = ()
    """Absolute paths; files in and below them may be read. Symbolic links are resolved first."""
    schemes: tuple[str, ...] = ()
    """Allowed URL schemes, such as "http", "https" or "rtsp"; "file" is refused. The service itself opens the URL."""
    hosts: tuple[str, ...] = ()
    """Hosts that http and https URLs may lead to, "*.example.org" for all below one; empty: every host."""
    addresses: str = "private"
    """How far http and https may lead: "public", the internet; "private", also networks of your own; "any"."""
    ca_file: Path | None = None
    """PEM file of authorities whose certificates https may have, besides those of the machine; None: no others."""

    def __post_init__(self) -> None:
        for scheme in self.schemes:
            is_scheme = re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) is not None and scheme != "file"
            require(is_scheme, "schemes", scheme, "schemes such as 'https', and never 'file': name folders")
        for folder in self.folders:
            require(folder.is_absolute(), "folders", str(folder), "absolute paths")
        require(self.addresses in ADDRESSES, "addresses", self.addresses, f"one of {', '.join(ADDRESSES)}")
        if self.hosts or self.addresses == "public":
            others = sorted(set(self.schemes) - {"http", "https"})
            require(
                not others, "schemes", ", ".join(others), "only http and https where hosts or addresses are limited"
            )
        if self.ca_file is not None:
            require(self.ca_file.is_file(), "ca_file", str(self.ca_file), "a PEM file of authorities")


@dataclass(frozen=True)
class AnswerSettings(Checked):
    """How results are grouped into messages. Results of live streams are sent at once."""

    results: int = 16
    """Maximum results per message, 1 … 1000."""
    wait_seconds: float = 0.1
    """How long a result waits for others, seconds, >= 0."""
    resume_seconds: float = 5.0
    """Time between resume points while results come, seconds, > 0."""

    def _check(self) -> None:
        self._require_between(1, 1000, "results")
        self._require_least(0, "wait_seconds")
        self._require_positive("resume_seconds")


@dataclass(frozen=True)
class AccessConfig:
    """Which clients may call."""

    tokens: Path | None = None
    """Path of the token file; None: every client may make every call."""
    resume_key: Path | None = None
    """Path of the key that signs resume tokens, the same on all replicas; None: one in ``state_dir``, or the cache."""
    is_health_open: bool = True
    """Whether health can be queried without a token; probes have none."""
    is_reflection_open: bool = False
    """Whether gRPC reflection, the list of methods, can be queried without a token."""


@dataclass(frozen=True)
class TlsConfig:
    """Encryption of the server. Without a certificate nothing is encrypted."""

    certificate: Path | None = None
    """PEM file of the server's certificate and the intermediate certificates."""
    key: Path | None = None
    """PEM file of its private key, without a password."""
    client_ca: Path | None = None
    """PEM file of the authorities whose client certificates are accepted (mTLS); None: clients need none."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("tls needs both a certificate and a key, or neither")
        if self.client_ca is not None and self.certificate is None:
            raise ConfigError("tls client_ca needs a certificate and a key of the server")


@dataclass(frozen=True)
class LogConfig:
    """What is logged, and in which format."""

    format: str = "text"
    """"text", or "json": one object per line."""
    level: str = "info"
    """Lowest level that is logged: "debug", "info", "warning" or "error"."""
    shows_media: bool = False
    """Whether the log may contain names of videos."""

    def __post_init__(self) -> None:
        require(self.format in LOG_FORMATS, "log format", self.format, " or ".join(LOG_FORMATS))
        require(self.level in LOG_LEVELS, "log level", self.level, f"one of {', '.join(LOG_LEVELS)}")


@dataclass(frozen=True)
class TraceConfig:
    """Where traces are sent."""

    endpoint: str = ""
    """URL of an OTLP collector (gRPC), such as http://localhost:4317; empty: OTEL_EXPORTER_OTLP_ENDPOINT."""
    ratio: float = 0.01
    """Share of calls that are traced, (0, 1]; a call that its client traces is always traced."""
    service_name: str = "acfd-stream"
    """Name of the service in traces."""

    def __post_init__(self) -> None:
        require(0.0 < self.ratio <= 1.0, "trace ratio", self.ratio, "in (0, 1]")


@dataclass(frozen=True)
class JobSettings(Checked):
    """How many jobs run, and how long their results are kept."""

    state_dir: Path | None = None
    """Folder for jobs and their results, created if missing; None: in memory, lost with the process."""
    workers: int = 1
    """Jobs that run concurrently, 1 … 64."""
    open: int = 1000
    """Maximum jobs that wait or run, >= 1; further ones are refused."""
    kept: int = 10_000
    """Maximum finished jobs that are kept, >= 1; the oldest are deleted first."""
    kept_bytes: int = 4 * 2**30
    """Maximum bytes of results, >= 1 MiB, in memory at most 256 MiB; the oldest finished jobs are deleted first."""
    kept_seconds: float = 30 * 86400.0
    """Age at which a finished job is deleted, seconds for which the service has run, > 0."""
    checkpoint_seconds: float = 10.0
    """Time between checkpoints of a running job, seconds, > 0; a killed server repeats at most this much work."""
    attempts: int = 3
    """Starts of a job without a new checkpoint before it fails, >= 1."""
    result_streams: int = 8
    """Maximum concurrent streams of results, >= 1."""
    turn_seconds: float = 600.0
    """Time after which a running job waits again, at a checkpoint, if a job of another caller waits, seconds, > 0."""
    wait_seconds: float = 3600.0
    """How long a job waits for room in state_dir at a time, seconds, > 0; then it goes to the end of the queue."""
    most_seconds: float = 7 * 86400.0
    """How long a job may run, seconds, > 0; then it fails and keeps its results so far."""

    def _check(self) -> None:
        self._require_between(1, 64, "workers")
        self._require_least(1, "open", "kept", "attempts", "result_streams")
        self._require_least(2**20, "kept_bytes")
        self._require_positive("kept_seconds", "checkpoint_seconds", "turn_seconds", "wait_seconds", "most_seconds")

    @property
    def result_bytes(self) -> int:
        """Most bytes of results where they are kept."""
        return self.kept_bytes if self.state_dir is not None else min(self.kept_bytes, MEMORY_BYTES)


@dataclass(frozen=True)
class ServiceSettings(Checked):
    """Settings at the top of the file."""

    listen: str = "127.0.0.1:50051"
    """Address of gRPC, HOST:PORT or unix:PATH for a socket; port 0: any free port."""
    metrics: str = "127.0.0.1:9464"
    """Address of the metrics and the status page, HOST:PORT; empty: neither."""
    model: str = "acfd-n"
    """Name of a shipped model, or path of an ONNX file."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    cast: Path | None = None
    """File of the cast that names characters; it is read again when it changes. None: they have no names."""
    objective_seconds: float = 0.05
    """Latency objective of live streams, seconds, > 0."""
    live_size: int = 0
    """Longer side of the network input for live frames, 64 … 4096 pixels; 0: as for files, less on a slow machine."""
    drain_seconds: float = 30.0
    """How long file streams may finish when the service stops, seconds, >= 0; then they get resume points."""
    detect: DetectConfig = field(default_factory=DetectConfig)
    characters: CharacterConfig = field(default_factory=CharacterConfig)
    limits: Limits = field(default_factory=Limits)
    sources: SourceSettings = field(default_factory=SourceSettings)
    decoding: DecodingSettings = field(default_factory=DecodingSettings)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    capacity: CapacityConfig = field(default_factory=CapacityConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    keepalive: KeepaliveConfig = field(default_factory=KeepaliveConfig)
    log: LogConfig = field(default_factory=LogConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    jobs: JobSettings = field(default_factory=JobSettings)
    connections: ConnectionSettings = field(default_factory=ConnectionSettings)
    callers: CallerSettings = field(default_factory=CallerSettings)

    def _check(self) -> None:
        require(is_address(self.listen), "listen", self.listen, "HOST:PORT or unix:PATH")
        require(not self.metrics or is_address(self.metrics), "metrics", self.metrics, "HOST:PORT, or empty")
        self._require_positive("objective_seconds")
        require(self.live_size == 0 or 64 <= self.live_size <= 4096, "live_size", self.live_size, "0 or in 64 … 4096")
        self._require_least(0, "drain_seconds")


def filled_limits(limits: CallerLimits, settings: ServiceSettings) -> CallerLimits:
    """``limits`` with each 0 replaced by what the service takes from all callers together, where that is bounded."""
    streams, jobs = settings.limits.streams, settings.jobs
    return CallerLimits(
        calls=limits.calls,
        streams=limits.streams or streams,
        uploads=limits.uploads or limits.streams or streams,
        bytes_per_second=limits.bytes_per_second,
        faults_per_second=limits.faults_per_second,
        queued_jobs=limits.queued_jobs or jobs.open,
        running_jobs=limits.running_jobs or jobs.workers,
        kept_jobs=limits.kept_jobs or jobs.kept,
        kept_bytes=limits.kept_bytes or jobs.result_bytes,
        result_streams=limits.result_streams or jobs.result_streams,
    )


def is_address(text: str) -> bool:
    """Whether ``text`` is HOST:PORT, [IPv6]:PORT or unix:PATH."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and int(found[2] or 0) <= 65535


def read_settings(path: Path) -> ServiceSettings:
    """The settings in the TOML file at ``path``; what it leaves out keeps its default.

    Raises:
        ConfigError: no such file, no TOML, an unknown key, or a value outside its range.
    """
    values = parse_toml(read_config_file(path, str(path)), str(path))
    try:
        return from_table(ServiceSettings, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_table(cls: type[T], values: Mapping[str, Any], name: str = "") -> T:
    """An instance of the config dataclass ``cls`` from a TOML table, tables in it becoming its dataclasses.

    Raises:
        ConfigError: an unknown key, a value of another type or outside its range.
    """
    hints = get_type_hints(cls)
    converted = {
        key: _converted(hints[key], value, f"{name}.{key}" if name else key) if key in hints else value
        for key, value in values.items()
    }
    try:
        return from_mapping(cls, converted)
    except ConfigError as error:
        raise ConfigError(f"[{name}] {error}" if name else str(error)) from error


def _converted(hint: Any, value: Any, name: str) -> Any:
    """``value`` of a TOML file as what a field of type ``hint`` takes."""
    require(not isinstance(value, str) or "\0" not in value, name, value, "a text without NUL")
    if dataclasses.is_dataclass(hint):
        require(isinstance(value, Mapping), name, value, "a table")
        return from_table(hint, value, name)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        require(isinstance(value, list), name, value, "a list")
        return tuple(_converted(get_args(hint)[0], entry, name) for entry in value)
    allowed = tuple(kind for kind in get_args(hint) or (hint,) if isinstance(kind, type))
    if Path in allowed:
        require(isinstance(value, str), name, value, "a path")
        return Path(value).expanduser()
    if isinstance(value, bool) or not allowed:
        is_right = bool in allowed or not allowed
    else:
        is_right = isinstance(value, allowed) or (float in allowed and isinstance(value, int))
    require(is_right, name, value, " or ".join(kind.__name__ for kind in allowed if kind is not type(None)))
    return value
