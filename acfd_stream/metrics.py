"""Every metric of the service, by name, type and closed label set; docs/metrics.md is its page.

One ``Metrics`` stands on one registry and is handed to whoever counts: scheduler, sessions, servicer, jobs. Values of
labels are members of the enums below, so a stream's id, path or URL cannot become one. Every series exists from the
first scrape on, at zero: a rate over it then sees the first event too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from acfd_stream.errors import ConfigError
from acfd_stream.types import DropReason, JobState, Mode, Outcome, Stage

LATENCY_BUCKETS = (
    *(0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.055, 0.06, 0.075),
    *(0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)
"""Seconds; one edge is the objective of 0.05 s, so goodput is a quotient of counts and no interpolation."""
STAGE_BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.25, 0.5, 1.0, 2.5),
)
CALL_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)

E = TypeVar("E", bound=Enum)


class InputKind(Enum):
    """How pictures come in."""

    BYTES = "bytes"  # a container, in pieces
    FRAMES = "frames"  # single pictures
    URI = "uri"  # read by the service itself


class QueueStage(Enum):
    """What those in a queue wait for."""

    DECODE = "decode"  # messages with bytes
    INFER = "infer"  # pictures
    SEND = "send"  # results


class Pool(Enum):
    """What the bytes that are held belong to."""

    INGEST = "ingest"  # received, not decoded
    FRAMES = "frames"  # decoded pictures before the scheduler
    ENGINE = "engine"  # pictures in the scheduler
    RESULTS = "results"  # answers not sent


class StreamState(Enum):
    """Where an admitted stream stands."""

    OPENING = "opening"  # its container is not understood yet
    RUNNING = "running"
    DRAINING = "draining"  # the service stops, the stream hands out its last results and its token


class Refusal(Enum):
    """Why a stream was not let in."""

    STREAMS = "streams"  # the most streams of the service
    FILE_STREAMS = "file_streams"  # the most of them in file mode
    CAPACITY = "capacity"  # those inside would miss their objective
    QUOTA = "quota"  # of its token
    DRAINING = "draining"


class Codec(Enum):
    """What a video is packed in; ``of`` names any."""

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
    UNKNOWN = "unknown"  # the container did not say, or was none

    @classmethod
    def of(cls, name: str | None) -> Codec:
        """The member for a decoder's name of a codec."""
        known = {member.value: member for member in cls}
        return known.get(name, cls.OTHER) if name else cls.UNKNOWN


class DecodeFault(Enum):
    """What was wrong with the media."""

    OPEN = "open"  # nothing in it can be decoded
    BROKEN = "broken"  # it broke in the middle
    FRAME = "frame"  # a frame that was sent by itself cannot be decoded
    WARNING = "warning"  # nothing is lost, but it is odd: shorter than it claims, its clock jumps


class CallType(Enum):
    """Shape of a gRPC method."""

    UNARY = "unary"
    CLIENT_STREAM = "client_stream"
    SERVER_STREAM = "server_stream"
    BIDI_STREAM = "bidi_stream"


def member(kind: type[E], value: E | str) -> E:
    """``value`` as a member of ``kind``: itself, or the member of that name on the wire.

    Raises:
        ConfigError: the set has no such value.
    """
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(str(known.value) for known in kind)
        raise ConfigError(f"{kind.__name__} must be one of {allowed}, got {value!r}") from None


