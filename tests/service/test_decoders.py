"""The service over decoder processes: one that fails takes its own stream along, and nothing stays behind."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import pytest

from acfd_stream.metrics import DecoderFailure
from acfd_stream.pipeline.scheduler import Scheduler
from acfd_stream.service.jobs.build import Jobs
from acfd_stream.service.jobs.record import Job
from acfd_stream.service.jobs.runner import JobRunner
from acfd_stream.service.server import Server
from acfd_stream.service.settings import JobSettings, ServiceSettings, SourceSettings
from acfd_stream.service.settings.decoding import DecodingSettings
from acfd_stream.types import FINAL_STATES, JobState
from acfd_stream.v1 import face_track_pb2, job_pb2, stream_pb2
from tests.service.rig import PATIENCE, ROOMY, calling, eventually, failure, plain_results, sending, serving, write_clip
from tests.video.conftest import Clip
from tests.video.conftest import write_clip as write_flat
from tests.video.process.processes import decoders

MIB = 2**20


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "long.mkv", frames=400)


def failures(server: Server) -> dict[str, float]:
    """Decoders that failed, by cause."""
    value = server.metrics.registry.get_sample_value
    return {each.value: value("acfd_decoder_failures_total", {"cause": each.value}) or 0.0 for each in DecoderFailure}


def test_a_stream_is_the_same_in_a_process_of_its_own_and_without(tiny_model: Path, clip: Path) -> None:
    data = clip.read_bytes()
    with serving(tiny_model) as server, calling(server) as stub:
        inside = list(stub.Track(sending(data)))
    with serving(tiny_model, decoding=DecodingSettings(processes=False)) as server, calling(server) as stub:
        call = stub.Track(sending(data))
        outside = [next(call)]
        assert decoders() == []
        outside += call
    assert plain_results(inside) == plain_results(outside)
    assert inside[-1] == outside[-1]


@pytest.mark.parametrize(("mode", "more"), [(stream_pb2.STREAM_MODE_LIVE, 0), (stream_pb2.STREAM_MODE_FILE, 10)])
def test_decoders_of_files_give_way_to_live_ones(server: Server, clip: Path, mode: int, more: int) -> None:
    assert eventually(lambda: decoders() == [])
    with calling(server) as stub:
        go = threading.Event()
        call = stub.Track(sending(clip.read_bytes(), stream_pb2.TrackConfig(mode=mode), go))
        next(call)
        [process] = decoders()
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, process) == min(19, own + more)
        go.set()
        list(call)


def test_decoders_of_who_makes_many_faulty_calls_give_way(server: Server, clip: Path) -> None:
    assert eventually(lambda: decoders() == [])
    with calling(server) as stub:
        server.callers.turn("ip:127.0.0.1")[1](1e6)
        go = threading.Event()
        call = stub.Track(sending(clip.read_bytes(), stream_pb2.TrackConfig(mode=stream_pb2.STREAM_MODE_LIVE), go))
        next(call)
        [process] = decoders()
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, process) == min(19, own + 10)
        go.set()
        list(call)


def test_a_killed_decoder_ends_one_stream_alone(server: Server, long_clip: Path, clip: Path) -> None:
    with calling(server) as stub:
        alone = plain_results(stub.Track(sending(clip.read_bytes())))
        assert eventually(lambda: decoders() == [])
        before, go = failures(server), threading.Event()
        call = stub.Track(sending(long_clip.read_bytes(), until=go))
        next(call)
        [killed] = decoders()
        neighbour = stub.Track(sending(clip.read_bytes()))
        next(neighbour)
        os.kill(killed, signal.SIGKILL)
        code, message, _ = failure(lambda: list(call))
        assert (code, message) == (grpc.StatusCode.INTERNAL, "<stream>: the decoder process ended by SIGKILL")
        go.set()
        assert plain_results(neighbour) == alone[-len(alone) :]
    assert failures(server) == {**before, "crash": before["crash"] + 1}
    assert eventually(lambda: decoders() == [])


def test_a_video_above_the_memory_limit_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    deep = Clip(name="huge.mkv", codec="ffv1", pixel_format="gbrp16le", size=(4000, 4000), pts=(0, 40, 80))
    huge = write_flat(tmp_path, deep)
    decoding = DecodingSettings(memory_bytes=128 * MIB)
    with serving(tiny_model, decoding=decoding, sources=SourceSettings(folders=(tmp_path,))) as server:
        with calling(server) as stub:
            request = face_track_pb2.TrackUriRequest(uri=str(huge), config=stream_pb2.TrackConfig())
            code, message, details = failure(lambda: list(stub.TrackUri(request)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message.endswith("the video needs more than 128 MiB to decode")
        assert details[0].reason == "DECODER_MEMORY"
        assert failures(server)["memory"] == 1


def test_a_stream_of_zeros_is_ended(tiny_model: Path, tmp_path: Path) -> None:
    clip = Clip(name="clip.mjpeg", codec="mjpeg", pixel_format="yuvj420p", b_frames=0)
    head = write_flat(tmp_path, clip).read_bytes()
    decoding = DecodingSettings(held_bytes=MIB)

    def zeros() -> Iterator[Any]:
        yield from sending(head)
        yield from itertools.repeat(face_track_pb2.TrackRequest(data=bytes(2**16)), 2000)

    with serving(tiny_model, decoding=decoding) as server, calling(server) as stub:
        code, message, _ = failure(lambda: list(stub.Track(zeros())))
        assert (code, message) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "<stream>: no picture in 1 MiB; the limit is held_bytes",
        )
        assert failures(server)["stuck"] == 1


def test_a_server_that_stops_leaves_no_decoder(tiny_model: Path, long_clip: Path) -> None:
    go, roomy = threading.Event(), replace(ROOMY, file_streams=10)
    with serving(tiny_model, capacity=roomy) as server, calling(server) as stub:
        calls = [stub.Track(sending(long_clip.read_bytes(), until=go)) for _ in range(10)]
        for call in calls:
            next(call)
        assert len(decoders()) == 10
        begin = time.monotonic()
        server.stop(0.0)
        assert eventually(lambda: decoders() == [])
        assert time.monotonic() - begin < PATIENCE  # so long the clients wait
        go.set()
        assert {failure(lambda call=call: list(call))[0] for call in calls} <= {  # type: ignore[misc]
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
        }


def test_a_client_that_goes_takes_its_decoder_along(server: Server, long_clip: Path) -> None:
    with calling(server) as stub:
        call = stub.Track(sending(long_clip.read_bytes(), until=threading.Event()))
        next(call)
        assert len(decoders()) == 1
        call.cancel()
        assert eventually(lambda: decoders() == [])


# Jobs


@pytest.fixture
def jobs(server: Server, long_clip: Path, tmp_path: Path) -> Iterator[Jobs]:
    assert server.host is not None
    scheduler: Scheduler = server.host.context.scheduler
    folders = SourceSettings(folders=(long_clip.parent, tmp_path))
    settings = ServiceSettings(sources=folders, jobs=JobSettings(state_dir=tmp_path / "jobs", checkpoint_seconds=0.05))
    made = Jobs(replace(settings, decoding=DecodingSettings()), scheduler.engine, scheduler.open_shared)
    made.start()
    yield made
    made.close()


def asked(path: Path) -> bytes:
    request = job_pb2.SubmitJobRequest(uri=str(path), config=stream_pb2.TrackConfig())
    data: bytes = request.SerializeToString()
    return data


def ended(runner: JobRunner, job_id: str) -> Job:
    """The job when it has ended."""
    assert eventually(lambda: runner.get(job_id, None).state in FINAL_STATES, 120.0)
    return runner.get(job_id, None)


def lines_of(jobs: Jobs, job_id: str) -> bytes:
    """The results of a job as they are kept."""
    lines = jobs.runner.results.lines_of(job_id)
    try:
        return lines.read(0, lines.size)[1]
    finally:
        lines.close()


def test_a_job_outlives_its_decoder(jobs: Jobs, long_clip: Path) -> None:
    runner = jobs.runner
    quiet = runner.submit("me", "quiet", asked(long_clip))
    assert ended(runner, quiet.job_id).state is JobState.DONE
    job = runner.submit("me", "killed", asked(long_clip))
    for _ in range(2):
        frames = runner.get(job.job_id, "me").progress.frames
        assert eventually(lambda frames=frames: runner.get(job.job_id, "me").progress.frames > frames)  # type: ignore[misc]
        for process_id in decoders():
            os.kill(process_id, signal.SIGKILL)
    assert ended(runner, job.job_id).state is JobState.DONE
    assert lines_of(jobs, job.job_id) == lines_of(jobs, quiet.job_id)


def test_a_job_that_kills_every_decoder_fails(jobs: Jobs, long_clip: Path) -> None:
    job, is_over = jobs.runner.submit("me", "always", asked(long_clip)), threading.Event()

    def kill() -> None:
        while not is_over.wait(0.002):
            for process_id in decoders():
                os.kill(process_id, signal.SIGSEGV)

    threading.Thread(target=kill, daemon=True).start()
    end = ended(jobs.runner, job.job_id)
    is_over.set()
    assert (end.state, end.error_code) == (JobState.FAILED, grpc.StatusCode.INTERNAL.value[0])
    assert "the decoder process ended by SIGSEGV" in end.error


def test_a_job_in_a_hole_is_cancelled_at_once(jobs: Jobs, tmp_path: Path) -> None:
    pts = tuple(range(24))
    holed = write_flat(tmp_path, Clip(name="hole.mpg", codec="mpeg2video", pts=pts, time_base=Fraction(1, 24)))
    os.truncate(holed, 2**40)  # it takes minutes to read
    job = jobs.runner.submit("me", "hole", asked(holed))
    assert eventually(lambda: len(decoders()) == 1)
    begin = time.monotonic()
    jobs.runner.cancel(job.job_id, "me")
    assert ended(jobs.runner, job.job_id).state is JobState.CANCELLED
    assert eventually(lambda: decoders() == [])
    assert time.monotonic() - begin < PATIENCE
