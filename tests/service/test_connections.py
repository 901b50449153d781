"""Connections that say nothing, in every way that a client can say nothing: bounded, ended, and no burden to others."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.client.client import Client
from acfd_stream.errors import ConfigError
from acfd_stream.service.calls import handler
from acfd_stream.service.calls.handler import CallLimits
from acfd_stream.service.connections import AddressBound, connection_options, most_connections, most_of_address
from acfd_stream.service.health import Health
from acfd_stream.service.settings.connections import ConnectionSettings
from tests.service.http2 import Http2, is_open
from tests.service.rig import eventually
from tests.service.rig import serving as a_service
from tests.service.small_server import SERVICE, small_server

QUICK = ConnectionSettings(handshake_seconds=0.5, idle_seconds=60.0)
CHECK = "/grpc.health.v1.Health/Check"
PROMPT_SECONDS = 15.0
"""Within which health answers, however busy this machine is: before any silent call ends."""


@contextlib.contextmanager
def serving(settings: ConnectionSettings, first_message_seconds: float = 30.0) -> Iterator[int]:
    """The port of a server with health, with these bounds."""
    limits = CallLimits(first_message_seconds)
    options = connection_options(settings, 60.0)
    with small_server(add=[Health([SERVICE]).add_to], limits=limits, options=options) as address:
        yield int(address.rpartition(":")[2])


def answers_promptly(port: int) -> bool:
    with Client(f"127.0.0.1:{port}") as client:
        client.health()
        begin = time.monotonic()
        return client.health() == "NOT_SERVING" and time.monotonic() - begin < PROMPT_SECONDS


def connected(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5, source_address=(address, 0))


def test_connections_without_the_preface_are_closed() -> None:
    with serving(QUICK) as port, contextlib.ExitStack() as opened:
        silent = [opened.enter_context(connected(port)) for _ in range(20)]
        silent[0].sendall(b"PRI * HTTP/2.0\r\n")  # a part of it
        silent[1].sendall(b"\x16\x03\x01")  # a part of TLS's
        assert answers_promptly(port)
        assert eventually(lambda: not any(map(is_open, silent)))


def test_connections_without_calls_are_closed_and_others_are_not() -> None:
    with serving(replace(QUICK, idle_seconds=0.5)) as port, contextlib.ExitStack() as opened:
        idle = [opened.enter_context(Http2(port)) for _ in range(5)]
        busy = opened.enter_context(Http2(port))
        busy.begin_call(CHECK)
        assert eventually(lambda: not any(one.is_open() for one in idle))
        assert busy.is_open()


def test_no_more_connections_than_the_most_and_the_next_when_one_ends() -> None:
    with serving(replace(QUICK, most=8)) as port, contextlib.ExitStack() as opened:
        for _ in range(30):
            with contextlib.suppress(OSError):
                opened.enter_context(connected(port))
        assert eventually(lambda: answers(port))


def lets_in(port: int, address: str) -> bool:
    with contextlib.suppress(OSError), Http2(port, address) as connection:
        return bool(connection.settings())
    return False


def answers(port: int) -> bool:
    with contextlib.suppress(Exception):
        return answers_promptly(port)
    return False


def test_silent_calls_from_many_addresses_end_and_health_answers_meanwhile() -> None:
    with serving(QUICK, first_message_seconds=18.0) as port, contextlib.ExitStack() as opened:
        callers = [opened.enter_context(Http2(port, f"127.0.{i}.1")) for i in range(1, 30)]
        for number, caller in enumerate(callers):
            for path in [CHECK, f"/{SERVICE}/Detect", f"/{SERVICE}/Track"] * 10:
                caller.begin_call(path)
                if number % 2:
                    caller.send(b"\0\0\0\0\x64half")  # of a message of 100 bytes
        assert answers_promptly(port)
        endings = [ending for caller in callers for ending in caller.endings(30)]
        assert all(b"no request came within 18 s" in ending for ending in endings)


def test_the_call_that_is_silent_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "MOST_SILENT", 4)
    with serving(QUICK) as port, Http2(port) as caller:
        for _ in range(5):
            caller.begin_call(CHECK)
        assert b"too many calls wait" in caller.endings(1)[0]
        assert answers_promptly(port)
        assert b"too many calls wait" in caller.endings(1)[0]  # for the call of ``answers_promptly``


def test_a_connection_has_so_many_calls() -> None:
    with serving(replace(QUICK, calls=4), first_message_seconds=1.0) as port, Http2(port) as caller:
        assert caller.settings()[3] == 4  # SETTINGS_MAX_CONCURRENT_STREAMS
        for _ in range(10):
            caller.begin_call(CHECK)
        assert caller.refused(6)


def test_an_address_has_so_many_connections_and_others_are_let_in(tiny_model: Path) -> None:
    settings = replace(QUICK, most=8, per_address=100)
    assert most_of_address(settings) == 6  # two are kept for others
    with a_service(tiny_model, connections=settings) as server, contextlib.ExitStack() as opened:
        greedy = [opened.enter_context(Http2(server.port)) for _ in range(6)]
        for _ in range(20):
            with contextlib.suppress(OSError):
                greedy.append(opened.enter_context(Http2(server.port)))
        assert eventually(lambda: sum(one.is_open() for one in greedy) == 6)
        assert all(one.is_open() for one in greedy[:6])  # the latest were closed
        assert eventually(lambda: lets_in(server.port, "127.0.0.2"))


def test_a_connection_that_nobody_counts_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as opened:
        port = listener.getsockname()[1]
        bound = AddressBound(port, 2)
        ours = [opened.enter_context(connected(port, f"127.0.0.{number}")) for number in (1, 1, 1, 2)]
        for _ in ours:
            opened.enter_context(listener.accept()[0])
        assert bound.enforce() == 1
        assert [is_open(one) for one in ours] == [True, True, False, True]
        assert AddressBound(port + 1, 1).enforce() == 0


def test_half_of_the_files_are_kept_for_work() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200));"
        "from acfd_stream.service.connections import *; s = ConnectionSettings();"
        "print(most_connections(s)); raise_file_limit(); print(most_connections(s))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["32", "100"]


def test_an_aged_connection_is_cut_only_after_the_longest_call() -> None:
    options = dict(connection_options(ConnectionSettings(), 3600.0))
    assert options["grpc.max_connection_age_grace_ms"] > 3600_000
    assert options["grpc.max_allowed_incoming_connections"] == most_connections(ConnectionSettings())
    assert most_connections(ConnectionSettings()) <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.parametrize("values", [{"most": 0}, {"calls": 0}, {"handshake_seconds": 0.0}, {"age_seconds": -1.0}])
def test_bounds_have_ranges(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ConnectionSettings(**values)  # type: ignore[arg-type]
