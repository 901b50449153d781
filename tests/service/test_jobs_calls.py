"""JobService through a real server: keys, pages, cancelling, results that are read while they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from acfd_stream.errors import ConfigError, MediaError, OverloadedError
from acfd_stream.outputs import ResultEnd, ResultHeader
from acfd_stream.outputs.jsonl import JsonlLines
from acfd_stream.recording.record import Recording
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.access.interceptor import AccessInterceptor
from acfd_stream.service.access.token_file import add_token
from acfd_stream.service.jobs.attempts import JobContext
from acfd_stream.service.jobs.servicer import JobServicer
from acfd_stream.service.settings import AccessConfig, Limits
from acfd_stream.service.status import StatusInterceptor
from acfd_stream.types import Face, FrameResult
from acfd_stream.v1 import job_pb2, job_pb2_grpc, stream_pb2, types_pb2
from acfd_stream.wire.messages import result_of
from tests.service.job_fixture import CANCELLED, DONE, EAGER, JobFixture
from tests.service.rig import eventually, failure
from tests.service.small_server import small_server

BASE = Fraction(1, 25)
HEADER = ResultHeader("clip", (480, 854), BASE, {"name": "tiny"}, {}, Fraction(25))
START = stream_pb2.TrackStart(info=types_pb2.MediaInfo(time_base=types_pb2.Rational(numerator=1, denominator=25)))


def result(index: int) -> FrameResult:
    faces = (Face(1, (1.25, 2.0, 30.13, 40.5), 0.8765),) if index % 3 else ()
    return FrameResult(index, index * 2, BASE, float(index * 2 * BASE), faces, shot=index // 10)


class LineWork:
    """As many frames as the file's name says, waiting for ``gate`` before each from ``held`` on."""

    def __init__(self, held: int = 10**9, claimed: int | None = None) -> None:
        self.gate, self.held, self.claimed = threading.Semaphore(0), held, claimed
        self.lines = b""

    def __call__(self, context: JobContext) -> Recording:
        uri = job_pb2.SubmitJobRequest.FromString(context.job.request).uri
        if uri == "broken":
            raise MediaError("broken: is no video")
        if uri == "away":
            raise OverloadedError("the folder is away")
        lines, count = JsonlLines(HEADER), int(uri)
        context.describe(START.SerializeToString(), count if self.claimed is None else self.claimed)
        context.lines.append(lines.header())
        with context.cancellation.on_cancel(self.gate.release):
            for index in range(count):
                if index >= self.held:
                    self.gate.acquire()
                if context.cancellation.is_cancelled:
                    return CANCELLED
                line = lines.frame(result(index))
                self.lines += line
                context.lines.append(line)
                context.on_progress(RecordingProgress(frames=index + 1, tracks=1), result(index))
        context.lines.append(lines.end(ResultEnd(1)))
        return DONE


class Service:
    """A server with jobs, and a stub to call it."""

    def __init__(
        self, work: LineWork, access: AccessConfig | None = None, folder: Path | None = None, **settings: Any
    ) -> None:
        self.work = work
        self.fixture = JobFixture(work, folder, replace(EAGER, **settings))
        self.access = AccessInterceptor(access or AccessConfig())
        interceptors = [StatusInterceptor(), self.access]
        servicer = JobServicer(self.fixture.runner, self.check, limits=Limits(idle_seconds=2.0))
        self._opened = ExitStack()
        self.address = self._opened.enter_context(
            small_server(
                interceptors,
                add=[lambda server: job_pb2_grpc.add_JobServiceServicer_to_server(servicer, server)],
                stop_seconds=5.0,
            )
        )
        self.channel = grpc.insecure_channel(self.address)
        self.stub = job_pb2_grpc.JobServiceStub(self.channel)

    @staticmethod
    def check(request: job_pb2.SubmitJobRequest) -> None:
        if request.config.mode == stream_pb2.STREAM_MODE_LIVE:
            raise ConfigError("mode must be file, got live")

    def submit(self, uri: str = "3", key: str = "", **config: Any) -> job_pb2.Job:
        request = job_pb2.SubmitJobRequest(uri=uri, idempotency_key=key, config=stream_pb2.TrackConfig(**config))
        return self.stub.SubmitJob(request).job

    def results(self, job_id: str, first_index: int = 0) -> Any:
        return self.stub.StreamJobResults(
            job_pb2.StreamJobResultsRequest(job_id=job_id, first_index=first_index), timeout=30
        )

    def close(self) -> None:
        self.channel.close()
        self.fixture.close()
        begin = time.monotonic()
        self._opened.close()
        assert time.monotonic() - begin < 10


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    with ExitStack() as opened:

        def open_service(work: LineWork | None = None, **settings: Any) -> Service:
            service = Service(work or LineWork(), **settings)
            opened.callback(service.close)
            return service

        yield open_service


