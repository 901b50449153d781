"""Every metric of the service, with its name, type and label values; docs/metrics.md describes them.

The scheduler, sessions, the service and jobs share one ``Metrics`` object. Label values are members of the enums below,
so a stream's ID, path or URL cannot become one. Every series exists from the first scrape on, at zero: a rate then
includes the first event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import product
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from acfd_stream.characters import CharacterLink
from acfd_stream.errors import ConfigError
from acfd_stream.types import DropReason, Gap, GapCause, JobState, Mode, Outcome, Stage

LATENCY_BUCKETS = (
    *(0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.055, 0.06, 0.075),
    *(0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)
"""Seconds; one edge is the objective of 0.05 s, so goodput is a ratio of counts, without interpolation."""
STAGE_BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.25, 0.5, 1.0, 2.5),
)
CALL_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)

E = TypeVar("E", bound=Enum)
F = TypeVar("F", Counter, Gauge, Histogram)
Buckets = Sequence[float]


class InputKind(Enum):
    """How a client sends its video."""

    BYTES = "bytes"  # a container, in pieces
    FRAMES = "frames"  # single pictures
    URI = "uri"  # read by the service itself


class QueueStage(Enum):
    """What the entries of a queue wait for."""

    DECODE = "decode"  # messages with bytes
    INFER = "infer"  # pictures
    SEND = "send"  # results


class Pool(Enum):
    """What bytes in memory belong to."""

    INGEST = "ingest"  # received, not decoded
    FRAMES = "frames"  # decoded pictures before the scheduler
    STILLS = "stills"  # reserved for single pictures: of Detect, and while those of streams are decoded
    ENGINE = "engine"  # pictures in the scheduler
    RESULTS = "results"  # answers not sent


class StreamState(Enum):
    """State of an admitted stream."""

    OPENING = "opening"  # its container is not read yet
    RUNNING = "running"
    DRAINING = "draining"  # the service stops: the stream sends its last results and its resume token


class Refusal(Enum):
    """Why a stream was refused."""

    STREAMS = "streams"  # the limit of all streams
    FILE_STREAMS = "file_streams"  # the limit of streams in file mode
    CAPACITY = "capacity"  # the admitted streams would miss their objective
    QUOTA = "quota"  # a limit of its caller
    MEMORY = "memory"  # memory is short, or there is none for a picture; also of a single picture
    DRAINING = "draining"


class JobWait(Enum):
    """Why a job waits instead of running."""

    NO_ROOM = "no_room"  # the disk or the quota of the job store is full
    LOCKED = "locked"  # another process holds the job store
    STORAGE = "storage"  # an I/O error, a read-only disk, a folder that was removed
    DAMAGED = "damaged"  # the database of the job store cannot be read
    DESCRIPTORS = "descriptors"  # too many open files
    MEMORY = "memory"


class Codec(Enum):
    """Codec of a video."""

    H264 = "h264"
    HEVC = "hevc"
    VP8 = "vp8"
    VP9 = "vp9"
    AV1 = "av1"
    MPEG2 = "mpeg2video"
    MPEG4 = "mpeg4"
    MJPEG = "mjpeg"
    PRORES = "prores"
    OTHER = "other"
    UNKNOWN = "unknown"  # the container did not name it, or there was no container

    @classmethod
    def of(cls, name: str | None) -> Codec:
        """The member for the name that the decoder uses."""
        known = {member.value: member for member in cls}
        return known.get(name, cls.OTHER) if name else cls.UNKNOWN


class DecodeFault(Enum):
    """What was wrong with a video."""

    OPEN = "open"  # it cannot be decoded at all
    BROKEN = "broken"  # it broke in the middle
    FRAME = "frame"  # a frame that was sent as a picture cannot be decoded
    WARNING = "warning"  # it has gaps, is shorter than declared, or its timestamps jump


class LinkState(Enum):
    """What a link of a track to a character says."""

    TENTATIVE = "tentative"  # a later frame may change it
    FIRM = "firm"  # only the end of the media can change it
    WITHDRAWN = "withdrawn"  # the link before was wrong, and nothing replaces it

    @classmethod
    def of(cls, link: CharacterLink) -> LinkState:
        """The state of ``link``."""
        if not link.character:
            return cls.WITHDRAWN
        return cls.TENTATIVE if link.is_tentative else cls.FIRM


class DecoderFailure(Enum):
    """Why a decoder process was ended, or ended, before its video did."""

    CRASH = "crash"
    MEMORY = "memory"  # it needed more than the limit
    STUCK = "stuck"  # it read on without a picture


class CallType(Enum):
    """Shape of a gRPC method."""

    UNARY = "unary"
    CLIENT_STREAM = "client_stream"
    SERVER_STREAM = "server_stream"
    BIDI_STREAM = "bidi_stream"


def member(kind: type[E], value: E | str) -> E:
    """``value`` as a member of ``kind``; text is the value of a member.

    Raises:
        ConfigError: ``kind`` has no such value.
    """
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(str(known.value) for known in kind)
        raise ConfigError(f"{kind.__name__} must be one of {allowed}, got {value!r}") from None


class Series(Generic[F]):
    """The series of a metric, by label values that are members of enums."""

    def __init__(self, family: F, labels: Mapping[str, type[Enum]]) -> None:
        self._kinds = tuple(labels.values())
        self._series: dict[tuple[Enum, ...], F] = {
            key: family.labels(*(part.value for part in key)) if key else family for key in product(*self._kinds)
        }

    def of(self, *values: Enum | str) -> F:
        """The series with these label values.

        Raises:
            ConfigError: a value is not a member of its enum.
        """
        return self._series[tuple(map(member, self._kinds, values))]


class Metrics:
    """All metrics of the service, on one registry.

    Metrics with a single call are attributes: ``metrics.queue_depth.of(QueueStage.INFER).inc()``. Methods count events
    that change several metrics, or replace label values. Thread-safe. The registry refuses a second object.

    Args:
        registry: the registry that is scraped; None: a new one, for a program without a service.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._make_frames()
        self._make_streams()
        self._make_service()

    @classmethod
    def none(cls) -> Metrics:
        """An object whose metrics are not served."""
        return cls()

    def frame_answered(
        self,
        mode: Mode,
        input_kind: InputKind,
        outcome: Outcome,
        latency_seconds: float,
        timings: Mapping[str, float],
        *,
        reused: bool = False,
    ) -> None:
        """Count a frame whose result was sent (``OK`` or ``LATE``).

        Args:
            mode: of its stream.
            input_kind: of its stream.
            outcome: whether it was on time.
            latency_seconds: from the arrival of its bytes until gRPC took the result.
            timings: stage → seconds, by the names of ``Stage``.
            reused: its detections are those of the previous drawing.
        """
        self._latency.of(mode, input_kind).observe(latency_seconds)
        self.frames.of(outcome).inc()
        self.stages(timings)
        if reused:
            self._reused.inc()

    def stages(self, timings: Mapping[str, float]) -> None:
        """Count the seconds of a frame by stage."""
        for name, seconds in timings.items():
            self._stages.of(name).observe(seconds)

    def frame_dropped(self, reason: DropReason) -> None:
        """Count a dropped frame."""
        self._dropped.of(reason).inc()
        self.frames.of(Outcome.DROPPED).inc()

    def decode_error(self, codec: str | None, fault: DecodeFault) -> None:
        """Count an error of a video; ``codec`` is the decoder's name, None without one."""
        self._decode_errors.of(Codec.of(codec), fault).inc()

    def gaps(self, gaps: Iterable[Gap]) -> None:
        """Count the holes of a video that was read to its end."""
        for gap in gaps:
            self._gaps.of(gap.cause).inc()
            self._missing.inc(gap.missing_seconds)

    def stream_moved(self, before: StreamState | None, after: StreamState | None) -> None:
        """Change the state of a stream; None: not admitted yet, or closed."""
        if before is not None:
            self._streams.of(before).dec()
        if after is not None:
            self._streams.of(after).inc()

    def engine(
        self,
        backend: str,
        precision: str,
        *,
        trt: str = "",
        sm: str = "",
        decoder: str = "cpu",
        is_fallback: bool = False,
    ) -> None:
        """Set the decoder and the engine that runs the network.

        Args:
            backend: "openvino", "tensorrt" or "onnxruntime".
            precision: "f32", "bf16", "f16" or "int8".
            trt: version of TensorRT, if it is the backend.
            sm: compute capability of the GPU ("9.0"), if there is one.
            decoder: decoder of videos, "nvdec" or "cpu".
            is_fallback: the preferred device could not be used.
        """
        self._engine.clear()
        self._engine.labels(backend=backend, precision=precision, trt=trt, sm=sm, decoder=decoder).set(1)
        self._fallback.set(is_fallback)

    def build(self, version: str, model: str, model_version: str) -> None:
        """Set the version of the package and the model."""
        self._build.clear()
        self._build.labels(version=version, model=model, model_version=model_version).set(1)

    def links(self, links: Iterable[CharacterLink]) -> None:
        """Count the links of a frame."""
        for link in links:
            self._links.of(LinkState.of(link)).inc()

    # gRPC: names, labels and codes are those of the Go libraries, which common dashboards use

    def call_expected(self, kind: CallType, service: str, method: str) -> None:
        """Create the series of a method, so that they exist from the first scrape on."""
        labels = (member(CallType, kind).value, service, method)
        for family in (self._calls_started, self._calls_received, self._calls_sent, self._call_seconds):
            family.labels(*labels)
        self._calls_handled.labels(*labels, "OK")

    def call_started(self, kind: CallType, service: str, method: str) -> None:
        """Count a call that began."""
        self._calls_started.labels(member(CallType, kind).value, service, method).inc()

    def call_handled(self, kind: CallType, service: str, method: str, code: str, seconds: float) -> None:
        """Count a call that ended with ``code`` ("OK", "InvalidArgument" …)."""
        labels = (member(CallType, kind).value, service, method)
        self._calls_handled.labels(*labels, code).inc()
        self._call_seconds.labels(*labels).observe(seconds)

    def call_message(self, kind: CallType, service: str, method: str, *, is_received: bool) -> None:
        """Count a message of a call."""
        family = self._calls_received if is_received else self._calls_sent
        family.labels(member(CallType, kind).value, service, method).inc()

    def _make_frames(self) -> None:
        latency = "acfd_frame_latency_seconds", "From a frame's bytes to its answer", LATENCY_BUCKETS
        self._latency = self._histogram(*latency, mode=Mode, path=InputKind)
        stages = "acfd_stage_duration_seconds", "Time of a frame in a stage", STAGE_BUCKETS
        self._stages = self._histogram(*stages, stage=Stage)
        self.frames = self._counter("acfd_frames", "Frames by how they ended", outcome=Outcome)
        self._dropped = self._counter("acfd_frames_dropped", "Frames of live streams left out", reason=DropReason)
        self.held_frames = self._counter("acfd_frames_held", "Frames that waited, above the rate of their stream").of()
        self._reused = self._counter("acfd_frames_reused", "Frames that took over a held drawing's detections").of()
        self.tracks = self._counter("acfd_tracks_started", "Tracks that began").of()
        self._links = self._counter("acfd_character_links", "Links of tracks to characters", state=LinkState)
        self.embedded = self._counter("acfd_faces_embedded", "Faces that the network of characters has seen").of()
        self.shots = self._counter("acfd_shot_cuts", "Shots that began by a cut or a fade").of()
        self._decode_errors = self._counter("acfd_decode_errors", "Media at fault", codec=Codec, kind=DecodeFault)
        self.decoder_failures = self._counter(
            "acfd_decoder_failures", "Decoder processes that ended before their video", cause=DecoderFailure
        )
        self.damaged = self._counter("acfd_frames_damaged", "Frames with parts that the decoder made up").of()
        self._gaps = self._counter("acfd_media_gaps", "Holes in media", cause=GapCause)
        self._missing = self._counter("acfd_media_missing_seconds", "Media that is missing in holes").of()
        self.batches = self._histogram("acfd_batch_size", "Pictures in a batch of the network", BATCH_BUCKETS).of()

    def _make_streams(self) -> None:
        self.queue_depth = self._gauge("acfd_queue_depth", "How many wait for a stage", stage=QueueStage)
        self.held_bytes = self._gauge("acfd_inflight_bytes", "Bytes that are held", pool=Pool)
        self._streams = self._gauge("acfd_streams_active", "Streams that are open", state=StreamState)
        self.refusals = self._counter("acfd_admission_rejected", "Streams that were not let in", reason=Refusal)
        self.headroom = self._gauge("acfd_capacity_headroom_ratio", "Share of the capacity that is free").of()
        self.memory_used = self._gauge("acfd_memory_used_ratio", "Share of the memory that is used").of()
        self.jobs = self._gauge("acfd_jobs", "Jobs by state", state=JobState)
        self.jobs_waiting = self._gauge("acfd_jobs_waiting", "Jobs that wait for the machine", reason=JobWait)
        self.job_frames = self._counter("acfd_job_frames", "Frames that jobs have finished").of()

    def _make_service(self) -> None:
        own: dict[str, Any] = {"registry": self.registry}
        engine = ("backend", "precision", "trt", "sm", "decoder")
        self._engine = Gauge("acfd_engine_info", "What decodes and what runs the network", engine, **own)
        self._fallback = Gauge("acfd_engine_fallback", "1 while the engine is not the one that was wanted", **own)
        self.objective = Gauge("acfd_slo_target_seconds", "What a frame of a live stream may take", **own)
        self._build = Gauge("acfd_build_info", "What runs", ("version", "model", "model_version"), **own)
        call = ("grpc_type", "grpc_service", "grpc_method")
        self._calls_started = Counter("grpc_server_started", "Calls that came in", call, **own)
        self._calls_handled = Counter("grpc_server_handled", "Calls that ended", (*call, "grpc_code"), **own)
        self._calls_received = Counter("grpc_server_msg_received", "Messages of calls that came in", call, **own)
        self._calls_sent = Counter("grpc_server_msg_sent", "Messages of calls that went out", call, **own)
        own |= {"buckets": CALL_BUCKETS}
        self._call_seconds = Histogram("grpc_server_handling_seconds", "Time of a call", call, **own)

    def _counter(self, name: str, meaning: str, /, **labels: type[Enum]) -> Series[Counter]:
        return Series(Counter(name, meaning, labels, registry=self.registry), labels)

    def _gauge(self, name: str, meaning: str, /, **labels: type[Enum]) -> Series[Gauge]:
        return Series(Gauge(name, meaning, labels, registry=self.registry), labels)

    def _histogram(self, name: str, meaning: str, edges: Buckets, /, **labels: type[Enum]) -> Series[Histogram]:
        return Series(Histogram(name, meaning, labels, registry=self.registry, buckets=edges), labels)
