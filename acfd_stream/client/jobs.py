"""Jobs as a client asks for them: submitted, looked at, listed, cancelled, watched, and their results read.

``Client.jobs`` and ``AsyncClient.jobs`` are these; the servers' side is ``servicer``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from acfd_stream.client.errors import Retry
from acfd_stream.client.stream_progress import StreamOptions, StreamProgress
from acfd_stream.errors import AcfdError
from acfd_stream.types import FINAL_STATES, JobState
from acfd_stream.v1 import job_pb2

S = TypeVar("S")
WATCH_SECONDS = 1.0
"""A job that is watched is looked at so often."""
_STATES = {job_pb2.JobState.Value(f"JOB_STATE_{state.name}"): state for state in JobState}
_NUMBERS = {state: number for number, state in _STATES.items()}


@dataclass(frozen=True)
class JobInfo:
    """A job as its server tells of it."""

    job_id: str
    uri: str  # without its secrets
    state: JobState
    created: datetime
    started: datetime | None  # None: it waits for its turn
    ended: datetime | None
    frames: int  # whose results can be read
    expected_frames: int | None  # as the container claims
    tracks: int
    error: str | None
    error_code: int  # a google.rpc.Code; 0 without an error

    @property
    def is_final(self) -> bool:
        """Nothing of it changes any more."""
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
        )


@dataclass(frozen=True)
class JobPage:
    """Some of one's jobs, newest first."""

    jobs: tuple[JobInfo, ...]
    next_page_token: str  # empty on the last page

    @classmethod
    def of(cls, response: Any) -> JobPage:
        """From a ListJobsResponse."""
        return cls(tuple(map(JobInfo.of, response.jobs)), response.next_page_token)


def _submission(uri: str, options: StreamOptions | None, key: str) -> Any:
    config = (options or StreamOptions()).message()
    return job_pb2.SubmitJobRequest(uri=uri, config=config, idempotency_key=key)


def _listing(states: Sequence[JobState], page_token: str, page_size: int) -> Any:
    numbers = [_NUMBERS[state] for state in states]
    return job_pb2.ListJobsRequest(states=numbers, page_token=page_token, page_size=page_size)


class _JobsClient(Generic[S]):
    """What both kinds of clients give their jobs: a way to ask, and streams of kind ``S``."""

    def __init__(
        self,
        stub: Any,
        ask: Callable[[Any, Any], Any],
        open_stream: Callable[[StreamProgress, Callable[[Any], Any]], S],
        metadata: Callable[[], list[tuple[str, str]]],
        patience_seconds: float,
    ) -> None:
        """For the clients.

        Args:
            stub: of JobService.
            ask: calls a method with a request, and makes errors ours.
            open_stream: a stream that is not sent to, from what it has heard and what begins a try.
            metadata: of a call.
            patience_seconds: a server that is away is waited for so long.
        """
        self._stub, self._ask, self._open, self._metadata = stub, ask, open_stream, metadata
        self._patience = patience_seconds

    def results(self, job_id: str, *, first_index: int = 0, name: str = "") -> S:
        """The results of a job, of one that is running as they come.

        Goes on by itself after a break. A job that failed or was cancelled gives the results that it has, and then
        ServiceError.

        Args:
            job_id: as ``submit`` said.
            first_index: frames below this are left out.
            name: what the media is called in ``start``; empty: as the job is.
        """
        progress = StreamProgress(name or job_id, StreamOptions(), next_index=first_index)

        def begin(_: Any) -> Any:
            request = job_pb2.StreamJobResultsRequest(job_id=job_id, first_index=progress.next_index)
            return self._stub.StreamJobResults(request, metadata=self._metadata())

        return self._open(progress, begin)

    def _retry(self) -> Retry:
        return Retry(self._patience, self._patience)


