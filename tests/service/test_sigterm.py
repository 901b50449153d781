"""SIGTERM to a real process in mid-stream: no frame is lost, and it exits with 0."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from acfd_stream.v1 import face_track_pb2_grpc, stream_pb2
from benchmarks.abuse import arena
from tests.service.rig import failure, plain_results, sending, serving

SETTINGS = """
listen = "127.0.0.1:0"
metrics = "127.0.0.1:0"
model = "{model}"
drain_seconds = {drain}

[detect]
size = 128
threads = 1

[scheduler]
warm_sizes = [[96, 128]]

[limits]
memory_share = 1.0

[answers]
resume_seconds = 1000.0
"""


@contextlib.contextmanager
def process(folder: Path, model: Path, drain: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``acfd-stream serve``, and its address."""
    config = folder / "serve.toml"
    config.write_text(SETTINGS.format(model=model, drain=drain))
    with arena.serving(config) as (running, server):
        yield server, running.address


@pytest.fixture(scope="module")
def whole(tiny_model: Path, clip: Path) -> list[bytes]:
    """Results of the clip in one piece."""
    with serving(tiny_model) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
        return plain_results(stub.Track(sending(clip.read_bytes())))


@pytest.mark.parametrize("mode", [stream_pb2.STREAM_MODE_FILE, stream_pb2.STREAM_MODE_LIVE])
def test_a_stream_that_cannot_finish_goes_on_at_another_server(
    tiny_model: Path, clip: Path, tmp_path: Path, mode: int, whole: list[bytes]
) -> None:
    config, hold, answers = stream_pb2.TrackConfig(mode=mode), threading.Event(), []
    config.objective.FromSeconds(10)
    with process(tmp_path, tiny_model, 0.2) as (server, address), grpc.insecure_channel(address) as channel:
        stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
        call = stub.Track(sending(clip.read_bytes(), config, until=hold))
        answers.extend(next(call) for _ in range(2))
        server.send_signal(signal.SIGTERM)
        code = failure(lambda: answers.extend(call))[0]
        hold.set()
        assert (code, server.wait(20)) == (grpc.StatusCode.UNAVAILABLE, 0)
    point = answers[-1].resume_point
    before = plain_results(answers)
    assert 0 < len(before) == point.next_index < 60
    config.resume_token = point.token
    with serving(tiny_model) as another, grpc.insecure_channel(f"127.0.0.1:{another.port}") as channel:
        stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
        rest = plain_results(stub.Track(sending(clip.read_bytes(), config)))
    assert len(before) + len(rest) == 60
    if mode == stream_pb2.STREAM_MODE_FILE:
        assert before + rest == whole


def test_a_file_finishes_while_the_server_drains_and_new_calls_are_refused(
    tiny_model: Path, clip: Path, tmp_path: Path, whole: list[bytes]
) -> None:
    hold = threading.Event()
    with process(tmp_path, tiny_model, 30.0) as (server, address), grpc.insecure_channel(address) as channel:
        stub, health = face_track_pb2_grpc.FaceTrackServiceStub(channel), health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        call = stub.Track(sending(clip.read_bytes(), until=hold))
        answers: list[Any] = [next(call), next(call)]
        server.send_signal(signal.SIGTERM)
        until = time.monotonic() + 20
        while health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING:
            assert time.monotonic() < until
        code, message, _ = failure(lambda: list(stub.Track(sending(clip.read_bytes()))))
        assert (code, "draining" in message) == (grpc.StatusCode.UNAVAILABLE, True)
        hold.set()
        answers.extend(call)
        assert server.wait(20) == 0
    assert plain_results(answers) == whole
    assert answers[-1].end.is_complete
