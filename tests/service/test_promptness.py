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
from acfd_stream.service.health import Health, add_reflection
from acfd_stream.service.interceptors.request_timeout import RequestTimeoutInterceptor
from acfd_stream.service.settings import AccessConfig
from tests.service.rig import eventually
from tests.service.small_server import SERVICE, small_server

CHECK = "/grpc.health.v1.Health/Check"
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


def prompt_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "acfd-prompt"]


@pytest.mark.parametrize("method", [CHECK, CAPACITY])
def test_silent_callers_do_not_make_the_server_deaf(method: str) -> None:
    server = small_server([RequestTimeoutInterceptor(0.3)], add=[Health([SERVICE]).add_to])
    with server as address, silent_calls(address, method, THREADS) as calls, Client(address) as client:
        assert client.health() == "NOT_SERVING"
        assert client.capacity((1, 1), 1.0).fits
        codes = {call.code() for call in calls}
    assert codes <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
    assert eventually(lambda: not prompt_threads())


def test_prompt_callers_are_answered_and_leave_no_thread() -> None:
    server = small_server([RequestTimeoutInterceptor(30.0)], add=[Health([SERVICE]).add_to])
    with server as address, Client(address) as client:
        assert [client.capacity((1, 1), 1.0).fits for _ in range(20)] == [True] * 20
        assert next(client.watch_health()) == "NOT_SERVING"
        assert list(client.track([b""])) == []
        assert eventually(lambda: not prompt_threads())


def test_a_call_without_a_request_is_told() -> None:
    with small_server([RequestTimeoutInterceptor(30.0)]) as address, grpc.insecure_channel(address) as channel:
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


def test_tools_that_ask_for_methods_hold_only_a_few_threads() -> None:
    go = threading.Event()

    def nothing() -> Iterator[bytes]:
        go.wait(30)
        yield from ()

    server = small_server([RequestTimeoutInterceptor(30.0)], add=[lambda server: add_reflection(server, [SERVICE])])
    with server as address, grpc.insecure_channel(address) as channel, Client(address) as client:
        ask = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        calls = [ask(nothing()) for _ in range(2 * THREADS)]
        assert client.capacity((1, 1), 1.0).fits
        assert eventually(lambda: sum(call.done() for call in calls) == 2 * THREADS - 8)
        assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        go.set()
