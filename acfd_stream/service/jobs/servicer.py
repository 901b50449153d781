"""Calls about jobs. They are quick, but for the stream of results, which waits for a running job."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from acfd_stream.config import require
from acfd_stream.errors import AcfdError, ConfigError, OverloadedError
from acfd_stream.metrics import JobWait
from acfd_stream.service.access.callers import Callers, Held, current_caller
from acfd_stream.service.access.permits import caller_name, current_permit
from acfd_stream.service.jobs.by_caller import no_limits
from acfd_stream.service.jobs.readers import Reader, Readers
from acfd_stream.service.jobs.record import Job, JobConflict, JobNotFound
from acfd_stream.service.jobs.replay import Replay
from acfd_stream.service.jobs.results import ResultsDamaged
from acfd_stream.service.jobs.runner import JobRunner
from acfd_stream.service.jobs.views import finished_views
from acfd_stream.service.jobs.waiting import wait_reason
from acfd_stream.service.settings import Limits
from acfd_stream.service.status import StatusError, draining, not_found
from acfd_stream.types import FINAL_STATES, JobState
from acfd_stream.v1 import job_pb2, job_pb2_grpc, stream_pb2
from acfd_stream.video.origin import source_name
from acfd_stream.wire.messages import duration_pb

KEY_CHARACTERS = 200
URI_CHARACTERS = 4096
REQUEST_BYTES = 2**16
"""Maximum size of a request as it is stored; known settings take far less."""
PAGE_JOBS, MOST_PAGE_JOBS = 50, 1000
PAGE_BYTES = 2**20
"""A page of jobs ends where it has grown so large: messages of 4 MiB and more are refused by callers."""
_RETRY_SECONDS = 5.0  # after trouble of the store
_FRAMES_OF_VIEWS = 64  # that a message of views counts for, as one of results has
_WAIT_SECONDS = 5.0  # a reader of results that hears nothing looks after itself so often
_STATES = {state: job_pb2.JobState.Value(f"JOB_STATE_{state.name}") for state in JobState}
_STATES_BACK = {number: state for state, number in _STATES.items()}


class JobServicer(job_pb2_grpc.JobServiceServicer):  # type: ignore[misc]  # grpc ships no types
    """JobService over a runner. Everybody sees their own jobs only.

    Args:
        runner: does the jobs; the caller's to start and close.
        check: raises what is wrong with a request, before it becomes a job.
        callers: counts streams of results; None: its own.
        limits: how fast their clients must read; None: those of the defaults.
    """

    def __init__(
        self,
        runner: JobRunner,
        check: Callable[[job_pb2.SubmitJobRequest], None],
        callers: Callers | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._runner, self._check = runner, check
        self._readers = Readers(limits or Limits())
        self._callers = callers or Callers(no_limits, {Held.RESULT_STREAMS: runner.settings.result_streams})

    def SubmitJob(self, request: job_pb2.SubmitJobRequest, context: Any) -> job_pb2.SubmitJobResponse:  # noqa: N802
        """See job.proto."""
        key = request.idempotency_key
        require(len(key) <= KEY_CHARACTERS, "idempotency_key", f"{len(key)} characters", f"<= {KEY_CHARACTERS}")
        require(0 < len(request.uri) <= URI_CHARACTERS, "uri", f"{len(request.uri)} characters", "a path or URL")
        if self._runner.is_closing:
            raise draining()
        asked = job_pb2.SubmitJobRequest(uri=request.uri, config=request.config, keeps_views=request.keeps_views)
        asked.DiscardUnknownFields()  # they would be stored
        try:
            with _answering():
                self._check(asked)
                stored = asked.SerializeToString(deterministic=True)
                require(len(stored) <= REQUEST_BYTES, "config", f"{len(stored)} bytes", f"<= {REQUEST_BYTES} bytes")
                job = self._runner.submit(caller_name(), key, stored, current_caller())
        except JobConflict as error:
            known = {"idempotency_key": error.key, "job_id": error.job_id}
            raise StatusError(
                grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", str(error), metadata=known
            ) from error
        return job_pb2.SubmitJobResponse(job=job_pb(job))

    def GetJob(self, request: job_pb2.GetJobRequest, context: Any) -> job_pb2.GetJobResponse:  # noqa: N802
        """See job.proto."""
        with _finding(request.job_id):
            return job_pb2.GetJobResponse(job=job_pb(self._runner.get(request.job_id, caller_name())))

    def ListJobs(self, request: job_pb2.ListJobsRequest, context: Any) -> job_pb2.ListJobsResponse:  # noqa: N802
        """See job.proto."""
        count = min(request.page_size or PAGE_JOBS, MOST_PAGE_JOBS)
        states = _states_of(request.states)
        before = _read_page_token(request.page_token, states) if request.page_token else None
        with _answering():
            found = self._runner.page(caller_name(), states, before, count + 1)
        response, size = job_pb2.ListJobsResponse(), 0
        for job in found[:count]:
            entry = job_pb(job)
            size += entry.ByteSize()
            if size > PAGE_BYTES and response.jobs:
                break
            response.jobs.append(entry)
        if len(response.jobs) < len(found):
            response.next_page_token = _page_token(found[len(response.jobs) - 1].sequence, states)
        return response

    def CancelJob(self, request: job_pb2.CancelJobRequest, context: Any) -> job_pb2.CancelJobResponse:  # noqa: N802
        """See job.proto."""
        with _finding(request.job_id):
            return job_pb2.CancelJobResponse(job=job_pb(self._runner.cancel(request.job_id, caller_name())))

    def StreamJobResults(  # noqa: N802
        self, request: job_pb2.StreamJobResultsRequest, context: Any
    ) -> Iterator[job_pb2.StreamJobResultsResponse]:
        """See job.proto."""
        owner = caller_name()
        with _finding(request.job_id):
            self._runner.get(request.job_id, owner)
            with self._reading(context) as reader:
                for response in self._results(request, owner, context):
                    with reader.sending(len(response.results.frames)):
                        yield response

    def StreamJobViews(  # noqa: N802
        self, request: job_pb2.StreamJobViewsRequest, context: Any
    ) -> Iterator[job_pb2.StreamJobViewsResponse]:
        """See job.proto."""
        with _finding(request.job_id):
            job = self._runner.get(request.job_id, caller_name())
            _require_views(job)
            results, permit = self._runner.results, current_permit()
            known = partial(self._runner.store.digests, job.job_id)
            views = finished_views(results.lines_of(job.job_id, known), results.views_of(job.job_id))
            with self._reading(context) as reader:
                for lines in views:
                    permit.require()
                    with reader.sending(_FRAMES_OF_VIEWS):
                        yield job_pb2.StreamJobViewsResponse(lines=lines)

    @contextmanager
    def _reading(self, context: Any) -> Iterator[Reader]:
        """One stream of results: it counts among those of its caller, and must be read."""
        try:
            release = self._callers.hold(current_caller(), Held.RESULT_STREAMS)
        except OverloadedError:
            self._readers.end_slow()
            raise
        try:
            context.add_callback(self._runner.stir)
            with self._readers.opened(context.cancel) as reader:
                yield reader
        finally:
            release()

    def _results(
        self, request: job_pb2.StreamJobResultsRequest, owner: str, context: Any
    ) -> Iterator[job_pb2.StreamJobResultsResponse]:
        replay: Replay | None = None
        permit = current_permit()
        permit.on_withdrawn(lambda error: self._runner.stir())
        while context.is_active():
            version = self._runner.version()
            permit.require()
            job = self._runner.get(request.job_id, owner)
            if replay is None and job.start is not None:
                start = stream_pb2.TrackStart.FromString(job.start)
                start.first_index = request.first_index
                lines = self._runner.results.lines_of(job.job_id, partial(self._runner.store.digests, job.job_id))
                replay = Replay(lines, start, request.first_index, is_over=job.state in FINAL_STATES)
                yield job_pb2.StreamJobResultsResponse(start=start)
            if replay is not None:
                if job.state is JobState.DONE and lines.size != job.progress.result_bytes:
                    size = job.progress.result_bytes
                    raise ResultsDamaged(f"the results are damaged: {lines.size} bytes instead of {size}")
                for page in replay.pages():
                    yield job_pb2.StreamJobResultsResponse(results=page)
                    permit.require()
            if job.state in FINAL_STATES:
                yield job_pb2.StreamJobResultsResponse(end=_end_of(job, replay))
                return
            if self._runner.is_closing:
                raise draining()
            self._runner.wait(version, _WAIT_SECONDS)


def job_pb(job: Job) -> job_pb2.Job:
    """What callers see of a job."""
    request = job_pb2.SubmitJobRequest.FromString(job.request)
    progress = job.progress
    return job_pb2.Job(
        job_id=job.job_id,
        uri=source_name(request.uri),
        config=request.config,
        state=_STATES[job.state],
        create_time=_timestamp(job.created_seconds),
        start_time=_timestamp(job.started_seconds),
        end_time=_timestamp(job.ended_seconds),
        progress=job_pb2.JobProgress(
            frame_count=progress.frames,
            expected_frame_count=progress.expected_frames,
            track_count=progress.tracks,
        ),
        error=job_pb2.JobError(code=job.error_code, message=job.error) if job.error else None,
        gap_count=job.gaps,
        missing=duration_pb(job.missing_seconds) if job.gaps else None,
        waiting=job.waiting,
    )


def _end_of(job: Job, replay: Replay | None) -> stream_pb2.TrackEnd:
    """The last word on a job that is done; of any other the error that ends the call."""
    if job.state is JobState.CANCELLED:
        raise StatusError(grpc.StatusCode.CANCELLED, "JOB_CANCELLED", f"job {job.job_id} was cancelled")
    if job.state is JobState.FAILED:
        known = {code.value[0]: code for code in grpc.StatusCode}
        raise StatusError(known.get(job.error_code, grpc.StatusCode.INTERNAL), "JOB_FAILED", job.error)
    if replay is None or replay.end is None:
        raise StatusError(grpc.StatusCode.DATA_LOSS, "RESULTS_LOST", f"the results of job {job.job_id} are gone")
    return replay.end


def _require_views(job: Job) -> None:
    """Refuse a job that has no finished views."""
    reason = ""
    if not job_pb2.SubmitJobRequest.FromString(job.request).keeps_views:
        reason = f"job {job.job_id} keeps no views; submit the video with keeps_views"
    elif job.state is not JobState.DONE:
        reason = f"job {job.job_id} is {job.state.value}; its views can be read when it is done"
    if reason:
        raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, "NO_VIEWS", reason)


@contextmanager
def _finding(job_id: str) -> Iterator[None]:
    try:
        with _answering():
            yield
    except JobNotFound as error:
        raise not_found("job", job_id[:100]) from error
    except ResultsDamaged as error:
        text = f"job {job_id[:100]}: {error}; submit the video again"
        raise StatusError(grpc.StatusCode.DATA_LOSS, "RESULTS_LOST", text) from error


@contextmanager
def _answering() -> Iterator[None]:
    """Have a caller come back where the machine or the store is in trouble."""
    try:
        yield
    except StatusError:
        raise
    except Exception as error:
        reason = wait_reason(error)
        if reason is None:
            raise
        is_full = reason is JobWait.NO_ROOM
        code = grpc.StatusCode.RESOURCE_EXHAUSTED if is_full else grpc.StatusCode.UNAVAILABLE
        text = str(error) if isinstance(error, AcfdError) else f"the server has trouble ({type(error).__name__})"
        raise StatusError(code, "JOBS_WAIT", text, retry_seconds=_RETRY_SECONDS) from error


def _timestamp(seconds: float | None) -> Timestamp | None:
    if seconds is None:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp


def _states_of(numbers: Any) -> tuple[JobState, ...]:
    for number in numbers:
        require(number in _STATES_BACK, "states", number, "states of a job")
    return tuple(sorted({_STATES_BACK[number] for number in numbers}, key=lambda state: state.value))


def _page_token(before: int, states: tuple[JobState, ...]) -> str:
    values = [before, [state.value for state in states]]
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def _read_page_token(token: str, states: tuple[JobState, ...]) -> int:
    """The sequence below which the page begins.

    Raises:
        ConfigError: no such token was given, or it was for other states.
    """
    try:
        before, names = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        is_right = type(before) is int and 0 < before < 2**63 and names == [state.value for state in states]
    except (ValueError, TypeError, binascii.Error, RecursionError):
        is_right = False
    if not is_right:
        raise ConfigError(f"page_token must be that of the page before, with the same states, got {token[:100]!r}")
    return int(before)
