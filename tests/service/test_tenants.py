"""Callers on a real server: whoever comes first, sends most or asks most often cannot keep the others out."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import cv2
import grpc
import numpy as np
import pytest

from acfd_stream.client.client import Client
from acfd_stream.service.access.token_file import RIGHTS, add_token
from acfd_stream.service.server import Server
from acfd_stream.service.settings import AccessConfig, JobSettings, Limits, SourceSettings
from acfd_stream.service.settings.callers import CallerSettings
from acfd_stream.service.settings.decoding import DecodingSettings
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2, job_pb2_grpc
from tests.service.rig import calling, eventually, failure, frames_of, sending, serving

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
Caller = list[tuple[str, str]]


@pytest.fixture
def bearer(tmp_path: Path) -> Callable[..., Caller]:
    """Adds a caller, and gives its metadata."""

    def add(name: str, **grant: Any) -> Caller:
        return [("authorization", f"Bearer {add_token(tmp_path / 'tokens.toml', name, **grant)}")]

    return add


@pytest.fixture
def access(tmp_path: Path) -> AccessConfig:
    return AccessConfig(tokens=tmp_path / "tokens.toml")


def held_streams(stack: ExitStack, server: Server, who: Caller | None, data: bytes, count: int) -> threading.Event:
    """So many streams that have begun, until the event is set or the stack closes."""
    go = threading.Event()
    stub = stack.enter_context(calling(server))
    stack.callback(go.set)
    for _ in range(count):
        call = stub.Track(sending(data, until=go), metadata=who)
        stack.callback(call.cancel)
        next(call)
    return go


@contextmanager
def relayed(port: int, address: str) -> Iterator[int]:
    """A port whose connections go on to ``port`` as if they came from ``address``."""

    lines: list[socket.socket] = []

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
                lines.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
    for line in lines:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)  # its thread wakes up
        line.close()


def track(server: Server, data: bytes, who: Caller | None = None, config: Any = None) -> int:
    """Frames that a whole stream is answered."""
    with calling(server) as stub:
        return len(frames_of(stub.Track(sending(data, config), metadata=who)))


def test_file_streams_of_one_caller_leave_a_place_for_another(
    tiny_model: Path, clip: Path, bearer: Callable[..., Caller], access: AccessConfig
) -> None:
    bob, alice, data = bearer("bob"), bearer("alice"), clip.read_bytes()
    with serving(tiny_model, access=access) as server, ExitStack() as stack:
        held_streams(stack, server, bob, data, server.settings.capacity.file_streams)
        code, message, _ = failure(lambda: track(server, data, bob))
        assert (code, "4 streams in file mode" in message) == (EXHAUSTED, True)
        assert track(server, data, alice) == 60


def test_streams_of_one_address_leave_a_place_for_another(tiny_model: Path, clip: Path) -> None:
    data = clip.read_bytes()
    with serving(tiny_model, limits=Limits(streams=2)) as server, ExitStack() as stack:
        held_streams(stack, server, None, data, 2)
        assert failure(lambda: track(server, data))[0] is EXHAUSTED
        port = stack.enter_context(relayed(server.port, "127.0.0.2"))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
            assert len(frames_of(stub.Track(sending(data)))) == 60


def test_a_token_may_have_limits_of_its_own(
    tiny_model: Path, clip: Path, tmp_path: Path, bearer: Callable[..., Caller], access: AccessConfig
) -> None:
    bob, alice, data = bearer("bob"), bearer("alice"), clip.read_bytes()
    text = (tmp_path / "tokens.toml").read_text().replace('name = "bob"', 'name = "bob"\nuploads = 1')
    (tmp_path / "tokens.toml").write_text(text)
    with serving(tiny_model, access=access) as server, ExitStack() as stack:
        held_streams(stack, server, bob, data, 1)
        code, message, _ = failure(lambda: track(server, data, bob))
        assert (code, message) == (
            EXHAUSTED,
            "token bob has its maximum of 1 concurrent uploads (uploads); end one, or try again later",
        )
        assert track(server, data, alice) == 60


def test_a_token_has_so_many_streams_and_a_cancelled_one_frees_its_place(
    tiny_model: Path, clip: Path, bearer: Callable[..., Caller], access: AccessConfig
) -> None:
    who, data = bearer("studio", streams=1), clip.read_bytes()
    with serving(tiny_model, access=access) as server:
        with ExitStack() as stack:
            held_streams(stack, server, who, data, 1)
            code, message, details = failure(lambda: track(server, data, who))
        assert (code, "token studio has its maximum of 1 concurrent streams (streams)" in message) == (EXHAUSTED, True)
        info, retry, quota = details
        assert (info.reason, retry.retry_delay.seconds) == ("TOKEN_QUOTA", 5)
        assert [violation.subject for violation in quota.violations] == ["token:studio"]
        assert server.metrics.registry.get_sample_value("acfd_admission_rejected_total", {"reason": "quota"}) == 1
        assert eventually(lambda: server.host is not None and server.host.stream_count == 0)
        assert track(server, data, who) == 60


def test_so_many_calls_of_a_caller_run_and_wait_at_once(tiny_model: Path, clip: Path) -> None:
    with serving(tiny_model, callers=CallerSettings(calls=2)) as server, ExitStack() as stack:
        held_streams(stack, server, None, clip.read_bytes(), 2)
        stub = stack.enter_context(calling(server))
        code, message, details = failure(lambda: stub.ListModels(face_track_pb2.ListModelsRequest()))
        assert (code, details[0].reason) == (EXHAUSTED, "CALLER_QUOTA")
        assert "the caller 127.0.0.1 has its maximum of 2 concurrent calls (calls)" in message
        with Client(f"127.0.0.1:{server.port}") as client:
            assert client.health() == "SERVING"


def test_what_a_caller_sends_too_fast_is_read_later(tiny_model: Path, clip: Path) -> None:
    data = clip.read_bytes()
    with serving(tiny_model, callers=CallerSettings(bytes_per_second=len(data))) as server:
        begin = time.monotonic()
        assert track(server, data) == 60
        assert time.monotonic() - begin > 0.6  # a second, but for what may come at once


def test_who_makes_many_faulty_calls_is_slowed_down_alone(
    tiny_model: Path, access: AccessConfig, bearer: Callable[..., Caller]
) -> None:
    mallory, alice = bearer("mallory"), bearer("alice")
    faulty, good = face_track_pb2.DetectRequest(image=b"no picture"), face_track_pb2.ListModelsRequest()
    settings = CallerSettings(faults_per_second=1)
    with serving(tiny_model, access=access, callers=settings) as server, calling(server) as stub:
        for _ in range(5):  # which may come at once
            assert failure(lambda: stub.Detect(faulty, metadata=mallory))[0] == grpc.StatusCode.INVALID_ARGUMENT
        begin = time.monotonic()
        waiting = [stub.ListModels.future(good, metadata=mallory) for _ in range(4)]
        stub.ListModels(good, metadata=alice)
        assert not waiting[-1].done()
        waiting[-1].result()
        assert time.monotonic() - begin > 2.0


def test_a_faulty_call_of_many_bytes_counts_for_many(tiny_model: Path) -> None:
    head = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    endless, good = head[: len(head) // 2] + bytes(16 * 2**20), face_track_pb2.ListModelsRequest()
    settings = {"callers": CallerSettings(faults_per_second=1), "decoding": DecodingSettings(held_bytes=2**23)}
    with serving(tiny_model, **settings) as server, calling(server) as stub:
        assert failure(lambda: list(stub.Track(sending(endless, piece=2**16))))[0] == grpc.StatusCode.INVALID_ARGUMENT
        begin = time.monotonic()
        waiting = [stub.ListModels.future(good) for _ in range(4)]
        waiting[-1].result()
        assert time.monotonic() - begin > 2.0


def fetched(server: Server, token: str = "") -> tuple[int, Any]:
    assert server.dashboard is not None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{server.dashboard.port}/callers.json", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, None


def test_the_page_of_callers_is_for_tokens_with_that_right(
    tiny_model: Path, clip: Path, tmp_path: Path, access: AccessConfig
) -> None:
    path = tmp_path / "tokens.toml"
    tokens = {"admin": add_token(path, "admin", rights=(*RIGHTS, "admin")), "bob": add_token(path, "bob", streams=3)}
    who = [("authorization", f"Bearer {tokens['bob']}")]
    with serving(tiny_model, access=access, metrics="127.0.0.1:0") as server, ExitStack() as stack:
        held_streams(stack, server, who, clip.read_bytes(), 2)
        assert [fetched(server, token)[0] for token in ("", "wrong", tokens["bob"])] == [401, 401, 403]
        status, page = fetched(server, tokens["admin"])
    [row] = page["callers"]
    assert (status, row["caller"], row["holds"]["streams"], row["holds"]["calls"]) == (200, "bob", 2, 2)
    assert (row["limits"]["streams"], row["limits"]["result_streams"]) == (3, 8)


def test_without_tokens_the_page_of_callers_is_for_this_machine(tiny_model: Path) -> None:
    with serving(tiny_model, metrics="127.0.0.1:0") as server:
        assert fetched(server) == (200, {"callers": []})


def stored_bytes(server: Server) -> int:
    assert server._jobs is not None
    return sum(held["kept_bytes"] for held in server._jobs.usage().values())


def test_unknown_fields_of_a_request_are_not_stored(tiny_model: Path, clip: Path) -> None:
    sources, jobs = SourceSettings(folders=(clip.parent,)), JobSettings(kept_bytes=2**20)
    with (
        serving(tiny_model, sources=sources, jobs=jobs) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = job_pb2_grpc.JobServiceStub(channel)
        known = job_pb2.SubmitJobRequest(uri=str(clip)).SerializeToString()
        method = "/acfd_stream.v1.JobService/SubmitJob"
        raw = channel.unary_unary(method, response_deserializer=job_pb2.SubmitJobResponse.FromString)
        unknown = b"\xfa\x7d\xa0\x8d\x06" + bytes(100_000)  # field 2015, that many bytes
        job = raw(known + unknown).job
        assert eventually(
            lambda: stub.GetJob(job_pb2.GetJobRequest(job_id=job.job_id)).job.state == job_pb2.JOB_STATE_DONE
        )
        assert stored_bytes(server) < 50_000
