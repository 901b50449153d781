"""A job gives what the command gives, byte for byte, in one go or over restarts."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from acfd_stream.cli.track import TrackOptions, run_track
from acfd_stream.config import CapacityConfig, SchedulerConfig, StreamQueueConfig, VideoConfig
from acfd_stream.detect import Detector
from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.metrics import Metrics
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.demand import Demand
from acfd_stream.pipeline.engine import Engine
from acfd_stream.pipeline.scheduler import Scheduler
from acfd_stream.service.embedding import SharedEmbedder
from acfd_stream.service.jobs.build import Jobs
from acfd_stream.service.jobs.job_recording import JobRecording
from acfd_stream.service.jobs.record import Job
from acfd_stream.service.settings import JobSettings, ServiceSettings, SourceSettings
from acfd_stream.service.status import StatusError
from acfd_stream.types import JobState
from acfd_stream.v1 import job_pb2, stream_pb2
from tests.pipeline.conftest import DETECT, FRAMES, SIZE, write_clip
from tests.service.job_fixture import ended, reached


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


@pytest.fixture(scope="module")
def scheduler(tiny_model: Path) -> Iterator[Scheduler]:
    with (
        Detector.open(tiny_model, config=DETECT) as detector,
        Scheduler(detector, SchedulerConfig(warm_sizes=(SIZE,))) as opened,
    ):
        yield opened


def command_lines(clip: Path, model: Path, folder: Path, video: VideoConfig | None = None) -> bytes:
    """What the command writes."""
    out = folder / "out.jsonl"
    run_track(TrackOptions(str(clip), str(out), "jsonl", True, video or VideoConfig(), DETECT, str(model), "cpu"))
    return out.read_bytes()


class Held:
    """An engine that lets ``batches`` batches through and then waits for ``go``."""

    def __init__(self, engine: Engine, batches: int) -> None:
        self._engine, self._left = engine, batches
        self.go, self.is_held = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def detect_timed(self, pictures: Sequence[Any]) -> Any:
        self._left -= 1
        if self._left < 0:
            self.is_held.set()
            self.go.wait(20)
        return self._engine.detect_timed(pictures)


def settings(clip: Path, state: Path | None) -> ServiceSettings:
    jobs = JobSettings(state_dir=state, checkpoint_seconds=1e-9)
    return ServiceSettings(sources=SourceSettings(folders=(clip.parent,)), jobs=jobs)


def run_job(scheduler: Scheduler, wanted: ServiceSettings, uri: str, **config: Any) -> tuple[Job, bytes]:
    """A job through a service in memory: how it ended, and its lines."""
    jobs = Jobs(wanted, scheduler.engine, scheduler.open_shared)
    jobs.start()
    request = job_pb2.SubmitJobRequest(uri=uri, config=stream_pb2.TrackConfig(**config))
    job = ended(jobs.runner, jobs.runner.submit("", "", request.SerializeToString()).job_id)
    lines = jobs.runner.results.lines_of(job.job_id).read(0, 2**30)[1]
    jobs.close()
    return job, lines


def test_a_job_writes_what_the_command_writes(
    scheduler: Scheduler, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    job, lines = run_job(scheduler, settings(clip, None), str(clip))
    assert job.state is JobState.DONE
    assert lines == command_lines(clip, tiny_model, tmp_path)
    assert (job.progress.frames, job.progress.tracks) == (FRAMES, 2)


def test_a_part_of_a_video_is_the_part_that_the_command_gives(
    scheduler: Scheduler, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    config = job_pb2.SubmitJobRequest().config
    config.start.FromMilliseconds(500)
    config.end.FromMilliseconds(1500)
    _, lines = run_job(scheduler, settings(clip, None), str(clip), start=config.start, end=config.end)
    assert lines == command_lines(clip, tiny_model, tmp_path, VideoConfig(start_seconds=0.5, end_seconds=1.5))


def interrupted(scheduler: Scheduler, wanted: ServiceSettings, clip: Path, batches: int) -> str:
    """A job that a server stopped after so many batches, at a checkpoint; its id."""
    engines: list[Held] = []

    def held_engine(config: StreamQueueConfig) -> Engine:
        engines.append(Held(scheduler.open_shared(config), batches))
        return engines[-1]

    before = Jobs(wanted, scheduler.engine, held_engine)
    before.start()
    request = job_pb2.SubmitJobRequest(uri=str(clip)).SerializeToString()
    job_id = before.runner.submit("", "", request).job_id
    while not engines:
        before.runner.wait(before.runner.version(), 0.05)
    assert engines[0].is_held.wait(20)
    stopping = threading.Thread(target=before.close)
    stopping.start()
    engines[0].go.set()
    stopping.join(20)
    return job_id


def continued(scheduler: Scheduler, wanted: ServiceSettings, job_id: str) -> bytes:
    """The lines of the job when the next server has done the rest."""
    after = Jobs(wanted, scheduler.engine, scheduler.open_shared)
    assert after.runner.get(job_id, None).state is JobState.QUEUED
    after.start()
    job = ended(after.runner, job_id)
    assert (job.state, job.progress.frames) == (JobState.DONE, FRAMES)
    lines = after.runner.results.lines_of(job_id).read(0, 2**30)[1]
    assert job.progress.result_bytes == len(lines)
    after.close()
    return lines


@pytest.mark.parametrize("batches", [1, 3, 8, 14])
def test_a_job_over_two_servers_writes_the_same(
    scheduler: Scheduler, clip: Path, tiny_model: Path, tmp_path: Path, batches: int
) -> None:
    wanted = settings(clip, tmp_path / "state")
    job_id = interrupted(scheduler, wanted, clip, batches)
    assert continued(scheduler, wanted, job_id) == command_lines(clip, tiny_model, tmp_path)


def test_a_job_whose_video_is_overwritten_says_so(scheduler: Scheduler, clip: Path, tmp_path: Path) -> None:
    video = tmp_path / "video.mkv"
    video.write_bytes(clip.read_bytes())
    engines: list[Held] = []

    def held_engine(config: StreamQueueConfig) -> Engine:
        engines.append(Held(scheduler.open_shared(config), 3))
        return engines[-1]

    jobs = Jobs(settings(video, None), scheduler.engine, held_engine)
    jobs.start()
    job_id = jobs.runner.submit("", "", job_pb2.SubmitJobRequest(uri=str(video)).SerializeToString()).job_id
    while not engines:
        jobs.runner.wait(jobs.runner.version(), 0.05)
    assert engines[0].is_held.wait(20)
    with open(video, "r+b") as file:
        file.seek(video.stat().st_size // 2)
        file.write(bytes(100))
    engines[0].go.set()
    job = ended(jobs.runner, job_id)
    jobs.close()
    assert job.state is JobState.FAILED
    assert job.error == f"{video}: changed while it was read; try again when that has ended"


def test_a_job_whose_video_changes_between_two_servers_begins_again(
    scheduler: Scheduler, clip: Path, tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = tmp_path / "video.mkv"
    video.write_bytes(clip.read_bytes())
    wanted = settings(video, tmp_path / "state")
    job_id = interrupted(scheduler, wanted, video, 8)
    os.utime(video, (1, 1))
    assert continued(scheduler, wanted, job_id) == command_lines(video, tiny_model, tmp_path)
    assert f"job {job_id} begins again: its video has changed since the checkpoint" in caplog.text


@pytest.mark.parametrize("harm", ["another header", "fewer lines", "no file"])
def test_a_job_whose_lines_do_not_fit_its_checkpoint_begins_again(
    scheduler: Scheduler, clip: Path, tiny_model: Path, tmp_path: Path, harm: str
) -> None:
    wanted = settings(clip, tmp_path / "state")
    job_id = interrupted(scheduler, wanted, clip, 8)
    file = tmp_path / "state" / "results" / f"{job_id}.jsonl"
    if harm == "another header":
        file.write_bytes(file.read_bytes().replace(b'"name"', b'"gnam"', 1))
    elif harm == "fewer lines":
        file.write_bytes(file.read_bytes()[:300])
    else:
        file.unlink()
    assert continued(scheduler, wanted, job_id) == command_lines(clip, tiny_model, tmp_path)


def test_a_checkpoint_that_does_not_fit_any_more_begins_again(
    scheduler: Scheduler, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    wanted = settings(clip, tmp_path / "state")
    before = Jobs(wanted, scheduler.engine, scheduler.open_shared)
    request = job_pb2.SubmitJobRequest(uri=str(clip)).SerializeToString()
    job_id = before.runner.submit("", "", request).job_id
    before.runner.store.claim()
    (tmp_path / "state" / "results" / f"{job_id}.jsonl").write_bytes(b"{}\n")
    progress = replace(before.runner.get(job_id, None).progress, frames=1, result_bytes=3)
    before.runner.store.save(job_id, progress, b"no checkpoint")
    before.close()
    after = Jobs(wanted, scheduler.engine, scheduler.open_shared)
    after.start()
    assert ended(after.runner, job_id).state is JobState.DONE
    assert after.runner.results.lines_of(job_id).read(0, 2**30)[1] == command_lines(clip, tiny_model, tmp_path)
    after.close()


class Burning(io.BytesIO):
    """A file that cannot be read behind its first half."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > len(self.getvalue()) // 2:
            raise OSError("disk on fire")
        return super().read(512)


