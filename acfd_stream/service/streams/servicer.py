"""The RPC methods of FaceTrackService."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from acfd_stream.config import StreamQueueConfig, require, require_min_score
from acfd_stream.detect import models
from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.metrics import InputKind
from acfd_stream.picture_budget import PictureBudget
from acfd_stream.pipeline.capacity import Capacity, Reservation
from acfd_stream.pipeline.stage_times import StageSummary
from acfd_stream.service.access.callers import Held, current_caller
from acfd_stream.service.access.permits import caller_name, current_permit
from acfd_stream.service.access.sources import open_allowed
from acfd_stream.service.model_messages import loaded_model_pb, model_info_pb
from acfd_stream.service.requests import StreamRequest, read_request, require_engine
from acfd_stream.service.settings import Limits
from acfd_stream.service.status import RETRY_SECONDS, not_found
from acfd_stream.service.streams.history import WindowStats
from acfd_stream.service.streams.host import StreamHost
from acfd_stream.service.streams.rate import demand_of
from acfd_stream.service.streams.request_reader import RequestReader, content_of
from acfd_stream.service.streams.stream import StreamCall
from acfd_stream.types import Mode, Picture
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, stream_pb2
from acfd_stream.video.bytestream import ByteStream
from acfd_stream.video.feed import FrameFeed
from acfd_stream.video.still import decode_still, decoding_bytes
from acfd_stream.wire.messages import (
    detected_faces_pb,
    drop_reason_pb,
    duration_pb,
    media_info_pb,
    outcome_pb,
    seconds_of,
    size_pb,
    stage_pb,
    stage_times_pb,
)

_DETECT_QUEUE = StreamQueueConfig(priority=2, deadline_seconds=1.0)
_MODES = {Mode.FILE: stream_pb2.STREAM_MODE_FILE, Mode.LIVE: stream_pb2.STREAM_MODE_LIVE}


class FaceTrackServicer(face_track_pb2_grpc.FaceTrackServiceServicer):  # type: ignore[misc]  # grpc ships no types
    """FaceTrackService over the streams of ``host``. It raises errors; StatusInterceptor turns them into a status."""

    def __init__(self, host: StreamHost) -> None:
        self._host, self._context = host, host.context
        self._models = models()

    # Streams.

    def Track(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802  # names are the protocol's
        """See face_track.proto."""
        stream = self._host.admit(caller_name(), current_caller())
        try:
            if _on_call_end(stream, context):
                yield from self._track_sent(requests, stream)
        finally:
            stream.close()

    def TrackUri(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """See face_track.proto."""
        stream = self._host.admit(caller_name(), current_caller())
        try:
            if _on_call_end(stream, context):
                yield from self._track_uri(request, stream)
        finally:
            stream.close()

    def _track_sent(self, requests: Iterator[Any], stream: StreamCall) -> Iterator[Any]:
        shared, limits = self._context, self._context.settings.limits
        with ExitStack() as upload, ExitStack() as rollback:
            upload.callback(shared.callers.hold(stream.caller, Held.UPLOADS))
            reader = stream.reader = RequestReader(
                requests, shared.metrics, partial(shared.callers.receive, stream.caller)
            )
            current_permit().on_withdrawn(stream.stop)
            rollback.callback(reader.leave)
            first = reader.request(0, limits.first_message_seconds)
            kind = None if first is None else first.WhichOneof("request")
            require(kind == "config", "request", kind, "config in the first message of a stream")
            request = self._request_of(first.config)
            reservation = rollback.enter_context(_reserved(shared.capacity, request, stream.caller))
            second = reader.request(1, limits.idle_seconds)
            is_frames = second is not None and second.WhichOneof("request") == "frame"
            input_kind = InputKind.FRAMES if is_frames else InputKind.BYTES
            source, take = _intake(request, input_kind, limits, shared.budget)
            stream.begin(request, input_kind, source, reservation)
            reader.feed(take, source.close, stream.stop, stream.abandon)
            rollback.pop_all()
            rollback.callback(reader.leave)
            yield from stream.messages(face_track_pb2.TrackResponse)

    def _track_uri(self, requested: Any, stream: StreamCall) -> Iterator[Any]:
        current_permit().on_withdrawn(stream.stop)
        request = self._request_of(requested.config)
        with ExitStack() as rollback:
            source = open_allowed(requested.uri, self._context.settings.sources)
            if not isinstance(source, str):
                rollback.callback(source.close)
            reservation = rollback.enter_context(_reserved(self._context.capacity, request, stream.caller))
            stream.begin(request, InputKind.URI, source, reservation)
            rollback.pop_all()
        yield from stream.messages(face_track_pb2.TrackUriResponse)

    def _request_of(self, config: Any) -> StreamRequest:
        shared = self._context
        return read_request(config, shared.settings, shared.scheduler.engine, shared.signer, shared.capacity.live_view)

    # Calls with one response.

    def Detect(self, request: Any, context: Any) -> Any:  # noqa: N802
        """See face_track.proto."""
        self._host.require_open()
        settings, scheduler = self._context.settings, self._context.scheduler
        require_engine(request.config, settings.model, scheduler.engine)
        require_min_score(request.min_score)
        if not request.image:
            raise ConfigError("image must be a PNG, JPEG or WebP, got nothing")
        pixels = settings.limits.frame_pixels
        with _faults_of_image():
            count = decoding_bytes(request.image, pixels)
        with self._context.budget.reserve(count) as reserved, scheduler.open_shared(_DETECT_QUEUE) as engine:
            with _faults_of_image():
                image = decode_still(request.image, pixels)
            reserved.shrink(image.nbytes)
            [(found, timings)] = engine.detect_timed([Picture.from_rgb(image)])
        detections = found.at_least(request.min_score)
        return face_track_pb2.DetectResponse(
            size=size_pb((image.shape[0], image.shape[1])),
            faces=detected_faces_pb(detections),
            is_truncated=detections.is_truncated,
            stage_times=stage_times_pb(timings),
        )

    def GetCapacity(self, request: Any, context: Any) -> Any:  # noqa: N802
        """See face_track.proto."""
        objective = seconds_of(request.objective) if request.HasField("objective") else None
        require(objective is None or objective > 0, "objective", objective, "> 0")
        size = request.size.height, request.size.width
        answer = self._context.capacity.ask(size, request.frame_rate, objective, current_caller())
        may_ask_again = not answer.fits and answer.may_fit_later
        return face_track_pb2.GetCapacityResponse(
            fits=answer.fits,
            headroom=answer.headroom,
            reason=answer.reason,
            retry_delay=duration_pb(RETRY_SECONDS) if may_ask_again else None,
        )

    def GetStreamStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        """See face_track.proto."""
        mine = [stream for stream in self._host.streams_of(caller_name()) if stream.request is not None]
        if request.stream_id:
            mine = [stream for stream in mine if stream.stream_id == request.stream_id]
            if not mine:
                raise not_found("stream", request.stream_id)
        return face_track_pb2.GetStreamStatsResponse(streams=[stats_pb(stream) for stream in mine])

    def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        """See face_track.proto."""
        loaded = loaded_model_pb(self._context.scheduler.engine)
        others = [model_info_pb(model.spec, model.name) for model in self._models if model.name != loaded.name]
        return face_track_pb2.ListModelsResponse(
            models=sorted([loaded, *others], key=lambda model: str(model.name)),
            character_model=self._context.embedder.message(),
        )


def stats_pb(stream: StreamCall) -> face_track_pb2.StreamStats:
    """The current statistics of ``stream``."""
    request, meter, session = stream.request, stream.meter, stream.session
    start_time = Timestamp()
    start_time.FromNanoseconds(round(stream.start_time * 1e9))
    times = ({} if session is None else session.stage_times.summary()) | stream.stage_times.summary()
    latency = times.pop("latency", None)
    total = meter.history.total() if meter else WindowStats()
    return face_track_pb2.StreamStats(
        stream_id=stream.stream_id,
        name=request.name if request else "",
        mode=_MODES[request.mode] if request else None,
        start_time=start_time,
        info=media_info_pb(session.info) if session else None,
        outcomes=[
            face_track_pb2.OutcomeCount(outcome=outcome_pb(outcome), count=count)
            for outcome, count in sorted(total.outcomes.items(), key=lambda entry: entry[0].value)
        ],
        drops=[
            face_track_pb2.DropCount(reason=drop_reason_pb(reason), count=count)
            for reason, count in sorted(total.drops.items(), key=lambda entry: entry[0].value)
        ],
        latency=_latency_pb(latency) if latency else None,
        stages=[
            face_track_pb2.StageSummary(stage=stage_pb(stage), latency=_latency_pb(summary))
            for stage, summary in times.items()
        ],
        track_count=meter.tracks if meter else 0,
        shot_count=meter.shots if meter else 0,
        queue_bytes=stream.waiting_bytes,
        reused_count=total.reused,
    )


def _latency_pb(summary: StageSummary) -> face_track_pb2.LatencySummary:
    return face_track_pb2.LatencySummary(
        count=summary.count,
        p50=duration_pb(summary.p50_seconds),
        p95=duration_pb(summary.p95_seconds),
        p99=duration_pb(summary.p99_seconds),
        longest=duration_pb(summary.longest_seconds),
    )


def _reserved(capacity: Capacity, request: StreamRequest, caller: str) -> Reservation:
    """Capacity for a stream, as far as its demand is known before its first byte; the rest follows when it is open.

    Raises:
        OverloadedError: there is not enough.
    """
    is_known = not request.is_live or request.declared_size is not None
    return capacity.reserve(demand_of(request, caller)) if is_known else Reservation(capacity)


def _intake(
    request: StreamRequest, input_kind: InputKind, limits: Limits, budget: PictureBudget
) -> tuple[ByteStream | FrameFeed, Callable[[Any], bool]]:
    """The source of the session, and the function that feeds it a request."""
    if input_kind is InputKind.BYTES:
        stream = ByteStream(limits.ingest_bytes)
        return stream, lambda message: stream.feed(content_of(message, input_kind, limits.data_bytes))
    rate = None if request.declared_rate is None else Fraction(request.declared_rate).limit_denominator(1001)
    feed = FrameFeed(request.frame_time_base, limits.ingest_bytes, rate, budget)

    def push(message: Any) -> bool:
        frame = content_of(message, input_kind, limits.data_bytes)
        return feed.push(frame.image, frame.pts)

    return feed, push


@contextmanager
def _faults_of_image() -> Iterator[None]:
    try:
        yield
    except MediaError as error:
        raise MediaError(f"image {error}") from error


def _on_call_end(stream: StreamCall, context: Any) -> bool:
    """End the stream with the call; False: the call has already ended."""
    stream.cancel_call = context.cancel
    cancelled: Callable[[], None] = stream.abandon
    return bool(context.add_callback(cancelled))
