"""The longest that a call may take, whatever its handler and its client do."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from acfd_stream.service.calls.handler import CallLimits
from acfd_stream.service.health import Health
from acfd_stream.service.settings import AnswerSettings, Limits
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, stream_pb2
from tests.service.rig import PATIENCE, calling, eventually, failure, plain_results, sending, serving
from tests.service.small_server import SERVICE, EchoServicer, small_server

SHORT = CallLimits(30.0, 0.3, 0.6)


class Slow(EchoServicer):
    """Takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.ended = threading.Event(), threading.Event()

    def Detect(self, request: Any, context: Any) -> Any:  # noqa: N802
        context.add_callback(self.ended.set)
        self.go.wait(PATIENCE)
        return face_track_pb2.DetectResponse()

    def TrackUri(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        context.add_callback(self.ended.set)
        while context.is_active():
            yield face_track_pb2.TrackUriResponse(end=stream_pb2.TrackEnd(error=request.uri))


def reasons(details: list[Any]) -> list[str]:
    return [detail.reason for detail in details if isinstance(detail, error_details_pb2.ErrorInfo)]


def fits(stub: Any) -> bool:
    """Whether a call is answered within the short time that it may take."""
    with contextlib.suppress(grpc.RpcError):
        return bool(stub.GetCapacity(face_track_pb2.GetCapacityRequest()).fits)
    return False


def test_a_call_ends_though_its_handler_does_not() -> None:
    slow = Slow()
    with small_server(servicer=slow, limits=SHORT) as address, grpc.insecure_channel(address) as channel:
        stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
        code, message, details = failure(lambda: stub.Detect(face_track_pb2.DetectRequest(), timeout=PATIENCE))
        assert (code, reasons(details)) == (grpc.StatusCode.DEADLINE_EXCEEDED, ["TIME_LIMIT"])
        assert "0.3 s" in message
        assert slow.ended.wait(PATIENCE)
        slow.go.set()
        assert eventually(lambda: fits(stub))


@pytest.mark.parametrize("is_read", [True, False])
def test_a_stream_ends_though_its_handler_does_not_and_nobody_reads(*, is_read: bool) -> None:
    slow = Slow()
    with small_server(servicer=slow, limits=SHORT) as address, grpc.insecure_channel(address) as channel:
        stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
        call = stub.TrackUri(face_track_pb2.TrackUriRequest(uri="x" * 2**18), timeout=PATIENCE)
        if not is_read:
            assert slow.ended.wait(PATIENCE)
        assert failure(lambda: list(call))[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_watcher_of_health_ends_too() -> None:
    with (
        small_server(add=[Health([SERVICE]).add_to], limits=SHORT) as address,
        grpc.insecure_channel(address) as channel,
    ):
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        code, _, details = failure(lambda: list(watching))
        assert (code, reasons(details)) == (grpc.StatusCode.DEADLINE_EXCEEDED, ["TIME_LIMIT"])


def test_a_stream_that_has_lasted_its_time_continues_at_its_resume_point(tiny_model: Path, clip: Path) -> None:
    data, never = clip.read_bytes(), threading.Event()
    answers = AnswerSettings(results=1, wait_seconds=0.0)
    with serving(tiny_model, answers=answers) as server, calling(server) as stub:
        whole = plain_results(stub.Track(sending(data)))
        call = stub.Track(sending(data, until=never))  # half of the file, and then nothing
        first = list(itertools.islice(call, 4))
        assert server.host is not None
        [stream] = server.host.streams_of("")
        stream.began_at -= Limits().stream_seconds
        code, message, details = failure(lambda: first.extend(call))
        never.set()
        assert (code, reasons(details)) == (grpc.StatusCode.UNAVAILABLE, ["TIME_LIMIT"])
        assert "resume point" in message
        point = first[-1].resume_point
        config = stream_pb2.TrackConfig(resume_token=point.token)
        rest = plain_results(stub.Track(sending(data, config)))
        assert plain_results(first)[: point.next_index] + rest == whole


def test_a_stream_within_its_time_is_whole(tiny_model: Path, clip: Path) -> None:
    limits = replace(Limits(), stream_seconds=PATIENCE)
    with serving(tiny_model, limits=limits) as server, calling(server) as stub:
        assert list(stub.Track(sending(clip.read_bytes())))[-1].end.is_complete
