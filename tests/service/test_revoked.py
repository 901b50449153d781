"""A token that is taken away ends its running streams, and nobody else's."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from acfd_stream.client.client import Client
from acfd_stream.errors import AccessError
from acfd_stream.service.access import file_watch, permits
from acfd_stream.service.access.interceptor import AccessInterceptor
from acfd_stream.service.access.token_file import add_token, now_utc
from acfd_stream.service.server import Server
from acfd_stream.service.settings import AccessConfig
from acfd_stream.service.streams import host
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2, stream_pb2
from tests.service.rig import PATIENCE, calling, eventually, failure, plain_results, sending, serving
from tests.service.small_server import EchoServicer, Held, small_server
from tests.service.test_jobs_calls import LineWork, Service
from tests.service.test_resume import EAGER, configured, read_until

FILE, LIVE = stream_pb2.STREAM_MODE_FILE, stream_pb2.STREAM_MODE_LIVE
SECONDS = PATIENCE / 2  # a second, and what a machine that does many other things adds; ``sent`` ends after PATIENCE


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    found.touch()
    return found


@pytest.fixture(scope="module")
def server(tiny_model: Path, path: Path) -> Iterator[Server]:
    with serving(tiny_model, access=AccessConfig(tokens=path), answers=EAGER) as running:
        yield running


def shown(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def sent(requests: list[Any], never: threading.Event) -> Iterator[Any]:
    yield from requests
    never.wait(PATIENCE)


def ended(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Code, message and reason of what ends a call."""
    code, message, details = failure(lambda: list(call))
    return code, message, next(one.reason for one in details if isinstance(one, error_details_pb2.ErrorInfo))


def test_the_looks_are_often_enough() -> None:
    assert host._WATCH_SECONDS + file_watch.CHECK_SECONDS < 1.0


