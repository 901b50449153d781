from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from acfd_stream.client.client import Client
from acfd_stream.service.access.interceptor import AccessInterceptor
from acfd_stream.service.calls.handler import CallLimits
from acfd_stream.service.health import Health, add_reflection
from acfd_stream.service.settings import AccessConfig
from tests.service.small_server import SERVICE, small_server

CHECK = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
TRACK = f"/{SERVICE}/Track"
CAPACITY = f"/{SERVICE}/GetCapacity"
THREADS = 16  # of a small server


@contextlib.contextmanager
def silent_calls(address: str, method: str, count: int) -> Iterator[list[Any]]:
    """Calls that are opened and then say nothing."""
    go = threading.Event()

    def nothing() -> Iterator[Any]:
        go.wait(30)
        yield from ()

    with grpc.insecure_channel(address) as channel:
        ask = channel.stream_unary(method, health_pb2.HealthCheckRequest.SerializeToString)
        yield [ask.future(nothing()) for _ in range(count)]
        go.set()


@pytest.mark.parametrize("method", [CHECK, REFLECTION, CAPACITY, TRACK])
def test_silent_callers_do_not_make_the_server_deaf(method: str) -> None:
    add = [Health([SERVICE]).add_to, lambda server: add_reflection(server, [SERVICE])]
    server = small_server(add=add, limits=CallLimits(2.0))
    with server as address, silent_calls(address, method, 4 * THREADS) as calls, Client(address) as client:
        assert client.health() == "NOT_SERVING"
        assert client.capacity((1, 1), 1.0).fits
        assert list(client.track([b""])) == []
        assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}


def test_prompt_callers_are_not_ended() -> None:
    server = small_server(add=[Health([SERVICE]).add_to], limits=CallLimits(1.0))
    with server as address, Client(address) as client:
        statuses = client.watch_health()
        assert next(statuses) == "NOT_SERVING"
        with silent_calls(address, CHECK, 1) as calls:
            assert calls[0].code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert client.capacity((1, 1), 1.0).fits
        statuses.close()  # type: ignore[attr-defined]


def test_a_call_without_a_request_is_told() -> None:
    with small_server() as address, grpc.insecure_channel(address) as channel:
        call = channel.stream_unary(CAPACITY).future(iter([]))
        assert call.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_callers_without_a_token_are_refused_before_they_say_anything(tmp_path: Any) -> None:
    (tmp_path / "tokens.toml").touch()
    access = AccessInterceptor(AccessConfig(tokens=tmp_path / "tokens.toml"))
    with small_server([access]) as address:
        begin = time.monotonic()
        with silent_calls(address, CAPACITY, 2 * THREADS) as calls:
            assert {call.code() for call in calls} == {grpc.StatusCode.UNAUTHENTICATED}
        assert time.monotonic() - begin < 20