def test_a_job_gives_its_results_and_its_end(serve: Callable[..., Service]) -> None:
    service = serve()
    job_id = service.submit("40").job_id
    start, *pages, end = service.results(job_id)
    frames = [frame for page in pages for frame in page.results.frames]
    assert start.start == START
    assert [result_of(frame, BASE).index for frame in frames] == list(range(40))
    again = JsonlLines(HEADER)
    assert b"".join(again.frame(result_of(frame, BASE)) for frame in frames) == service.work.lines
    last = types_pb2.Rational(numerator=1, denominator=25)
    assert end.end == stream_pb2.TrackEnd(frame_count=40, track_count=1, is_complete=True, last_frame=last)
    job = service.stub.GetJob(job_pb2.GetJobRequest(job_id=job_id)).job
    assert (job.state, job.uri, job.progress.frame_count) == (job_pb2.JOB_STATE_DONE, "40", 40)
    assert job.create_time.ToNanoseconds() <= job.start_time.ToNanoseconds() <= job.end_time.ToNanoseconds()


@pytest.mark.parametrize("first_index", [0, 1, 999, 1500, 1999, 2000, 2**63])
def test_results_begin_where_a_reader_was_cut_off(serve: Callable[..., Service], first_index: int) -> None:
    service = serve()
    messages = list(service.results(service.submit("2000").job_id, first_index))
    indices = [frame.index for message in messages for frame in message.results.frames]
    assert indices == list(range(first_index, 2000))
    assert messages[0].start.first_index == first_index
    assert messages[-1].end.frame_count == 2000


def test_results_are_read_while_they_come(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=2))
    job_id = service.submit("3").job_id
    stream = service.results(job_id)
    indices: list[int] = []
    while indices != [0, 1]:
        indices += [frame.index for frame in next(stream).results.frames]
    service.work.gate.release()
    assert [frame.index for message in stream for frame in message.results.frames] == [2]


def test_results_of_a_job_that_waits_come_when_it_runs(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=0))
    service.submit("1")
    stream = service.results(service.submit("1").job_id)
    service.work.gate.release(2)
    assert [message.WhichOneof("response") for message in stream] == ["start", "results", "end"]


def test_a_job_that_fails_or_is_cancelled_ends_its_results_with_that_status(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=1))
    failed = service.submit("broken").job_id
    assert failure(lambda: list(service.results(failed)))[:2] == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "broken: is no video",
    )
    running = service.submit("2").job_id
    stream = service.results(running)
    while not next(stream).results.frames:
        pass
    for _ in range(2):
        service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=running))
    assert failure(lambda: list(stream))[0] is grpc.StatusCode.CANCELLED
    job = service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=running)).job
    assert (job.state, job.progress.frame_count) == (job_pb2.JOB_STATE_CANCELLED, 1)
    job = service.stub.GetJob(job_pb2.GetJobRequest(job_id=failed)).job
    assert (job.state, job.error.code) == (job_pb2.JOB_STATE_FAILED, grpc.StatusCode.INVALID_ARGUMENT.value[0])


def test_a_reader_that_leaves_frees_its_place(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=0), result_streams=1)
    job_id = service.submit("1").job_id
    first = service.results(job_id)
    next(first)
    code, _, details = failure(lambda: next(service.results(job_id)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)
    first.cancel()
    service.work.gate.release()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the server hears of it when it does
        with suppress(grpc.RpcError):
            assert next(service.results(job_id)).start == START
            return
    pytest.fail("the place was not given back")


def test_a_reader_that_hardly_reads_loses_its_place_to_one_that_waits(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(), result_streams=1)
    job_id = service.submit("6000").job_id
    assert len(list(service.results(job_id))) > 5
    small = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 2**15)]

    def gets_in() -> bool:
        with suppress(grpc.RpcError):
            return len(list(service.results(job_id))) > 5
        return False

    with grpc.insecure_channel(service.address, small) as channel:
        stub = job_pb2_grpc.JobServiceStub(channel)
        lazy = stub.StreamJobResults(job_pb2.StreamJobResultsRequest(job_id=job_id), timeout=30)
        next(lazy)
        assert not gets_in()
        assert eventually(gets_in)
        assert failure(lambda: list(lazy))[0] in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_the_same_key_finds_the_job_and_another_request_is_told_which(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=0))
    job = service.submit("2", "k")
    assert service.submit("2", "k").job_id == job.job_id
    code, message, details = failure(lambda: service.submit("3", "k"))
    info = details[0]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert dict(info.metadata) == {"idempotency_key": "k", "job_id": job.job_id}
    assert job.job_id in message


def test_pages_hold_every_job_once_while_others_come(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=0))
    jobs = [service.submit("1").job_id for _ in range(5)]
    seen, token = [], ""
    for _ in range(3):
        page = service.stub.ListJobs(job_pb2.ListJobsRequest(page_size=2, page_token=token))
        seen += [job.job_id for job in page.jobs]
        token = page.next_page_token
        service.submit("1")
    assert (seen, token) == (jobs[::-1], "")


