from __future__ import annotations

import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from acfd_stream.client.client import Client
from acfd_stream.errors import ConfigError, OverloadedError
from acfd_stream.service.health import MOST_WATCHERS, Health
from acfd_stream.wire.channel import KeepaliveConfig, channel_options, server_options
from tests.service.rig import eventually
from tests.service.small_server import SERVICE, small_server


def test_a_service_serves_when_it_is_warm_and_never_again_once_it_drains() -> None:
    health = Health([SERVICE])
    with small_server(add=[health.add_to]) as address, Client(address) as client:
        assert [client.health(), client.health(SERVICE)] == ["NOT_SERVING"] * 2
        health.serve()
        assert [client.health(), client.health(SERVICE)] == ["SERVING"] * 2
        health.drain()
        health.serve()
        assert [client.health(), client.health(SERVICE)] == ["NOT_SERVING"] * 2


def test_an_unknown_service_is_not_found() -> None:
    server = small_server(add=[Health([SERVICE]).add_to])
    with server as address, Client(address) as client, pytest.raises(ConfigError, match="no service 'other' here"):
        client.health("other")


def test_all_services_are_listed() -> None:
    with small_server(add=[Health([SERVICE]).add_to]) as address, grpc.insecure_channel(address) as channel:
        statuses = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest()).statuses
    assert {name: answer.status for name, answer in statuses.items()} == {
        "": health_pb2.HealthCheckResponse.NOT_SERVING,
        SERVICE: health_pb2.HealthCheckResponse.NOT_SERVING,
    }


def test_who_watches_is_told_each_change_and_let_go_at_the_drain() -> None:
    health = Health([SERVICE])
    with small_server(add=[health.add_to]) as address, Client(address) as client:
        statuses = client.watch_health()
        assert next(statuses) == "NOT_SERVING"
        health.serve()
        assert next(statuses) == "SERVING"
        health.drain()
        assert list(statuses) == ["NOT_SERVING"]


def test_a_service_that_nobody_knows_may_be_watched() -> None:
    health = Health([SERVICE])
    with small_server(add=[health.add_to]) as address, Client(address) as client:
        assert next(client.watch_health("other")) == "SERVICE_UNKNOWN"


def test_watchers_are_bounded_and_those_who_leave_make_room() -> None:
    health = Health([SERVICE])
    with small_server(add=[health.add_to]) as address, Client(address) as client:
        watching = [client.watch_health() for _ in range(MOST_WATCHERS)]
        assert {next(statuses) for statuses in watching} == {"NOT_SERVING"}
        with pytest.raises(OverloadedError, match="watch already"):
            next(client.watch_health())
        for statuses in watching:
            statuses.close()  # type: ignore[attr-defined]
        assert eventually(lambda: is_admitted(client))


def is_admitted(client: Client) -> bool:
    try:
        return next(client.watch_health()) == "NOT_SERVING"
    except OverloadedError:
        return False


def test_a_server_with_watchers_stops_as_soon_as_it_drains() -> None:
    health = Health([SERVICE])
    with small_server(add=[health.add_to], stop_seconds=60) as address, Client(address) as client:
        statuses = client.watch_health()
        assert next(statuses) == "NOT_SERVING"
        health.drain()
        begin = time.monotonic()
    assert time.monotonic() - begin < 10


def test_pings_of_a_client_are_rarer_than_what_the_server_bears() -> None:
    keepalive = KeepaliveConfig()
    client, server = dict(channel_options(keepalive, 1, "host:1")), dict(server_options(keepalive, 1))
    assert client["grpc.keepalive_time_ms"] > server["grpc.http2.min_ping_interval_without_data_ms"]
    assert client["grpc.keepalive_permit_without_calls"] == server["grpc.keepalive_permit_without_calls"] == 1


def test_without_pings_none_are_sent() -> None:
    assert dict(channel_options(KeepaliveConfig(ping_seconds=0), 1, "host:1"))["grpc.keepalive_time_ms"] == 2**31 - 1


@pytest.mark.parametrize("values", [{"ping_seconds": 0.5}, {"timeout_seconds": 0}, {"strikes": -1}])
def test_keepalive_settings_have_ranges(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        KeepaliveConfig(**values)  # type: ignore[arg-type]
