"""Jobs from the side of a client: ``Client.jobs`` and ``AsyncClient.jobs``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import grpc

from acfd_stream.client.errors import Retry, error_of
from acfd_stream.client.stream_progress import StreamOptions, StreamProgress
from acfd_stream.errors import AcfdError
from acfd_stream.types import FINAL_STATES, JobState
from acfd_stream.v1 import job_pb2
from acfd_stream.wire.messages import seconds_of

S = TypeVar("S")
OnRetry = Callable[[AcfdError], object]
WATCH_SECONDS = 1.0
"""Interval at which a watched job is queried."""
_STATES = {job_pb2.JobState.Value(f"JOB_STATE_{state.name}"): state for state in JobState}
_NUMBERS = {state: number for number, state in _STATES.items()}


@dataclass(frozen=True)
class JobInfo:
    """A job as reported by its server."""

    job_id: str
    uri: str  # without its secrets
    state: JobState
    created: datetime
    started: datetime | None  # None: it is queued
    ended: datetime | None
    frames: int  # with readable results
    expected_frames: int | None  # as the container claims
    tracks: int
    error: str | None
    error_code: int  # a google.rpc.Code; 0 without an error
    gaps: int = 0  # holes in the video of a job that is done
    missing_seconds: float = 0.0  # in all of them
    waiting: str = ""  # why the job makes no progress now; its server tries again
    with_characters: bool = False  # its results say which tracks belong to the same character

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL_STATES

    @classmethod
    def of(cls, job: Any) -> JobInfo:
        """From a message Job."""
        progress = job.progress
        return cls(
            job_id=job.job_id,
            uri=job.uri,
            state=_STATES.get(job.state, JobState.QUEUED),
            created=job.create_time.ToDatetime(UTC),
            started=job.start_time.ToDatetime(UTC) if job.HasField("start_time") else None,
            ended=job.end_time.ToDatetime(UTC) if job.HasField("end_time") else None,
            frames=progress.frame_count,
            expected_frames=progress.expected_frame_count if progress.HasField("expected_frame_count") else None,
            tracks=progress.track_count,
            error=job.error.message if job.HasField("error") else None,
            error_code=job.error.code,
            gaps=job.gap_count,
            missing_seconds=seconds_of(job.missing),
            waiting=job.waiting,
            with_characters=job.config.with_characters,
        )


@dataclass(frozen=True)
class JobPage:
    """A page of the caller's jobs, newest first."""

    jobs: tuple[JobInfo, ...]
    next_page_token: str  # empty on the last page

    @classmethod
    def of(cls, response: Any) -> JobPage:
        """From a ListJobsResponse."""
        return cls(tuple(map(JobInfo.of, response.jobs)), response.next_page_token)


def _submission(uri: str, options: StreamOptions | None, key: str, keeps_views: bool) -> Any:
    config = (options or StreamOptions()).message()
    return job_pb2.SubmitJobRequest(uri=uri, config=config, idempotency_key=key, keeps_views=keeps_views)


def _listing(states: Sequence[JobState], page_token: str, page_size: int) -> Any:
    numbers = [_NUMBERS[state] for state in states]
    return job_pb2.ListJobsRequest(states=numbers, page_token=page_token, page_size=page_size)


class _JobsClient(Generic[S]):
    """The part that both clients share; ``S`` is the type of their streams."""

    def __init__(
        self,
        stub: Any,
        ask: Callable[[Any, Any], Any],
        open_stream: Callable[[StreamProgress, Callable[[Any], Any]], S],
        metadata: Callable[[], list[tuple[str, str]]],
        patience_seconds: float,
        target: str,
    ) -> None:
        """For the clients.

        Args:
            stub: of JobService.
            ask: calls a method with a request, and translates its errors.
            open_stream: opens a stream that sends no media, from its progress and the start of an attempt.
            metadata: returns the metadata of a call.
            patience_seconds: how long to retry if the server does not answer.
            target: address of the server, for messages.
        """
        self._stub, self._ask, self._open, self._metadata = stub, ask, open_stream, metadata
        self._patience, self._target = patience_seconds, target

    def results(self, job_id: str, *, first_index: int = 0, name: str = "") -> S:
        """The stream of a job's results; it follows a running job.

        A broken stream is resumed. For a job that failed or was cancelled, ServiceError follows the existing results.

        Args:
            job_id: from ``submit``.
            first_index: the first frame to return.
            name: name of the media in ``start``; empty: the job ID.
        """
        progress = StreamProgress(name or job_id, StreamOptions(), next_index=first_index)

        def begin(_: Any) -> Any:
            request = job_pb2.StreamJobResultsRequest(job_id=job_id, first_index=progress.next_index)
            return self._stub.StreamJobResults(request, metadata=self._metadata())

        return self._open(progress, begin)

    def _views(self, job_id: str) -> Any:
        return self._stub.StreamJobViews(job_pb2.StreamJobViewsRequest(job_id=job_id), metadata=self._metadata())

    def _retry(self) -> Retry:
        return Retry(self._patience, self._patience)


