"""Jobs through both clients: one body, over servers on port 0."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from acfd_stream.client.aio import AsyncClient
from acfd_stream.client.client import Client
from acfd_stream.client.jobs import JobInfo
from acfd_stream.client.stream_progress import StreamEnd, StreamOptions
from acfd_stream.config import VideoConfig
from acfd_stream.errors import AcfdError, ConfigError, ServiceError
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.service.settings import SourceSettings
from acfd_stream.types import FrameResult, JobState
from acfd_stream.v1 import job_pb2, job_pb2_grpc, stream_pb2, types_pb2
from tests.service.rig import DETECT, serving
from tests.service.small_server import small_server
from tests.service.test_jobs_calls import START, LineWork, Service


class Caller:
    """A ``Client``, and what is said of a job's results when they are over."""

    def __init__(self, address: str, **options: Any) -> None:
        self.client: Any = Client(address, **options)
        self.end: StreamEnd | None = None
        self.seen: list[FrameResult] = []

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """What ``jobs.METHOD`` gives; a list where it is many."""
        found = getattr(self.client.jobs, method)(*arguments, **options)
        return list(found) if method in ("list", "watch") else found

    def results(self, job_id: str, **options: Any) -> list[FrameResult]:
        """The results; ``seen`` has those before a fault too."""
        self.seen = []
        with self.client.jobs.results(job_id, **options) as stream:
            for result in stream:
                self.seen.append(result)
            self.end = stream.end
        return self.seen

    def close(self) -> None:
        self.client.close()


