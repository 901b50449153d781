from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from acfd_stream.client.client import Client
from acfd_stream.errors import AccessError
from acfd_stream.service.access.interceptor import AccessInterceptor
from acfd_stream.service.access.permits import caller_name
from acfd_stream.service.access.token_file import add_token, now_utc
from acfd_stream.service.health import Health, add_reflection
from acfd_stream.service.settings import AccessConfig
from tests.service.small_server import SERVICE, EchoServicer, small_server


class TokenServer:
    """A server whose token file is ``path``, and what it refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rejections: list[str] = []
        self.address = ""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TokenServer]:
    found = TokenServer(tmp_path / "tokens.toml")
    found.path.touch()
    access = AccessInterceptor(AccessConfig(tokens=found.path), found.rejections.append)
    with small_server([access], add=[Health([SERVICE]).add_to]) as found.address:
        add = add_token

        def add_and_reload(*arguments: Any, **options: Any) -> str:
            token = add(found.path, *arguments, **options)
            access.reload()
            return token

        found.add = add_and_reload  # type: ignore[attr-defined]
        yield found


def capacity(guarded: TokenServer, token: str = "") -> bool:
    with Client(guarded.address, token=token) as client:
        return client.capacity((720, 1280), 24.0).fits


def test_a_good_token_is_let_in(guarded: Any) -> None:
    assert capacity(guarded, guarded.add("studio"))
    assert guarded.rejections == []


@pytest.mark.parametrize("token", ["", "acfd_wrong", "not even ours"])
def test_no_token_and_an_unknown_one_are_refused(guarded: Any, token: str) -> None:
    guarded.add("studio")
    with pytest.raises(AccessError, match="no token" if not token else "not known"):
        capacity(guarded, token)
    assert guarded.rejections == ["unauthenticated"]


def test_an_expired_token_is_told_when_it_expired(guarded: Any) -> None:
    token = guarded.add("studio", expires=now_utc() - timedelta(seconds=1))
    with pytest.raises(AccessError, match=r"token studio expired at \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        capacity(guarded, token)


def test_a_token_that_was_taken_out_is_refused(guarded: Any) -> None:
    token = guarded.add("studio")
    assert capacity(guarded, token)
    guarded.path.write_text("")
    guarded.add("other")
    with pytest.raises(AccessError, match="not known"):
        capacity(guarded, token)


def test_a_stream_is_refused_before_its_bytes_are_taken(guarded: Any) -> None:
    with Client(guarded.address) as client, pytest.raises(AccessError, match="no token"):
        list(client.track([b"bytes"]))


def test_a_token_without_the_right_is_refused_by_name(guarded: Any) -> None:
    token = guarded.add("looker", rights=("stats",))
    with Client(guarded.address, token=token) as client:
        with pytest.raises(AccessError, match="does not have the right 'detect'"):
            client.detect(b"")
        with pytest.raises(AccessError, match="does not have the right 'track'"):
            list(client.track([b""]))
        assert client.capacity((1, 1), 1.0).fits
    assert guarded.rejections == ["permission", "permission"]


def test_health_needs_no_token_and_reflection_does_by_default(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.touch()
    for is_open in (False, True):
        access = AccessInterceptor(AccessConfig(tokens=path, is_reflection_open=is_open))
        add = [Health([SERVICE]).add_to, lambda server: add_reflection(server, [SERVICE])]
        with small_server([access], add=add) as address, Client(address) as client:
            assert client.health() == "NOT_SERVING"
            assert is_open == reflects(address)


def reflects(address: str) -> bool:
    """Whether the server lists its services to somebody without a token."""
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        listed: set[str] = set()
        with contextlib.suppress(grpc.RpcError):
            listed = {service.name for answer in call for service in answer.list_services_response.service}
        assert call.code() is (grpc.StatusCode.OK if listed else grpc.StatusCode.UNAUTHENTICATED)
    return SERVICE in listed


def test_the_method_knows_who_calls(tmp_path: Path) -> None:
    names = []

    class Servicer(EchoServicer):
        def GetCapacity(self, request: Any, context: Any) -> Any:  # noqa: N802
            names.append(caller_name())
            return super().GetCapacity(request, context)

        def Track(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
            for response in super().Track(request_iterator, context):
                names.append(caller_name())
                yield response

    path = tmp_path / "tokens.toml"
    token = add_token(path, "studio")
    server = small_server([AccessInterceptor(AccessConfig(tokens=path))], Servicer())
    with server as address, Client(address, token=token) as client:
        client.capacity((1, 1), 1.0)
        list(client.track([b""]))
    assert names == ["studio"] * 3
    assert caller_name() == ""


def test_without_a_token_file_everybody_is_let_in() -> None:
    with small_server([AccessInterceptor(AccessConfig())]) as address, Client(address) as client:
        assert client.capacity((1, 1), 1.0).fits