class JobsClient(_JobsClient[S]):
    """The jobs of a ``Client``; every call may raise the errors of ``error_of``."""

    _ask: Callable[[Any, Any], Any]

    def submit(
        self, uri: str, options: StreamOptions | None = None, *, idempotency_key: str = "", keeps_views: bool = False
    ) -> JobInfo:
        """Have the server track a file or URL in the background; the new job.

        Args:
            uri: the operator decides which may be read.
            options: settings; ``mode`` must be "file".
            idempotency_key: a second request with the same key returns the same job; empty: always a new one.
            keeps_views: keep pictures of the characters for ``views``; needs ``with_characters``.
        """
        request = _submission(uri, options, idempotency_key, keeps_views)
        return JobInfo.of(self._ask(self._stub.SubmitJob, request).job)

    def views(self, job_id: str) -> Iterator[bytes]:
        """The views file of a job that is done and keeps views, in pieces; a cast is built from it.

        Raises:
            AcfdError: while iterating; there are no views, or the server cannot be reached.
        """
        call = self._views(job_id)
        try:
            for response in call:
                yield response.lines
        except grpc.RpcError as error:
            raise error_of(error, self._target) from error
        finally:
            call.cancel()

    def get(self, job_id: str) -> JobInfo:
        """The current state of a job."""
        return JobInfo.of(self._ask(self._stub.GetJob, job_pb2.GetJobRequest(job_id=job_id)).job)

    def page(self, states: Sequence[JobState] = (), *, page_token: str = "", page_size: int = 0) -> JobPage:
        """A page of the caller's jobs in ``states``, empty: any; at most ``page_size``, 0: the server's default."""
        return JobPage.of(self._ask(self._stub.ListJobs, _listing(states, page_token, page_size)))

    def list(self, states: Sequence[JobState] = ()) -> Iterator[JobInfo]:
        """All jobs of the caller, newest first; pages are requested as needed."""
        page = self.page(states)
        yield from page.jobs
        while page.next_page_token:
            page = self.page(states, page_token=page.next_page_token)
            yield from page.jobs

    def cancel(self, job_id: str) -> JobInfo:
        """Cancel a job, which may take a moment. A job that has ended does not change."""
        return JobInfo.of(self._ask(self._stub.CancelJob, job_pb2.CancelJobRequest(job_id=job_id)).job)

    def watch(
        self, job_id: str, every_seconds: float = WATCH_SECONDS, on_retry: OnRetry = lambda error: None
    ) -> Iterator[JobInfo]:
        """A job now and after each change, until it ends; retries while the server does not answer.

        Args:
            job_id: from ``submit``.
            every_seconds: interval of the queries.
            on_retry: called with the error before each retry.
        """
        retry, last = self._retry(), None
        while last is None or not last.is_final:
            try:
                job = self.get(job_id)
            except AcfdError as error:
                pause = retry.pause_after(error)
                on_retry(error)
                time.sleep(pause)
                continue
            retry.received()
            if job != last:
                yield job
            last = job
            if not job.is_final:
                time.sleep(every_seconds)


class AsyncJobsClient(_JobsClient[S]):
    """The jobs of an ``AsyncClient``; as ``JobsClient``."""

    _ask: Callable[[Any, Any], Awaitable[Any]]

    async def submit(
        self, uri: str, options: StreamOptions | None = None, *, idempotency_key: str = "", keeps_views: bool = False
    ) -> JobInfo:
        """See ``JobsClient.submit``."""
        request = _submission(uri, options, idempotency_key, keeps_views)
        return JobInfo.of((await self._ask(self._stub.SubmitJob, request)).job)

    async def views(self, job_id: str) -> AsyncIterator[bytes]:
        """See ``JobsClient.views``."""
        call = self._views(job_id)
        try:
            async for response in call:
                yield response.lines
        except grpc.RpcError as error:
            raise error_of(error, self._target) from error
        finally:
            call.cancel()

    async def get(self, job_id: str) -> JobInfo:
        """The current state of a job."""
        return JobInfo.of((await self._ask(self._stub.GetJob, job_pb2.GetJobRequest(job_id=job_id))).job)

    async def page(self, states: Sequence[JobState] = (), *, page_token: str = "", page_size: int = 0) -> JobPage:
        """See ``JobsClient.page``."""
        return JobPage.of(await self._ask(self._stub.ListJobs, _listing(states, page_token, page_size)))

    async def list(self, states: Sequence[JobState] = ()) -> AsyncIterator[JobInfo]:
        """All jobs of the caller, newest first; pages are requested as needed."""
        page = await self.page(states)
        for job in page.jobs:
            yield job
        while page.next_page_token:
            page = await self.page(states, page_token=page.next_page_token)
            for job in page.jobs:
                yield job

    async def cancel(self, job_id: str) -> JobInfo:
        """See ``JobsClient.cancel``."""
        return JobInfo.of((await self._ask(self._stub.CancelJob, job_pb2.CancelJobRequest(job_id=job_id))).job)

    async def watch(
        self, job_id: str, every_seconds: float = WATCH_SECONDS, on_retry: OnRetry = lambda error: None
    ) -> AsyncIterator[JobInfo]:
        """See ``JobsClient.watch``."""
        retry, last = self._retry(), None
        while last is None or not last.is_final:
            try:
                job = await self.get(job_id)
            except AcfdError as error:
                pause = retry.pause_after(error)
                on_retry(error)
                await asyncio.sleep(pause)
                continue
            retry.received()
            if job != last:
                yield job
            last = job
            if not job.is_final:
                await asyncio.sleep(every_seconds)