class JobsClient(_JobsClient[S]):
    """The jobs of a ``Client``; every call may raise what ``error_of`` makes of its status."""

    _ask: Callable[[Any, Any], Any]

    def submit(self, uri: str, options: StreamOptions | None = None, *, idempotency_key: str = "") -> JobInfo:
        """Have the server track a file or URL that it reads itself; the job, which goes on without us.

        Args:
            uri: which may be read is the operator's choice.
            options: what is asked; ``mode`` must be "file".
            idempotency_key: the same key and video give the same job, so that one may ask twice; empty: a new one.
        """
        return JobInfo.of(self._ask(self._stub.SubmitJob, _submission(uri, options, idempotency_key)).job)

    def get(self, job_id: str) -> JobInfo:
        """A job as it stands now."""
        return JobInfo.of(self._ask(self._stub.GetJob, job_pb2.GetJobRequest(job_id=job_id)).job)

    def page(self, states: Sequence[JobState] = (), *, page_token: str = "", page_size: int = 0) -> JobPage:
        """A page of one's jobs in ``states``, or in any if empty; at most ``page_size``, 0: as the server likes."""
        return JobPage.of(self._ask(self._stub.ListJobs, _listing(states, page_token, page_size)))

    def list(self, states: Sequence[JobState] = ()) -> Iterator[JobInfo]:
        """All of one's jobs, newest first; a page is asked for when it is wanted."""
        page = self.page(states)
        yield from page.jobs
        while page.next_page_token:
            page = self.page(states, page_token=page.next_page_token)
            yield from page.jobs

    def cancel(self, job_id: str) -> JobInfo:
        """Have a job stop; it may take a moment. One that has ended stays as it is."""
        return JobInfo.of(self._ask(self._stub.CancelJob, job_pb2.CancelJobRequest(job_id=job_id)).job)

    def watch(self, job_id: str, every_seconds: float = WATCH_SECONDS) -> Iterator[JobInfo]:
        """A job now, and again whenever it has changed, until it has ended; a server that is away is waited for."""
        retry, last = self._retry(), None
        while last is None or not last.is_final:
            try:
                job = self.get(job_id)
            except AcfdError as error:
                time.sleep(retry.pause_after(error))
                continue
            retry.heard()
            if job != last:
                yield job
            last = job
            if not job.is_final:
                time.sleep(every_seconds)


class AsyncJobsClient(_JobsClient[S]):
    """The jobs of an ``AsyncClient``; as ``JobsClient``."""

    _ask: Callable[[Any, Any], Awaitable[Any]]

    async def submit(self, uri: str, options: StreamOptions | None = None, *, idempotency_key: str = "") -> JobInfo:
        """See ``JobsClient.submit``."""
        return JobInfo.of((await self._ask(self._stub.SubmitJob, _submission(uri, options, idempotency_key))).job)

    async def get(self, job_id: str) -> JobInfo:
        """A job as it stands now."""
        return JobInfo.of((await self._ask(self._stub.GetJob, job_pb2.GetJobRequest(job_id=job_id))).job)

    async def page(self, states: Sequence[JobState] = (), *, page_token: str = "", page_size: int = 0) -> JobPage:
        """A page of one's jobs; see ``JobsClient.page``."""
        return JobPage.of(await self._ask(self._stub.ListJobs, _listing(states, page_token, page_size)))

    async def list(self, states: Sequence[JobState] = ()) -> AsyncIterator[JobInfo]:
        """All of one's jobs, newest first; a page is asked for when it is wanted."""
        page = await self.page(states)
        for job in page.jobs:
            yield job
        while page.next_page_token:
            page = await self.page(states, page_token=page.next_page_token)
            for job in page.jobs:
                yield job

    async def cancel(self, job_id: str) -> JobInfo:
        """Have a job stop; see ``JobsClient.cancel``."""
        return JobInfo.of((await self._ask(self._stub.CancelJob, job_pb2.CancelJobRequest(job_id=job_id))).job)

    async def watch(self, job_id: str, every_seconds: float = WATCH_SECONDS) -> AsyncIterator[JobInfo]:
        """A job now, and again whenever it has changed, until it has ended."""
        retry, last = self._retry(), None
        while last is None or not last.is_final:
            try:
                job = await self.get(job_id)
            except AcfdError as error:
                await asyncio.sleep(retry.pause_after(error))
                continue
            retry.heard()
            if job != last:
                yield job
            last = job
            if not job.is_final:
                await asyncio.sleep(every_seconds)
