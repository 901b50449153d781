"""The client for asyncio; as ``client``, and reading a file never blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from acfd_stream.client.client import CALL_SECONDS, BaseClient, RetryingStream
from acfd_stream.client.errors import error_of
from acfd_stream.client.jobs import AsyncJobsClient
from acfd_stream.client.replies import CapacityReply, KnownModel, PictureFaces, capacity_request, detect_request
from acfd_stream.client.stream_progress import (
    ByteMedia,
    Bytes,
    FrameMedia,
    MediaSource,
    StreamOptions,
    StreamProgress,
    StreamStart,
    cut,
)
from acfd_stream.config import TrackConfig
from acfd_stream.errors import AcfdError
from acfd_stream.types import FrameResult
from acfd_stream.v1 import face_track_pb2


class _AsyncMedia(MediaSource):
    """A container as an asynchronous iterable of pieces; it can be sent once."""

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


class AsyncTrackStream(RetryingStream, AsyncIterator[FrameResult], AbstractAsyncContextManager["AsyncTrackStream"]):
    """As ``TrackStream``, as an asynchronous iterator. Cancelling a task that waits here cancels the call."""

    _media_error: Exception | None = None  # why reading the media failed in this attempt

    async def started(self) -> StreamStart:
        """What the server knows before the first result; waits for it."""
        while self._progress.start is None:
            batch = await anext(self._batches, None)
            if batch is None:
                raise self._closed_early()
            self._waiting += batch
        return self._progress.start

    async def __anext__(self) -> FrameResult:
        while not self._waiting:
            self._waiting += await anext(self._batches)
        return self._waiting.popleft()

    async def close(self) -> None:
        """Cancel the stream; the iteration ends. A second call does nothing."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
        with suppress(RuntimeError):  # another task waits in it, and gets the end
            await self._batches.aclose()

    async def __aexit__(self, *_: object) -> None:
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
                self._retry.received()
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
            return  # ``close`` has cancelled the call
        finally:
            call.cancel()  # also if the task was cancelled
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
        except Exception as error:  # gRPC would only report a cancelled call
            self._media_error = error
            raise


class AsyncClient(BaseClient[AsyncTrackStream], AbstractAsyncContextManager["AsyncClient"]):
    """A connection to one server, for one event loop.

    Example:
        >>> async with AsyncClient("localhost:50051") as client:
        ...     async with client.track("episode.mkv") as stream:
        ...         async for result in stream:
        ...             print(result.index, [face.track_id for face in result.faces])

    ``jobs`` manages background jobs, as ``Client.jobs``.
    """

    _grpc = grpc.aio
    jobs: AsyncJobsClient[AsyncTrackStream]

    def track(
        self, source: Bytes | AsyncIterable[bytes], options: StreamOptions | None = None, *, name: str = "<stream>"
    ) -> AsyncTrackStream:
        """As ``Client.track``; the pieces may also be an asynchronous iterable.

        A synchronous source is read in a thread, which cannot be cancelled. Use an asynchronous one for pieces that may
        take long to arrive.
        """
        media: _Media = _AsyncMedia(source, name) if isinstance(source, AsyncIterable) else ByteMedia(source, name)
        return self._send(media, options)

    async def detect(self, image: bytes, *, min_score: float = TrackConfig.start_score) -> PictureFaces:
        """Faces of one encoded picture (PNG, JPEG or WebP) with at least this score; 0: all that the server finds."""
        return PictureFaces.of(await self._ask(self._faces.Detect, detect_request(image, min_score)))

    async def capacity(
        self, size: tuple[int, int], fps: float, objective_seconds: float | None = None
    ) -> CapacityReply:
        """As ``Client.capacity``."""
        request = capacity_request(size, fps, objective_seconds)
        return CapacityReply.of(await self._ask(self._faces.GetCapacity, request))

    async def models(self) -> list[KnownModel]:
        """The models of the server."""
        response = await self._ask(self._faces.ListModels, face_track_pb2.ListModelsRequest())
        return [KnownModel.of(model) for model in response.models]

    async def health(self, service: str = "") -> str:
        """Health of a service, such as "SERVING"; empty: of the whole server."""
        response = await self._ask(self._health.Check, health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    async def close(self) -> None:
        """Cancel running calls and close the connection."""
        await self._channel.close()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        try:
            return await method(request, timeout=CALL_SECONDS, metadata=self._metadata())
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error

    def _jobs(self, stub: Any) -> AsyncJobsClient[AsyncTrackStream]:
        return AsyncJobsClient(stub, self._ask, self._receive, self._metadata, self._patience, self.target)

    def _open_stream(self, progress: StreamProgress, begin: Callable[[Any], Any], media: Any) -> AsyncTrackStream:
        return AsyncTrackStream(progress, begin, media, self.target, self._patience)
