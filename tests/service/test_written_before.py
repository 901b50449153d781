"""A jobs folder and a resume token that the version before left behind go on with the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acfd_stream.service.access import resume_token as tokens
from acfd_stream.v1 import job_pb2, job_pb2_grpc, stream_pb2, types_pb2
from benchmarks.abuse.arena import serving, until
from benchmarks.abuse.play import channel_to, play, stream_of
from tests.fixtures.state import CLIP, FRAMES, MIDDLE, STORED, lay_out, move_job, unpack
from tests.service.rig import plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "moved"


def test_a_job_that_was_running_goes_on(folder: Path) -> None:
    unpack("job_killed_while_running", folder)
    job_id = move_job(folder)
    uri = str(folder / "clips" / CLIP)
    with serving(folder / "serve.toml") as (arena, _), channel_to(arena.address) as channel:
        stub = job_pb2_grpc.JobServiceStub(channel)

        def job(name: str) -> job_pb2.Job:
            return stub.GetJob(job_pb2.GetJobRequest(job_id=name)).job

        assert until(lambda: job(job_id).state == job_pb2.JOB_STATE_DONE, 60)
        assert job(job_id).progress.frame_count == FRAMES
        frames = arena.gauges(("acfd_job_frames_total",))["acfd_job_frames_total"]
        assert FRAMES - MIDDLE[1] <= frames <= FRAMES - MIDDLE[0]  # those behind the checkpoint only
        fresh = stub.SubmitJob(job_pb2.SubmitJobRequest(uri=uri)).job.job_id
        assert until(lambda: job(fresh).state == job_pb2.JOB_STATE_DONE, 60)
    lines = {name: (folder / "state" / "results" / f"{name}.jsonl").read_bytes() for name in (job_id, fresh)}
    assert lines[job_id] == lines[fresh]


def without_boxes(frame: Any) -> bytes:
    """A result without boxes: where two places have the same score, the CPU's rounding decides between them."""
    copy = types_pb2.FrameResult()
    copy.CopyFrom(frame)
    for face in copy.faces:
        face.ClearField("box")
        face.score = round(face.score, 2)
    return plain(copy)


def test_a_resume_token_is_taken(folder: Path) -> None:
    lay_out(folder)
    key, mode = "the key that all servers share", stream_pb2.STREAM_MODE_FILE
    (folder / "key").write_text(key)
    # Then a server without a key gave out tokens with a checksum only. Its state is taken, but not its signature.
    token = tokens.pack(tokens.unpack((STORED / "resume_token.bin").read_bytes()), key.encode())
    with (
        serving(folder / "serve.toml", "--resume-key", str(folder / "key")) as (arena, _),
        channel_to(arena.address) as channel,
    ):
        whole = play(channel, stream_of(STORED / CLIP, mode=mode))
        rest = play(channel, stream_of(STORED / CLIP, mode=mode, resume_token=token))
    assert (whole.code, rest.code, rest.details) == ("OK", "OK", "")
    first = rest.start.first_index
    assert MIDDLE[0] <= first <= MIDDLE[1]
    assert [without_boxes(frame) for frame in rest.frames] == [without_boxes(frame) for frame in whole.frames[first:]]
    assert rest.end.frame_count == len(whole.frames) == FRAMES
