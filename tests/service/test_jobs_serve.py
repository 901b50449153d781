"""Jobs of a server in a process of its own: they outlive a kill, and their results are those of a stream."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from acfd_stream.v1 import job_pb2, job_pb2_grpc
from benchmarks.abuse.arena import Arena, serving, until
from benchmarks.abuse.play import channel_to, play, stream_of
from benchmarks.abuse.scenes import faces_of
from tests.service.rig import write_clip
from tests.service.test_abuse import SETTINGS

FRAMES = 600
JOBS = """
[sources]
folders = ["{folder}"]
[jobs]
state_dir = "{folder}/state"
checkpoint_seconds = 0.2
"""


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path) -> Path:
    place = tmp_path / "serve.toml"
    place.write_text(SETTINGS.format(model=tiny_model) + JOBS.format(folder=tmp_path))
    write_clip(tmp_path / "film.mkv", frames=FRAMES)
    return place


@contextmanager
def jobs(arena: Arena) -> Iterator[Any]:
    with channel_to(arena.address) as channel:
        yield job_pb2_grpc.JobServiceStub(channel)


def results(stub: Any, job_id: str, first_index: int = 0) -> list[Any]:
    request = job_pb2.StreamJobResultsRequest(job_id=job_id, first_index=first_index)
    return [frame for message in stub.StreamJobResults(request, timeout=60) for frame in message.results.frames]


def test_a_job_outlives_its_server(settings: Path) -> None:
    film = settings.parent / "film.mkv"
    asked = job_pb2.SubmitJobRequest(uri=str(film), idempotency_key="k")
    with serving(settings) as (first, process), jobs(first) as stub:
        job_id = stub.SubmitJob(asked).job.job_id
        state = settings.parent / "state" / "results" / f"{job_id}.jsonl"
        assert until(lambda: state.exists() and state.read_bytes().count(b"\n") > 200, 60)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with serving(settings) as (second, process), jobs(second) as stub:
        assert stub.SubmitJob(asked).job.job_id == job_id
        rest = results(stub, job_id, first_index=50)
        assert [frame.index for frame in rest] == list(range(50, FRAMES))
        job = stub.GetJob(job_pb2.GetJobRequest(job_id=job_id)).job
        assert (job.state, job.progress.frame_count) == (job_pb2.JOB_STATE_DONE, FRAMES)
        with channel_to(second.address) as channel:
            streamed = play(channel, stream_of(film, mode=1))
        assert outline(results(stub, job_id)) == outline(streamed.frames)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with serving(settings) as (third, _), jobs(third) as stub:
        assert [job.job_id for job in stub.ListJobs(job_pb2.ListJobsRequest()).jobs] == [job_id]
        assert len(results(stub, job_id)) == FRAMES


def outline(frames: list[Any]) -> list[Any]:
    """Results to the decimals that job results have."""
    sides = ("x1", "y1", "x2", "y2")
    return [
        (index, pts, shot, [(face.track_id, *(round(getattr(face.box, side), 2) for side in sides)) for face in faces])
        for (index, pts, shot, _), faces in zip(faces_of(frames), (frame.faces for frame in frames), strict=True)
    ]


def test_a_second_server_on_the_same_jobs_does_not_start(settings: Path) -> None:
    with serving(settings), pytest.raises(RuntimeError, match="did not start"), serving(settings):
        pass


def test_what_may_not_be_read_is_refused_when_it_is_submitted(settings: Path) -> None:
    with serving(settings) as (arena, _), jobs(arena) as stub:
        for uri in ("/etc/hostname", "file:///etc/hostname", "http://127.0.0.1:1/film.mkv"):
            with pytest.raises(grpc.RpcError) as caught:
                stub.SubmitJob(job_pb2.SubmitJobRequest(uri=uri))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
