"""The client for asyncio; says and hears what ``client`` does, and never makes the loop wait for a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from acfd_stream.client.client import CALL_SECONDS, RetryingStream, authorization, open_channel
from acfd_stream.client.errors import error_of
from acfd_stream.client.jobs import AsyncJobsClient
from acfd_stream.client.replies import CapacityReply, KnownModel, PictureFaces, capacity_request, detect_request
from acfd_stream.client.stream_progress import (
    ByteMedia,
    Bytes,
    EncodedFrame,
    FrameMedia,
    MediaSource,
    StreamOptions,
    StreamProgress,
    StreamStart,
    cut,
)
from acfd_stream.client.tls import ClientTls
from acfd_stream.errors import AcfdError
from acfd_stream.types import FrameResult
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2_grpc
from acfd_stream.wire.channel import KeepaliveConfig
from acfd_stream.wire.trace import trace_metadata


class AsyncClient:
    """A connection to one service, for one event loop.

    Example:
        >>> async with AsyncClient("localhost:50051") as client:
        ...     async with client.track("episode.mkv") as stream:
        ...         async for result in stream:
        ...             print(result.index, [face.track_id for face in result.faces])

    ``jobs`` has the server's jobs, as ``Client.jobs``.
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
        """Prepare the connection, on the loop that will use it; arguments as of ``Client``.

        Raises:
            ConfigError: a PEM file is bad.
        """
        self.target = target
        self._patience = patience_seconds
        self._token = token
        self._channel = open_channel(grpc.aio, target, tls, keepalive)
        self._faces = face_track_pb2_grpc.FaceTrackServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        stub = job_pb2_grpc.JobServiceStub(self._channel)
        self.jobs = AsyncJobsClient(stub, self._ask, self._heard, self._metadata, patience_seconds)

    def track(
        self, source: Bytes | AsyncIterable[bytes], options: StreamOptions | None = None, *, name: str = "<stream>"
    ) -> AsyncTrackStream:
        """The tracks of a container that is sent from here; as ``Client.track``, and pieces may come asynchronously.

        Pieces that are not asynchronous are asked for in a thread, which cannot be cancelled: let those that may take
        long to come be asynchronous.
        """
        media: _Media = _AsyncMedia(source, name) if isinstance(source, AsyncIterable) else ByteMedia(source, name)
        return self._stream(media, options or StreamOptions())

    def track_frames(self, frames: Iterable[EncodedFrame], options: StreamOptions | None = None) -> AsyncTrackStream:
        """The tracks of frames that are sent one by one, each an encoded picture with its pts."""
        return self._stream(FrameMedia(frames), options or StreamOptions())

    def track_uri(self, uri: str, options: StreamOptions | None = None) -> AsyncTrackStream:
        """The tracks of a file or URL that the server reads itself; which it may read is its operator's choice."""
        progress = StreamProgress(uri, options or StreamOptions())

        def begin(_: None) -> Any:
            return self._faces.TrackUri(progress.uri_request(uri), metadata=self._metadata())

        return self._heard(progress, begin)

    async def detect(self, image: bytes) -> PictureFaces:
        """Faces of one encoded picture: PNG, JPEG or WebP."""
        return PictureFaces.of(await self._ask(self._faces.Detect, detect_request(image)))

    async def capacity(
        self, size: tuple[int, int], fps: float, objective_seconds: float | None = None
    ) -> CapacityReply:
        """Whether one more live stream of (height, width) pictures at ``fps`` would fit."""
        request = capacity_request(size, fps, objective_seconds)
        return CapacityReply.of(await self._ask(self._faces.GetCapacity, request))

    async def models(self) -> list[KnownModel]:
        """The models that the server knows."""
        response = await self._ask(self._faces.ListModels, face_track_pb2.ListModelsRequest())
        return [KnownModel.of(model) for model in response.models]

    async def health(self, service: str = "") -> str:
        """Status of a service, such as "SERVING"; of the whole server if empty."""
        response = await self._ask(self._health.Check, health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    async def close(self) -> None:
        """Break off what runs and close the connection."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        try:
            return await method(request, timeout=CALL_SECONDS, metadata=self._metadata())
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error

    def _metadata(self) -> list[tuple[str, str]]:
        return authorization(self._token) + trace_metadata()

    def _stream(self, media: _Media, options: StreamOptions) -> AsyncTrackStream:
        def begin(requests: AsyncIterator[Any]) -> Any:
            return self._faces.Track(requests, metadata=self._metadata())

        return AsyncTrackStream(StreamProgress(media.name, options), begin, media, self.target, self._patience)

    def _heard(self, progress: StreamProgress, begin: Callable[[Any], Any]) -> AsyncTrackStream:
        """A stream that nothing is sent to."""
        return AsyncTrackStream(progress, begin, None, self.target, self._patience)


class _AsyncMedia(MediaSource):
    """Pieces of a container that come asynchronously, once."""

    def __init__(self, pieces: AsyncIterable[bytes], name: str) -> None:
        super().__init__(name, is_replayable=False)
        self._pieces = pieces

    async def messages(self) -> AsyncIterator[Any]:
        """The messages after the first."""
        self.begin()
        async for piece in self._pieces:
            for data in cut([piece]):
                yield face_track_pb2.TrackRequest(data=data)


_Media = ByteMedia | FrameMedia | _AsyncMedia


class AsyncTrackStream(RetryingStream):
    """One video on its way; an asynchronous iterator over its results, in order, each frame once.

    As ``TrackStream``: a stream that breaks is begun again with its resume token. A task that is cancelled while it
    waits here has the call cancelled too.
    """

    _media_error: Exception | None = None  # why the media of this try ended, where it failed

    async def started(self) -> StreamStart:
        """What the server knows before the first result; waits for it."""
        while self._progress.start is None:
            batch = await anext(self._batches, None)
            if batch is None:
                raise self._closed_early()
            self._waiting += batch
        return self._progress.start

    def __aiter__(self) -> AsyncIterator[FrameResult]:
        return self

    async def __anext__(self) -> FrameResult:
        while not self._waiting:
            self._waiting += await anext(self._batches)
        return self._waiting.popleft()

    async def close(self) -> None:
        """Break the stream off; the iteration ends. A second call does nothing."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
        with suppress(RuntimeError):  # another task waits in it, and sees the end
            await self._batches.aclose()

    async def __aenter__(self) -> AsyncTrackStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self) -> AsyncGenerator[list[FrameResult], None]:
        while self._progress.end is None and not self._closed.is_set():
            try:
                async with aclosing(self._try()) as batches:
                    async for batch in batches:
                        yield batch
            except AcfdError as error:
                if self._closed.is_set():
                    return
                await asyncio.sleep(self._pause_after(error))

    async def _try(self) -> AsyncGenerator[list[FrameResult], None]:
        self._media_error = None
        call = self._call = self._begin(None if self._media is None else self._requests(self._media))
        try:
            async for response in call:
                self._retry.heard()
                yield self._progress.take(response)
        except grpc.RpcError as error:
            if self._media_error is not None:
                raise self._media_error from None
            raise error_of(error, self._target) from error
        except asyncio.CancelledError:
            if self._media_error is not None:
                raise self._media_error from None
            task = asyncio.current_task()
            if not self._closed.is_set() or (task is not None and task.cancelling()):
                raise
            return  # it is the call that was cancelled, by ``close``
        finally:
            call.cancel()  # also where the task was cancelled: nothing here swallows that
        self._require_end()

    async def _requests(self, media: _Media) -> AsyncIterator[Any]:
        yield self._progress.first_request()
        try:
            if isinstance(media, _AsyncMedia):
                async for message in media.messages():
                    yield message
                return
            messages: Iterator[Any] = media.requests(self._progress.next_frame)
            while (message := await asyncio.to_thread(next, messages, None)) is not None:
                yield message
        except Exception as error:  # gRPC would only say that the call was cancelled
            self._media_error = error
            raise