def test_a_video_that_breaks_in_the_middle_fails_and_keeps_what_was_good(
    scheduler: Scheduler, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burning = Burning(clip.read_bytes())
    monkeypatch.setattr("acfd_stream.service.jobs.job_recording.open_allowed", lambda uri, sources: burning)
    job, lines = run_job(scheduler, settings(clip, None), str(clip))
    assert (job.state, job.error_code) == (JobState.FAILED, grpc.StatusCode.DATA_LOSS.value[0])
    assert "disk on fire" in job.error
    assert 0 < job.progress.frames < FRAMES
    assert b'"complete": false' in lines.splitlines()[-1]
    assert burning.closed


@pytest.mark.parametrize(
    ("uri", "config", "error"),
    [
        ("/etc/hostname", {}, StatusError),
        ("file:///etc/hostname", {}, StatusError),
        ("clip.mkv", {}, StatusError),
        ("{folder}/../../../etc/hostname", {}, StatusError),
        ("http://127.0.0.1/clip.mkv", {}, StatusError),
        ("{folder}/none.mkv", {}, MediaError),
        ("{folder}/clip.mkv", {"mode": stream_pb2.STREAM_MODE_LIVE}, ConfigError),
        ("{folder}/clip.mkv", {"resume_token": b"x"}, ConfigError),
        ("{folder}/clip.mkv", {"detect": stream_pb2.DetectConfig(size=999)}, StatusError),
    ],
)
def test_what_may_not_be_read_or_asked_becomes_no_job(
    scheduler: Scheduler, clip: Path, uri: str, config: dict[str, Any], error: type[Exception]
) -> None:
    embedder = SharedEmbedder("acfd-id", Metrics.none())
    work = JobRecording(settings(clip, None), scheduler.engine, scheduler.open_shared, embedder)
    request = job_pb2.SubmitJobRequest(uri=uri.format(folder=clip.parent), config=stream_pb2.TrackConfig(**config))
    with pytest.raises(error):
        work.check(request)


def test_what_may_not_be_read_any_more_fails(scheduler: Scheduler, clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mkv"
    other.write_bytes(clip.read_bytes())
    job, lines = run_job(scheduler, settings(clip, None), str(other))
    assert (job.state, job.error_code) == (JobState.FAILED, grpc.StatusCode.PERMISSION_DENIED.value[0])
    assert lines == b""


def test_a_job_waits_for_room_beside_the_streams_and_gives_it_back(scheduler: Scheduler, clip: Path) -> None:
    capacity = Capacity(scheduler.costs, CapacityConfig(file_streams=1, cores=64))
    stream = capacity.reserve(Demand(SIZE))
    jobs = Jobs(settings(clip, None), scheduler.engine, scheduler.open_shared, capacity=capacity)
    jobs.start()
    request = job_pb2.SubmitJobRequest(uri=str(clip)).SerializeToString()
    waiting = jobs.runner.submit("", "", request).job_id
    assert reached(jobs.runner, waiting, lambda job: job.state is JobState.RUNNING).progress.frames == 0
    stream.release()
    assert ended(jobs.runner, waiting).progress.frames == FRAMES
    stream = capacity.reserve(Demand(SIZE))
    unwanted = jobs.runner.submit("", "", request).job_id
    reached(jobs.runner, unwanted, lambda job: job.state is JobState.RUNNING)
    jobs.runner.cancel(unwanted, "")
    assert ended(jobs.runner, unwanted).state is JobState.CANCELLED
    stream.release()
    assert capacity.streams == 0
    jobs.close()