class Metrics:
    """All that is counted, on one registry.

    Safe to use from any thread. Two objects on one registry are refused by the registry.

    Args:
        registry: where it is scraped from; None: a registry that nobody reads, for whoever runs without a service.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._make_frames()
        self._make_flow()
        self._make_streams()
        self._make_service()

    @classmethod
    def none(cls) -> Metrics:
        """One that nobody reads."""
        return cls()

    # Frames

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
        """Count a frame whose answer went out (``OK`` or ``LATE``).

        Args:
            mode: of its stream.
            input_kind: of its stream.
            outcome: the verdict on its deadline.
            latency_seconds: from when its bytes were there to when gRPC had the answer.
            timings: stage → seconds, the names of ``Stage``.
            reused: its detections are the previous drawing's.
        """
        self._latency[member(Mode, mode), member(InputKind, input_kind)].observe(latency_seconds)
        self._frames[member(Outcome, outcome)].inc()
        self.stages(timings)
        if reused:
            self._reused.inc()

    def stages(self, timings: Mapping[str, float]) -> None:
        """Count stage → seconds of a frame."""
        for name, seconds in timings.items():
            self._stages[member(Stage, name)].observe(seconds)

    def frame_dropped(self, reason: DropReason) -> None:
        """Count a frame that was left out, with its reason."""
        self._dropped[member(DropReason, reason)].inc()
        self._frames[Outcome.DROPPED].inc()

    def frames_failed(self, count: int = 1) -> None:
        """Count frames lost to an error."""
        self._frames[Outcome.FAILED].inc(count)

    def tracks_started(self, count: int = 1) -> None:
        """Count new tracks."""
        self._tracks.inc(count)

    def shot_cut(self, count: int = 1) -> None:
        """Count beginnings of shots."""
        self._shots.inc(count)

    def decode_error(self, codec: str | None, fault: DecodeFault) -> None:
        """Count media at fault; ``codec`` as the decoder calls it, None where there is none."""
        self._decode_errors[Codec.of(codec), member(DecodeFault, fault)].inc()

    # Batches and queues

    def batch(self, pictures: int) -> None:
        """Count a batch that left for the network."""
        self._batches.observe(pictures)

    def queued(self, stage: QueueStage, change: int) -> None:
        """Note that ``change`` more (or, negative, fewer) wait for ``stage``."""
        self._depths[member(QueueStage, stage)].inc(change)

    def held(self, pool: Pool, change_bytes: int) -> None:
        """Note that ``pool`` holds ``change_bytes`` more (or, negative, fewer)."""
        self._bytes[member(Pool, pool)].inc(change_bytes)

    # Streams

    def stream_moved(self, before: StreamState | None, after: StreamState | None) -> None:
        """Note a stream's new state; None before it is let in and after its end."""
        if before is not None:
            self._streams[member(StreamState, before)].dec()
        if after is not None:
            self._streams[member(StreamState, after)].inc()

    def refused(self, reason: Refusal) -> None:
        """Count a stream that was not let in."""
        self._refusals[member(Refusal, reason)].inc()

    def headroom(self, share: float) -> None:
        """Set the share of the service's capacity that is free, 0 … 1."""
        self._headroom.set(share)

    # Jobs

    def job_counted(self, state: JobState, count: int) -> None:
        """Set how many jobs are in ``state``: the job store knows, also of those before a restart."""
        self._jobs[member(JobState, state)].set(count)

    def job_frames(self, count: int = 1) -> None:
        """Count frames that jobs have finished."""
        self._job_frames.inc(count)

    # The service

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
        """Say what decodes and what runs the network: one engine at a time.

        Args:
            backend: "openvino", "tensorrt" or "onnxruntime".
            precision: "f32", "bf16", "f16" or "int8".
            trt: version of TensorRT, where it is that.
            sm: compute capability of the GPU ("9.0"), where there is one.
            decoder: what decodes videos, "nvdec" or "cpu".
            is_fallback: a better device was there to be wanted, and could not be used.
        """
        self._engine.clear()
        self._engine.labels(backend=backend, precision=precision, trt=trt, sm=sm, decoder=decoder).set(1)
        self._fallback.set(is_fallback)

    def objective(self, seconds: float) -> None:
        """Say what a frame of a live stream may take."""
        self._objective.set(seconds)

    def build(self, version: str, model: str, model_version: str) -> None:
        """Say what runs: the package's version and the model."""
        self._build.clear()
        self._build.labels(version=version, model=model, model_version=model_version).set(1)

    # gRPC: the names, labels and codes of the Go libraries, which dashboards know

    def call_expected(self, kind: CallType, service: str, method: str) -> None:
        """Have a method's series there from the first scrape on."""
        labels = (member(CallType, kind).value, service, method)
        for family in (self._calls_started, self._calls_received, self._calls_sent, self._call_seconds):
            family.labels(*labels)
        self._calls_handled.labels(*labels, "OK")

    def call_started(self, kind: CallType, service: str, method: str) -> None:
        """Count a call that came in."""
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
        latency = self._histogram(
            "acfd_frame_latency_seconds", "From a frame's bytes to its answer", ("mode", "path"), LATENCY_BUCKETS
        )
        self._latency = {key: latency.labels(*(part.value for part in key)) for key in product(Mode, InputKind)}
        stages = self._histogram("acfd_stage_duration_seconds", "Time of a frame in a stage", ("stage",), STAGE_BUCKETS)
        self._stages = {stage: stages.labels(stage.value) for stage in Stage}
        self._frames = self._counters("acfd_frames", "Frames by how they ended", "outcome", Outcome)
        self._dropped = self._counters("acfd_frames_dropped", "Frames of live streams left out", "reason", DropReason)
        self._reused = self._counter("acfd_frames_reused", "Frames that took over a held drawing's detections")
        self._tracks = self._counter("acfd_tracks_started", "Tracks that began")
        self._shots = self._counter("acfd_shot_cuts", "Shots that began by a cut or a fade")
        errors = self._counter("acfd_decode_errors", "Media at fault", ("codec", "kind"))
        self._decode_errors = {key: errors.labels(*(part.value for part in key)) for key in product(Codec, DecodeFault)}

    def _make_flow(self) -> None:
        self._batches = self._histogram("acfd_batch_size", "Pictures in a batch of the network", (), BATCH_BUCKETS)
        self._depths = self._gauges("acfd_queue_depth", "How many wait for a stage", "stage", QueueStage)
        self._bytes = self._gauges("acfd_inflight_bytes", "Bytes that are held", "pool", Pool)

    def _make_streams(self) -> None:
        self._streams = self._gauges("acfd_streams_active", "Streams that are open", "state", StreamState)
        self._refusals = self._counters("acfd_admission_rejected", "Streams that were not let in", "reason", Refusal)
        self._headroom = self._gauge("acfd_capacity_headroom_ratio", "Share of the capacity that is free")
        self._jobs = self._gauges("acfd_jobs", "Jobs by state", "state", JobState)
        self._job_frames = self._counter("acfd_job_frames", "Frames that jobs have finished")

    def _make_service(self) -> None:
        engine = ("backend", "precision", "trt", "sm", "decoder")
        self._engine = self._gauge("acfd_engine_info", "What decodes and what runs the network", engine)
        self._fallback = self._gauge("acfd_engine_fallback", "1 while the engine is not the one that was wanted")
        self._objective = self._gauge("acfd_slo_target_seconds", "What a frame of a live stream may take")
        self._build = self._gauge("acfd_build_info", "What runs", ("version", "model", "model_version"))
        call = ("grpc_type", "grpc_service", "grpc_method")
        self._calls_started = self._counter("grpc_server_started", "Calls that came in", call)
        self._calls_handled = self._counter("grpc_server_handled", "Calls that ended", (*call, "grpc_code"))
        self._calls_received = self._counter("grpc_server_msg_received", "Messages of calls that came in", call)
        self._calls_sent = self._counter("grpc_server_msg_sent", "Messages of calls that went out", call)
        self._call_seconds = self._histogram("grpc_server_handling_seconds", "Time of a call", call, CALL_BUCKETS)

    def _counter(self, name: str, meaning: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, labels: Iterable[str], buckets: Iterable[float]) -> Histogram:
        return Histogram(name, meaning, labels, registry=self.registry, buckets=tuple(buckets))

    def _counters(self, name: str, meaning: str, label: str, kind: type[E]) -> dict[E, Counter]:
        family = self._counter(name, meaning, (label,))
        return {value: family.labels(str(value.value)) for value in kind}

    def _gauges(self, name: str, meaning: str, label: str, kind: type[E]) -> dict[E, Gauge]:
        family = self._gauge(name, meaning, (label,))
        return {value: family.labels(str(value.value)) for value in kind}