class AsyncCaller(Caller):
    """An ``AsyncClient``, a call at a time."""

    def __init__(self, address: str, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.end, self.seen = None, []

        async def made() -> AsyncClient:
            return AsyncClient(address, **options)

        self.client = self.loop.run_until_complete(made())

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        async def work() -> Any:
            found = getattr(self.client.jobs, method)(*arguments, **options)
            return [one async for one in found] if method in ("list", "watch") else await found

        return self.loop.run_until_complete(work())

    def results(self, job_id: str, **options: Any) -> list[FrameResult]:
        async def work() -> list[FrameResult]:
            self.seen = []
            async with self.client.jobs.results(job_id, **options) as stream:
                async for result in stream:
                    self.seen.append(result)
                self.end = stream.end
            return self.seen

        return self.loop.run_until_complete(work())

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(params=[Caller, AsyncCaller])
def call(request: pytest.FixtureRequest) -> Iterator[Callable[..., Caller]]:
    with ExitStack() as opened:
        yield lambda *arguments, **options: opened.enter_context(closing(request.param(*arguments, **options)))


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    with ExitStack() as opened:
        yield lambda work=None: opened.enter_context(closing(Service(work or LineWork())))


def outline(results: list[FrameResult]) -> list[Any]:
    """Results to the decimals that those of jobs have."""
    return [
        (one.index, one.pts, one.shot, [(face.track_id, *(round(x, 2) for x in face.box_xyxy)) for face in one.faces])
        for one in results
    ]


def test_a_job_of_a_real_server_gives_what_a_session_gives(call: Any, tiny_model: Path, clip: Path) -> None:
    with serving(tiny_model, sources=SourceSettings(folders=(clip.parent,))) as server:
        caller = call(f"127.0.0.1:{server.port}")
        options = StreamOptions(start_seconds=0.5)
        job = caller.ask("submit", str(clip), options, idempotency_key="k")
        again = caller.ask("submit", str(clip), options, idempotency_key="k")
        assert (job.job_id, job.uri, job.error) == (again.job_id, str(clip), None)
        results = caller.results(job.job_id)
        here = TrackSession(
            str(clip), model=tiny_model, detect_config=DETECT, video_config=VideoConfig(start_seconds=0.5)
        )
        assert outline(results) == outline(list(here))
        assert (len(results), caller.end) == (48, StreamEnd(48, here.tracks, True, None))
        assert outline(caller.results(job.job_id, first_index=20)) == outline(results[20:])
        *_, last = caller.ask("watch", job.job_id)
        assert (last.state, last.frames, last.tracks, last.is_final) == (JobState.DONE, 48, here.tracks, True)
        assert last.created <= last.started <= last.ended
        with pytest.raises(ConfigError, match="belongs to job"):
            caller.ask("submit", str(clip), idempotency_key="k")
        for method in ("get", "cancel", "watch"):
            with pytest.raises(ConfigError, match="no job 'nobody'"):
                caller.ask(method, "nobody")


def test_jobs_are_listed_page_by_page(call: Any, serve: Any) -> None:
    caller = call(serve().address)
    ids = [caller.ask("submit", "1").job_id for _ in range(5)]
    for job_id in ids:
        caller.results(job_id)
    caller.ask("watch", caller.ask("submit", "broken").job_id)
    pages, token, done = [], "", [JobState.DONE]
    while not pages or token:
        page = caller.ask("page", done, page_token=token, page_size=2)
        pages.append([job.job_id for job in page.jobs])
        token = page.next_page_token
    assert pages == [ids[4:2:-1], ids[2:0:-1], ids[:1]]
    assert [job.job_id for job in caller.ask("list", done)] == ids[::-1]
    assert len(caller.ask("list")) == 6


def test_a_long_list_is_asked_for_in_pages(call: Any, serve: Any) -> None:
    caller = call(serve().address)
    ids = [caller.ask("submit", "0").job_id for _ in range(53)]  # a page has 50
    assert [job.job_id for job in caller.ask("list")] == ids[::-1]


def test_a_job_that_is_cancelled_gives_what_it_has(call: Any, serve: Any) -> None:
    caller = call(serve(LineWork(held=10)).address, patience_seconds=60.0)
    job_id = caller.ask("submit", "40").job_id
    assert caller.ask("cancel", job_id).job_id == job_id
    with pytest.raises(ServiceError, match=f"job {job_id} was cancelled"):
        caller.results(job_id)
    assert [one.index for one in caller.seen] == list(range(len(caller.seen)))
    *_, last = caller.ask("watch", job_id, 0.01)
    assert (last.state, last.error) == (JobState.CANCELLED, None)
    assert caller.ask("cancel", job_id) == last


@pytest.mark.parametrize("uri", ["broken: is no video", "away: the folder is away"])
def test_why_a_job_failed_is_no_reason_to_ask_again(call: Any, serve: Any, uri: str) -> None:
    caller = call(serve().address, patience_seconds=60.0)
    job = caller.ask("submit", uri.partition(":")[0])
    with pytest.raises(ServiceError, match=f"the job failed: .*{uri.partition(': ')[2]}") as caught:
        caller.results(job.job_id)
    assert type(caught.value) is ServiceError  # not one after which clients try again
    *_, last = caller.ask("watch", job.job_id)
    assert last.state is JobState.FAILED
    assert uri.partition(": ")[2] in last.error
    assert last.error_code in (3, 14)


class Shaky(job_pb2_grpc.JobServiceServicer):
    """Breaks off now and then."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.looks = 0

    def StreamJobResults(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self.asked.append(request.first_index)
        reply = job_pb2.StreamJobResultsResponse
        start = stream_pb2.TrackStart.FromString(START.SerializeToString())
        start.first_index = request.first_index
        yield reply(start=start)
        frames = [types_pb2.FrameResult(index=index) for index in range(request.first_index, 6)]
        yield reply(results=stream_pb2.FrameResults(frames=frames[:2]))
        if len(frames) > 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        yield reply(end=stream_pb2.TrackEnd(frame_count=6, is_complete=True))

    def GetJob(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.looks += 1
        if self.looks % 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        state = job_pb2.JOB_STATE_DONE if self.looks > 6 else job_pb2.JOB_STATE_RUNNING
        return job_pb2.GetJobResponse(job=job_pb2.Job(job_id="j", state=state, create_time=Timestamp(seconds=1)))


def test_results_and_a_watch_go_on_after_a_break(call: Any) -> None:
    shaky = Shaky()
    with small_server(add=[lambda server: job_pb2_grpc.add_JobServiceServicer_to_server(shaky, server)]) as address:
        caller = call(address)
        assert [one.index for one in caller.results("j", first_index=1)] == [1, 2, 3, 4, 5]
        assert shaky.asked == [1, 3, 5]
        assert [job.state for job in caller.ask("watch", "j", 0.0)] == [JobState.RUNNING, JobState.DONE]
        assert shaky.looks == 8
    hasty = call("127.0.0.1:1", patience_seconds=0.0)
    for method, arguments in (("watch", ["j"]), ("list", []), ("submit", ["x"])):
        with pytest.raises(AcfdError, match="cannot be reached"):
            hasty.ask(method, *arguments)


def test_why_a_job_waits_is_told() -> None:
    waiting = job_pb2.Job(state=job_pb2.JOB_STATE_RUNNING, waiting="waiting: no room left in /state")
    assert JobInfo.of(waiting).waiting == "waiting: no room left in /state"
    assert JobInfo.of(job_pb2.Job()).waiting == ""


def test_a_state_of_a_newer_server_is_no_end() -> None:
    assert not JobInfo.of(job_pb2.Job(job_id="j", state=job_pb2.JOB_STATE_UNSPECIFIED)).is_final
