"""The synchronous client: video in, FrameResults out, over gRPC.

    with Client("localhost:50051") as client, client.track("episode.mkv") as stream:
        for result in stream:
            ...

``AsyncClient`` in ``aio`` is the same for asyncio.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from acfd_stream.client.errors import Retry, error_of
from acfd_stream.client.jobs import JobsClient
from acfd_stream.client.replies import CapacityReply, KnownModel, PictureFaces, capacity_request, detect_request
from acfd_stream.client.stream_progress import (
    ByteMedia,
    Bytes,
    EncodedFrame,
    FrameMedia,
    Media,
    StreamEnd,
    StreamOptions,
    StreamProgress,
    StreamStart,
)
from acfd_stream.client.tls import ClientTls, channel_credentials
from acfd_stream.config import TrackConfig
from acfd_stream.errors import AcfdError, ServiceError
from acfd_stream.types import Closeable, FrameResult
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2_grpc
from acfd_stream.wire.channel import KeepaliveConfig, channel_options
from acfd_stream.wire.trace import trace_metadata

MESSAGE_BYTES = 16 * 2**20
"""Maximum size of a response."""
CALL_SECONDS = 30.0
"""Timeout of a call with one response."""
CONNECT_SECONDS = 3.0
"""Time to keep trying until the first response of a server."""
S = TypeVar("S")


class BaseClient(ABC, Generic[S]):
    """The part that both clients share; ``S`` is the type of their streams."""

    _grpc: Any = grpc  # or grpc.aio

    def __init__(
        self,
        target: str,
        *,
        token: str = "",
        tls: ClientTls | None = None,
        keepalive: KeepaliveConfig | None = None,
        patience_seconds: float = 60.0,
    ) -> None:
        """Prepare the connection; it is opened by the first call.

        Args:
            target: HOST:PORT or unix:PATH.
            token: bearer token; empty: none.
            tls: trusted CA and client certificate; None: no encryption.
            keepalive: pings; the defaults fit those of the server.
            patience_seconds: how long to retry a broken stream, seconds; 0: no retries.

        Raises:
            ConfigError: a PEM file is invalid.
        """
        self.target = target
        self._patience = patience_seconds
        self._token = token
        self._channel = open_channel(self._grpc, target, tls, keepalive)
        self._faces = face_track_pb2_grpc.FaceTrackServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self.jobs = self._jobs(job_pb2_grpc.JobServiceStub(self._channel))

    def track_frames(self, frames: Iterable[EncodedFrame], options: StreamOptions | None = None) -> S:
        """Send single frames, each an encoded picture with its pts; the stream of their results."""
        return self._send(FrameMedia(frames), options)

    def track_uri(self, uri: str, options: StreamOptions | None = None) -> S:
        """Have the server read a file or URL, if its operator allows it; the stream of its results."""
        progress = StreamProgress(uri, options or StreamOptions())

        def begin(_: None) -> Any:
            return self._faces.TrackUri(progress.uri_request(uri), metadata=self._metadata())

        return self._receive(progress, begin)

    @abstractmethod
    def _jobs(self, stub: Any) -> Any:
        """The client of the JobService ``stub``."""

    @abstractmethod
    def _open_stream(self, progress: StreamProgress, begin: Callable[[Any], Any], media: Any) -> S:
        """A stream; ``begin`` starts the call of an attempt."""

    def _metadata(self) -> list[tuple[str, str]]:
        return authorization(self._token) + trace_metadata()

    def _send(self, media: Any, options: StreamOptions | None) -> S:
        """A stream that sends ``media``."""
        options = options or StreamOptions()

        def begin(requests: Any) -> Any:
            return self._faces.Track(requests, metadata=self._metadata())

        return self._open_stream(StreamProgress(media.name, options), begin, media)

    def _receive(self, progress: StreamProgress, begin: Callable[[Any], Any]) -> S:
        """A stream that sends no media."""
        return self._open_stream(progress, begin, None)


def authorization(token: str) -> list[tuple[str, str]]:
    """Call metadata with the bearer token."""
    return [("authorization", f"Bearer {token}")] if token else []


def open_channel(kind: Any, target: str, tls: ClientTls | None, keepalive: KeepaliveConfig | None) -> Any:
    """A channel of ``kind``, which is ``grpc`` or ``grpc.aio``; other arguments as of ``Client``.

    Raises:
        ConfigError: a PEM file is invalid.
    """
    options = channel_options(keepalive or KeepaliveConfig(), MESSAGE_BYTES, target)
    if tls is None:
        return kind.insecure_channel(target, options)
    return kind.secure_channel(target, channel_credentials(tls), options)


class _Sender:
    """The requests of one attempt, on a thread of gRPC. An error of the media is kept, and cancels the call."""

    def __init__(self, progress: StreamProgress, media: Media) -> None:
        self.error: Exception | None = None
        self._first = progress.first_request()
        self._rest = media.requests(progress.next_frame)
        self._call: Any = None
        self._is_bound = threading.Event()

    def bind(self, call: Any) -> None:
        """Set the call that sends the requests."""
        self._call = call
        self._is_bound.set()

    def __iter__(self) -> Iterator[Any]:
        try:
            yield self._first
            yield from self._rest
        except Exception as error:  # gRPC would only log it
            self.error = error
            self._is_bound.wait()
            self._call.cancel()


class RetryingStream(ABC):
    """One stream over all its attempts: the part that both clients share."""

    def __init__(
        self,
        progress: StreamProgress,
        begin: Callable[[Any], Any],
        media: Any,
        target: str,
        patience_seconds: float,
    ) -> None:
        """For the clients: ``begin`` starts the call of an attempt, with its requests if there is ``media``."""
        self._progress = progress
        self._begin = begin
        self._media = media
        self._target = target
        self._retry = Retry(patience_seconds, CONNECT_SECONDS)
        self._call: Any = None
        self._closed = threading.Event()
        self._batches = self._run()
        self._waiting: deque[FrameResult] = deque()

    @abstractmethod
    def _run(self) -> Any:
        """Lists of results, one per message, over all attempts."""

    @property
    def end(self) -> StreamEnd | None:
        """How the stream ended; None before that, or if it was closed."""
        return self._progress.end

    @property
    def resume_token(self) -> bytes:
        """The last resume token; empty before the first."""
        return self._progress.resume_token

    def _pause_after(self, error: AcfdError) -> float:
        """Seconds until the next attempt; raises ``error`` if there is none."""
        if self._media is not None and self._media.is_spent:
            raise error
        return self._retry.pause_after(error)

    def _require_end(self) -> None:
        """Raise if the call ended without an error before the stream did."""
        if self._progress.end is None:
            raise ServiceError(f"{self._target} ended the stream without an end message")

    def _closed_early(self) -> ServiceError:
        return ServiceError(f"the stream to {self._target} was closed before it began")


class TrackStream(RetryingStream, Closeable, Iterator[FrameResult]):
    """The stream of one video; an iterator over its results, in order, each frame once. A context manager.

    A broken stream is resumed with its token: the track IDs stay the same, and no frame is returned twice. The call
    starts when ``start`` is read or the iteration begins.

    Raises, from ``start`` and the iteration:
        MediaError: the media cannot be read here, or the server cannot decode it.
        AccessError, OverloadedError, ConfigError: the server refuses the token, has no capacity, or has other settings
            than requested.
        ServiceError: the server cannot be reached.
    """

    @property
    def start(self) -> StreamStart:
        """What the server knows before the first result; waits for it."""
        while self._progress.start is None:
            batch = next(self._batches, None)
            if batch is None:
                raise self._closed_early()
            self._waiting += batch
        return self._progress.start

    def __next__(self) -> FrameResult:
        while not self._waiting:
            self._waiting += next(self._batches)
        return self._waiting.popleft()

    def close(self) -> None:
        """Cancel the stream; the iteration ends. Safe from any thread; a second call does nothing."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    def _run(self) -> Iterator[list[FrameResult]]:
        while self._progress.end is None and not self._closed.is_set():
            try:
                yield from self._try()
            except AcfdError as error:
                if self._closed.is_set():
                    return
                self._closed.wait(self._pause_after(error))

    def _try(self) -> Iterator[list[FrameResult]]:
        sender = None if self._media is None else _Sender(self._progress, self._media)
        call = self._call = self._begin(None if sender is None else iter(sender))
        if sender is not None:
            sender.bind(call)
        try:
            for response in call:
                self._retry.received()
                yield self._progress.take(response)
        except grpc.RpcError as error:
            if sender is not None and sender.error is not None:
                raise sender.error from None
            raise error_of(error, self._target) from error
        finally:
            call.cancel()
        self._require_end()


