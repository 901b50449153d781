"""The client: video in, FrameResults out, over gRPC.

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
from types import TracebackType
from typing import Any

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
from acfd_stream.errors import AcfdError, ServiceError
from acfd_stream.types import FrameResult
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2_grpc
from acfd_stream.wire.channel import KeepaliveConfig, channel_options
from acfd_stream.wire.trace import trace_metadata

MESSAGE_BYTES = 16 * 2**20
"""Longest answer that is taken."""
CALL_SECONDS = 30.0
"""Longest time for an answer that is one message."""
CONNECT_SECONDS = 3.0
"""Longest time until a server is heard for the first time."""


class Client:
    """A connection to one service; may be used from several threads at once.

    Example:
        >>> with Client("localhost:50051", token="acfd_…") as client:
        ...     with client.track("episode.mkv") as stream:
        ...         for result in stream:
        ...             print(result.index, [face.track_id for face in result.faces])
        ...         print(stream.end)

    ``jobs`` has the server's jobs: submit, look, list, cancel, watch, read results.
    """

    def __init__(
        self,
        target: str,
        *,
        token: str = "",
        tls: ClientTls | None = None,
        keepalive: KeepaliveConfig | None = None,
        patience_seconds: float = 60.0,
    ) -> None:
        """Prepare the connection; it is made when it is first needed.

        Args:
            target: HOST:PORT or unix:PATH.
            token: bearer token; empty: none.
            tls: whom to trust, and what to prove oneself with; None: nothing is encrypted.
            keepalive: pings; the defaults fit those of the service.
            patience_seconds: a stream that broke is begun again for so long, seconds; 0: never.

        Raises:
            ConfigError: a PEM file is bad.
        """
        self.target = target
        self._patience = patience_seconds
        self._token = token
        self._channel = open_channel(grpc, target, tls, keepalive)
        self._faces = face_track_pb2_grpc.FaceTrackServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        stub = job_pb2_grpc.JobServiceStub(self._channel)
        self.jobs = JobsClient(stub, self._ask, self._heard, self._metadata, patience_seconds)

    def track(self, source: Bytes, options: StreamOptions | None = None, *, name: str = "<stream>") -> TrackStream:
        """The tracks of a container that is sent from here.

        A path and a callable that gives the bytes from the beginning can be sent again, so a stream that breaks goes
        on; an open file or an iterator cannot.

        Args:
            source: path, binary file object, pieces of bytes, or what gives the pieces.
            options: what is asked of the stream.
            name: what a source without a name is called in results.

        Raises:
            AcfdError: while iterating, see ``TrackStream``.
        """
        return self._stream(ByteMedia(source, name), options or StreamOptions())

    def track_frames(self, frames: Iterable[EncodedFrame], options: StreamOptions | None = None) -> TrackStream:
        """The tracks of frames that are sent one by one, each an encoded picture with its pts."""
        return self._stream(FrameMedia(frames), options or StreamOptions())

    def track_uri(self, uri: str, options: StreamOptions | None = None) -> TrackStream:
        """The tracks of a file or URL that the server reads itself; which it may read is its operator's choice."""
        progress = StreamProgress(uri, options or StreamOptions())

        def begin(_: None) -> Any:
            return self._faces.TrackUri(progress.uri_request(uri), metadata=self._metadata())

        return self._heard(progress, begin)

    def detect(self, image: bytes) -> PictureFaces:
        """Faces of one encoded picture: PNG, JPEG or WebP."""
        return PictureFaces.of(self._ask(self._faces.Detect, detect_request(image)))

    def capacity(self, size: tuple[int, int], fps: float, objective_seconds: float | None = None) -> CapacityReply:
        """Whether one more live stream would fit.

        Args:
            size: (height, width) of its pictures.
            fps: frames a second, > 0.
            objective_seconds: longest time a frame should take; None: the server's.
        """
        return CapacityReply.of(self._ask(self._faces.GetCapacity, capacity_request(size, fps, objective_seconds)))

    def models(self) -> list[KnownModel]:
        """The models that the server knows."""
        response = self._ask(self._faces.ListModels, face_track_pb2.ListModelsRequest())
        return [KnownModel.of(model) for model in response.models]

    def stream_stats(self, stream_id: str = "") -> list[Any]:
        """How one's own streams fare, or one of them: messages StreamStats."""
        request = face_track_pb2.GetStreamStatsRequest(stream_id=stream_id)
        return list(self._ask(self._faces.GetStreamStats, request).streams)

    def health(self, service: str = "") -> str:
        """Status of a service, such as "SERVING"; of the whole server if empty."""
        response = self._ask(self._health.Check, health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def watch_health(self, service: str = "") -> Iterator[str]:
        """The status of a service now, and again whenever it changes, until the server stops."""
        call = self._health.Watch(health_pb2.HealthCheckRequest(service=service), metadata=self._metadata())
        try:
            for response in call:
                yield str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error
        finally:
            call.cancel()

    def close(self) -> None:
        """Break off what runs and close the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=CALL_SECONDS, metadata=self._metadata())
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error

    def _metadata(self) -> list[tuple[str, str]]:
        return authorization(self._token) + trace_metadata()

    def _stream(self, media: Media, options: StreamOptions) -> TrackStream:
        def begin(requests: Iterator[Any]) -> Any:
            return self._faces.Track(requests, metadata=self._metadata())

        progress = StreamProgress(media.name, options)
        return TrackStream(progress, begin, media, self.target, self._patience)

    def _heard(self, progress: StreamProgress, begin: Callable[[Any], Any]) -> TrackStream:
        """A stream that nothing is sent to."""
        return TrackStream(progress, begin, None, self.target, self._patience)


def authorization(token: str) -> list[tuple[str, str]]:
    """The metadata that shows a token."""
    return [("authorization", f"Bearer {token}")] if token else []


def open_channel(kind: Any, target: str, tls: ClientTls | None, keepalive: KeepaliveConfig | None) -> Any:
    """A channel of ``grpc`` or of ``grpc.aio``, whichever ``kind`` is; other arguments as of ``Client``.

    Raises:
        ConfigError: a PEM file is bad.
    """
    options = channel_options(keepalive or KeepaliveConfig(), MESSAGE_BYTES)
    if tls is None:
        return kind.insecure_channel(target, options)
    return kind.secure_channel(target, channel_credentials(tls), options)


class _Sender:
    """The requests of one try, on gRPC's thread. Where the media fails it ends the call, and keeps the reason."""

    def __init__(self, progress: StreamProgress, media: Media) -> None:
        self.error: Exception | None = None
        self._first = progress.first_request()
        self._rest = media.requests(progress.next_frame)
        self._call: Any = None
        self._is_bound = threading.Event()

    def bind(self, call: Any) -> None:
        """The call that sends these."""
        self._call = call
        self._is_bound.set()

    def __iter__(self) -> Iterator[Any]:
        try:
            yield self._first
            yield from self._rest
        except Exception as error:  # raised on, gRPC would log it and say only that there was one
            self.error = error
            self._is_bound.wait()
            self._call.cancel()


class RetryingStream(ABC):
    """One stream over all its tries, as far as it is the same with and without asyncio."""

    def __init__(
        self,
        progress: StreamProgress,
        begin: Callable[[Any], Any],
        media: Any,
        target: str,
        patience_seconds: float,
    ) -> None:
        """For the clients: ``begin`` makes the call of a try, with what is to be sent if there is ``media``."""
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
        """Results, message by message, over all tries."""

    @property
    def end(self) -> StreamEnd | None:
        """How the stream ended; None while it has not, or where it was closed."""
        return self._progress.end

    @property
    def resume_token(self) -> bytes:
        """The last that came; empty where none has."""
        return self._progress.resume_token

    def _pause_after(self, error: AcfdError) -> float:
        """Seconds to wait before the next try; raises ``error`` where there will be none."""
        if self._media is not None and self._media.is_spent:
            raise error
        return self._retry.pause_after(error)

    def _require_end(self) -> None:
        """Refuse a call that is over, and well, before its stream is."""
        if self._progress.end is None:
            raise ServiceError(f"{self._target} ended the stream without saying how")

    def _closed_early(self) -> ServiceError:
        return ServiceError(f"the stream to {self._target} was closed before it began")


class TrackStream(RetryingStream):
    """One video on its way; an iterator over its results, in order, each frame once.

    A context manager. A stream that breaks is begun again with its resume token: same ids, no frame twice. The server
    is asked when ``start`` is read or the iteration begins.

    Raises, from ``start`` and the iteration:
        MediaError: the media cannot be read here, or not be decoded there before the first frame.
        AccessError, OverloadedError, ConfigError: the service does not let the caller in, has no room, or has other
            settings than those asked for.
        ServiceError: the service cannot be reached any more.
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

    def __iter__(self) -> Iterator[FrameResult]:
        return self

    def __next__(self) -> FrameResult:
        while not self._waiting:
            self._waiting += next(self._batches)
        return self._waiting.popleft()

    def close(self) -> None:
        """Break the stream off; the iteration ends. May be called from any thread, a second call does nothing."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    def __enter__(self) -> TrackStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

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
                self._retry.heard()
                yield self._progress.take(response)
        except grpc.RpcError as error:
            if sender is not None and sender.error is not None:
                raise sender.error from None
            raise error_of(error, self._target) from error
        finally:
            call.cancel()
        self._require_end()