@pytest.mark.parametrize("is_hung_up", [True, False], ids=["SIGHUP", "file"])
@pytest.mark.parametrize("kind", ["config", "file", "live"])
def test_its_streams_end_at_once_whatever_they_wait_for(
    server: Server, path: Path, clip: Path, kind: str, is_hung_up: bool
) -> None:
    path.write_text("")
    token, never, data = add_token(path, "studio"), threading.Event(), clip.read_bytes()
    server.reload()
    config = face_track_pb2.TrackRequest(config=configured(LIVE if kind == "live" else FILE))
    media = face_track_pb2.TrackRequest(data=data[: len(data) // 2])
    requests = {"config": [config]}.get(kind, [config, media])
    with calling(server) as stub:
        call = stub.Track(sent(requests, never), metadata=shown(token))
        if len(requests) == 2:
            assert next(call).start.stream_id
        assert eventually(lambda: server.host is not None and len(server.host.streams_of("studio")) == 1)
        path.write_text("# nobody\n")
        begin = time.monotonic()
        if is_hung_up:
            server.reload()
        assert ended(call) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "the token was revoked; ask for a new one",
            "TOKEN_REVOKED",
        )
        assert time.monotonic() - begin < SECONDS
        never.set()
    assert eventually(lambda: server.host is not None and server.host.stream_count == 0)
    assert "studio" not in str([row.error for row in server.streams.ended()])


def test_a_new_token_goes_on_where_the_old_one_was_and_others_are_left_alone(
    server: Server, path: Path, clip: Path
) -> None:
    path.write_text("")
    data, old, other, held = clip.read_bytes(), add_token(path, "old"), add_token(path, "other"), threading.Event()
    server.reload()
    with calling(server) as stub:
        whole = plain_results(stub.Track(sending(data, configured(FILE)), metadata=shown(other)))
        beside = stub.Track(sending(data, configured(FILE), until=held), metadata=shown(other))
        assert next(beside).start.stream_id
        before, point = read_until(stub.Track(sending(data, configured(FILE)), metadata=shown(old)), 20)
        call = stub.Track(sending(data, configured(FILE), until=held), metadata=shown(old))
        assert next(call).start.stream_id
        path.write_text("[[token]]" + path.read_text().split("[[token]]")[2])
        new = add_token(path, "old")  # the same name, another token
        server.reload()
        assert ended(call)[2] == "TOKEN_REVOKED"
        rest = plain_results(stub.Track(sending(data, configured(FILE, point.token)), metadata=shown(new)))
        assert before + rest == whole
        held.set()
        assert plain_results(beside) == whole
    with Client(f"127.0.0.1:{server.port}", token=old) as client, pytest.raises(AccessError, match="not known"):
        client.models()


@pytest.mark.parametrize("change", ["rights", "expires"])
def test_so_it_is_where_it_expires_or_loses_the_right(
    server: Server, path: Path, clip: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("")
    token = add_token(path, "studio", expires=now_utc() + timedelta(days=1))
    never, data = threading.Event(), clip.read_bytes()
    server.reload()
    with calling(server) as stub:
        call = stub.Track(sending(data, configured(FILE), until=never), metadata=shown(token))
        assert next(call).start.stream_id
        if change == "rights":
            path.write_text(path.read_text() + 'rights = ["stats"]\n')
        else:
            monkeypatch.setattr("acfd_stream.service.access.interceptor.now_utc", lambda: now_utc() + timedelta(days=2))
        code, _, reason = ended(call)
        never.set()
    expected = {
        "rights": (grpc.StatusCode.PERMISSION_DENIED, "RIGHT_MISSING"),
        "expires": (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED"),
    }
    assert (code, reason) == expected[change]


def test_a_file_that_turns_bad_ends_nobody(tmp_path: Path) -> None:
    path, held = tmp_path / "tokens.toml", Held()
    token = add_token(path, "studio")
    access = AccessInterceptor(AccessConfig(tokens=path))
    with small_server([access]) as address, Client(address, token=token, patience_seconds=0.0) as client:
        stream = client.track(held)
        assert stream.start.stream_id == "s"
        path.write_text("[[token")
        access.reload()
        access.withdraw_invalid()
        held.let_go()
        assert list(stream) == []
        assert stream.end is not None


def test_readers_of_a_job_s_results_go_and_the_job_stays(tmp_path: Path) -> None:
    path, work = tmp_path / "tokens.toml", LineWork(held=10)
    token = add_token(path, "studio")
    service = Service(work, access=AccessConfig(tokens=path))
    try:
        request = job_pb2.SubmitJobRequest(uri="40")
        job_id = service.stub.SubmitJob(request, metadata=shown(token)).job.job_id
        asked = job_pb2.StreamJobResultsRequest(job_id=job_id)
        call = service.stub.StreamJobResults(asked, metadata=shown(token), timeout=PATIENCE)
        seen = [frame.index for _ in range(2) for frame in next(call).results.frames]
        text = path.read_text()
        path.write_text("")
        service.access.reload()
        service.access.withdraw_invalid()
        assert ended(call)[::2] == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
        assert seen == sorted(seen)
        path.write_text(text)
        service.access.reload()
        work.gate.release(40)
        again = service.stub.StreamJobResults(asked, metadata=shown(token), timeout=PATIENCE)
        assert [frame.index for one in again for frame in one.results.frames] == list(range(40))
    finally:
        service.close()


class Flood(EchoServicer):
    """Sends without end, and notes what it hears at last."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: queue.Queue[int] = queue.Queue()
        self.is_over = threading.Event()

    def Track(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        context.add_callback(self.is_over.set)
        while context.is_active():
            self.sent.put(1)
            yield face_track_pb2.TrackResponse(end=stream_pb2.TrackEnd(error="x" * 2**20))


def test_who_reads_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "GRACE_SECONDS", 0.0)
    path, flood = tmp_path / "tokens.toml", Flood()
    token = add_token(path, "studio")
    access = AccessInterceptor(AccessConfig(tokens=path))
    with small_server([access], flood) as address, grpc.insecure_channel(address) as channel:
        call = face_track_pb2_grpc.FaceTrackServiceStub(channel).Track(iter([]), metadata=shown(token))
        assert flood.sent.get(timeout=PATIENCE)
        access.withdraw_invalid()
        assert not flood.is_over.is_set()
        path.write_text("")
        access.reload()
        assert eventually(lambda: pressed(access, flood.is_over))
        assert failure(lambda: list(call))[0] is grpc.StatusCode.CANCELLED


def pressed(access: AccessInterceptor, is_over: threading.Event) -> bool:
    access.withdraw_invalid()
    return is_over.is_set()
