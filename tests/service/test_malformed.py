"""Bytes that are no message of their method: refused as the caller's fault, and forgotten."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from acfd_stream.service.calls import call as calls
from acfd_stream.service.server import Server
from acfd_stream.v1 import face_track_pb2, stream_pb2
from tests.service.rig import PATIENCE, failure

BROKEN = b"\xff\xff\xff\xff"
CONFIG = face_track_pb2.TrackRequest(config=stream_pb2.TrackConfig()).SerializeToString()
TRACK = "/acfd_stream.v1.FaceTrackService/"
JOBS = "/acfd_stream.v1.JobService/"
Call = Callable[[grpc.Channel], Any]
CALLS: dict[str, Call] = {
    "unary": lambda channel: channel.unary_unary(f"{TRACK}Detect")(BROKEN, timeout=PATIENCE),
    "unary of jobs": lambda channel: channel.unary_unary(f"{JOBS}SubmitJob")(BROKEN, timeout=PATIENCE),
    "stream of answers": lambda channel: list(channel.unary_stream(f"{TRACK}TrackUri")(BROKEN, timeout=PATIENCE)),
    "first of a stream": lambda channel: _track(channel, [BROKEN]),
    "second of a stream": lambda channel: _track(channel, [CONFIG, BROKEN]),
    "health": lambda channel: channel.unary_unary("/grpc.health.v1.Health/Check")(BROKEN, timeout=PATIENCE),
}


def _track(channel: grpc.Channel, requests: list[bytes]) -> list[Any]:
    return list(channel.stream_stream(f"{TRACK}Track")(iter(requests), timeout=PATIENCE))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_cannot_be_read_is_the_callers_fault(server: Server, call: Call) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        code, message, _ = failure(lambda: call(channel))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "4 bytes" in message


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_could_not_be_read_is_forgotten(server: Server, call: Call) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        failure(lambda: call(channel))
        before = _calls_in_mind()
        for _ in range(5):
            failure(lambda: call(channel))
    assert _calls_in_mind() <= before + 1  # the last one may just be ending


def _calls_in_mind() -> int:
    gc.collect()
    return sum(type(thing) is calls.Call for thing in gc.get_objects())