def test_a_page_never_outgrows_what_a_caller_takes(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=0))
    for _ in range(300):
        service.submit("0" * 4000)
    page = service.stub.ListJobs(job_pb2.ListJobsRequest(page_size=1000))
    assert 0 < len(page.jobs) < 300
    rest = service.stub.ListJobs(job_pb2.ListJobsRequest(page_size=1000, page_token=page.next_page_token))
    assert len(page.jobs) + len(rest.jobs) == 300


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("SubmitJob", job_pb2.SubmitJobRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        ("SubmitJob", job_pb2.SubmitJobRequest(uri="x" * 5000), grpc.StatusCode.INVALID_ARGUMENT),
        (
            "SubmitJob",
            job_pb2.SubmitJobRequest(uri="1", idempotency_key="k" * 201),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            "SubmitJob",
            job_pb2.SubmitJobRequest(uri="1", config=stream_pb2.TrackConfig(mode=stream_pb2.STREAM_MODE_LIVE)),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        ("GetJob", job_pb2.GetJobRequest(job_id="nobody's"), grpc.StatusCode.NOT_FOUND),
        ("CancelJob", job_pb2.CancelJobRequest(job_id=""), grpc.StatusCode.NOT_FOUND),
        ("ListJobs", job_pb2.ListJobsRequest(page_token="junk"), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListJobs", job_pb2.ListJobsRequest(page_token="WyJhIl0="), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListJobs", job_pb2.ListJobsRequest(states=[0]), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListJobs", job_pb2.ListJobsRequest(states=[99]), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_bad_requests_get_their_status(
    serve: Callable[..., Service], method: str, request_: Any, code: grpc.StatusCode
) -> None:
    service = serve()
    assert failure(lambda: getattr(service.stub, method)(request_))[0] is code


def test_a_token_of_other_states_is_refused(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=0))
    for _ in range(2):
        service.submit("1")
    token = service.stub.ListJobs(job_pb2.ListJobsRequest(page_size=1)).next_page_token
    request = job_pb2.ListJobsRequest(page_token=token, states=[job_pb2.JOB_STATE_DONE])
    assert failure(lambda: service.stub.ListJobs(request))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_too_many_jobs_are_refused_with_a_time_to_come_back(serve: Callable[..., Service]) -> None:
    service = serve(LineWork(held=0), open=1)
    service.submit("1")
    code, _, details = failure(lambda: service.submit("1"))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)


def test_a_stopping_server_says_so_to_readers_and_callers(serve: Callable[..., Service], tmp_path: Path) -> None:
    service = serve(LineWork(held=1))
    job_id = service.submit("2").job_id
    stream = service.results(job_id)
    while not next(stream).results.frames:
        pass
    assert service.fixture.runner.close()
    assert failure(lambda: list(stream))[0] is grpc.StatusCode.UNAVAILABLE
    assert failure(lambda: service.submit("1"))[0] is grpc.StatusCode.UNAVAILABLE
    assert service.stub.GetJob(job_pb2.GetJobRequest(job_id=job_id)).job.state == job_pb2.JOB_STATE_QUEUED


@pytest.mark.parametrize(("claimed", "expected"), [(7, 7), (2**63, 0), (-1, 0)])
def test_a_container_may_claim_any_number_of_frames(serve: Callable[..., Service], claimed: int, expected: int) -> None:
    service = serve(LineWork(claimed=claimed))
    job_id = service.submit("1").job_id
    assert list(service.results(job_id))[-1].end.frame_count == 1
    progress = service.stub.GetJob(job_pb2.GetJobRequest(job_id=job_id)).job.progress
    assert progress.expected_frame_count == expected


def test_everybody_sees_their_own_jobs_only(serve: Callable[..., Service], tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    ann, bob = ({"metadata": (("authorization", f"Bearer {add_token(tokens, name)}"),)} for name in ("ann", "bob"))
    service = serve(access=AccessConfig(tokens=tokens))
    request, reads = job_pb2.SubmitJobRequest(uri="1", idempotency_key="k"), job_pb2.StreamJobResultsRequest
    for _ in range(10):  # on the same threads, in turn
        anns, bobs = (service.stub.SubmitJob(request, **who).job.job_id for who in (ann, bob))
        assert anns != bobs
        for who, own, others in ((ann, anns, bobs), (bob, bobs, anns)):
            assert [job.job_id for job in service.stub.ListJobs(job_pb2.ListJobsRequest(), **who).jobs] == [own]
            assert len(list(service.stub.StreamJobResults(reads(job_id=own), **who))) == 3
            for call in (
                lambda who=who, others=others: service.stub.GetJob(job_pb2.GetJobRequest(job_id=others), **who),
                lambda who=who, others=others: service.stub.CancelJob(job_pb2.CancelJobRequest(job_id=others), **who),
                lambda who=who, others=others: list(service.stub.StreamJobResults(reads(job_id=others), **who)),
            ):
                assert failure(call)[0] is grpc.StatusCode.NOT_FOUND