class Client(BaseClient[TrackStream], Closeable):
    """A connection to one server; safe for several threads.

    Example:
        >>> with Client("localhost:50051", token="acfd_…") as client:
        ...     with client.track("episode.mkv") as stream:
        ...         for result in stream:
        ...             print(result.index, [face.track_id for face in result.faces])
        ...         print(stream.end)

    ``jobs`` manages background jobs: submit, get, list, cancel, watch, read results.
    """

    jobs: JobsClient[TrackStream]

    def track(self, source: Bytes, options: StreamOptions | None = None, *, name: str = "<stream>") -> TrackStream:
        """Send a container; the stream of its results.

        A path, and a callable that returns the bytes from the start, can be sent again if the stream breaks. An open
        file or an iterator cannot.

        Args:
            source: path, binary file object, pieces of bytes, or a callable that returns the pieces.
            options: settings of the stream.
            name: name in results of a source that has none.

        Raises:
            AcfdError: while iterating, see ``TrackStream``.
        """
        return self._send(ByteMedia(source, name), options)

    def detect(self, image: bytes, *, min_score: float = TrackConfig.start_score) -> PictureFaces:
        """Faces of one encoded picture (PNG, JPEG or WebP) with at least this score; 0: all that the server finds."""
        return PictureFaces.of(self._ask(self._faces.Detect, detect_request(image, min_score)))

    def capacity(self, size: tuple[int, int], fps: float, objective_seconds: float | None = None) -> CapacityReply:
        """Whether the server has capacity for one more live stream.

        Args:
            size: (height, width) of its pictures.
            fps: frames per second, > 0.
            objective_seconds: latency objective of a frame; None: that of the server.
        """
        return CapacityReply.of(self._ask(self._faces.GetCapacity, capacity_request(size, fps, objective_seconds)))

    def models(self) -> list[KnownModel]:
        """The models of the server."""
        response = self._ask(self._faces.ListModels, face_track_pb2.ListModelsRequest())
        return [KnownModel.of(model) for model in response.models]

    def stream_stats(self, stream_id: str = "") -> list[Any]:
        """StreamStats messages of the caller's streams, or of one of them."""
        request = face_track_pb2.GetStreamStatsRequest(stream_id=stream_id)
        return list(self._ask(self._faces.GetStreamStats, request).streams)

    def health(self, service: str = "") -> str:
        """Health of a service, such as "SERVING"; empty: of the whole server."""
        response = self._ask(self._health.Check, health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def watch_health(self, service: str = "") -> Iterator[str]:
        """The health of a service now and after each change, until the server stops."""
        call = self._health.Watch(health_pb2.HealthCheckRequest(service=service), metadata=self._metadata())
        try:
            for response in call:
                yield str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error
        finally:
            call.cancel()

    def close(self) -> None:
        """Cancel running calls and close the connection."""
        self._channel.close()

    def _ask(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=CALL_SECONDS, metadata=self._metadata())
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error

    def _jobs(self, stub: Any) -> JobsClient[TrackStream]:
        return JobsClient(stub, self._ask, self._receive, self._metadata, self._patience, self.target)

    def _open_stream(self, progress: StreamProgress, begin: Callable[[Any], Any], media: Any) -> TrackStream:
        return TrackStream(progress, begin, media, self.target, self._patience)
