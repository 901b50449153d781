"""The metrics port under clients that stall: scrapes are answered, and every stalled connection ends."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from acfd_stream.service.dashboard import http_connections
from acfd_stream.service.dashboard.http_connections import HttpConnections
from acfd_stream.service.dashboard.http_request import Scrapes
from tests.service.watched import TIMEOUT_SECONDS

BODY = b"x" * 2**24
"""More than the buffers of two sockets hold."""
Open = Callable[..., socket.socket]


def respond(head: bytes, is_cut: bool) -> list[bytes]:
    body = BODY if head.startswith(b"GET /large") else b"fine"
    return [f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that allows 8 connections, 1 s for a request and 1 s for a response."""
    monkeypatch.setattr(http_connections, "MOST_CONNECTIONS", 8)
    monkeypatch.setattr(http_connections, "READ_SECONDS", 1.0)
    monkeypatch.setattr(http_connections, "WRITE_SECONDS", 1.0)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    connections = HttpConnections(listener, respond)
    connections.start()
    yield listener.getsockname()[1]
    connections.close()


@pytest.fixture
def open_(port: int) -> Iterator[Open]:
    """Opens a connection, from an address of loopback if one is given, and sends the bytes."""
    with ExitStack() as opened:

        def connect(sent: bytes, source: str = "127.0.0.1") -> socket.socket:
            line = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS, (source, 0))
            opened.callback(line.close)
            line.sendall(sent)
            return line

        yield connect


def scrape(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/metrics")
    body = connection.getresponse().read()
    connection.close()
    return body


def is_ended(line: socket.socket) -> bool:
    """Whether the server ends a connection within the time of the test, after any response."""
    with suppress(ConnectionResetError):
        while line.recv(2**20):
            pass
    return True


@pytest.mark.parametrize("stall", [b"", b"GET /metr", b"GET / HTTP/1.1\r\nX: ", b"GET /large HTTP/1.1\r\n\r\n"])
def test_a_scrape_is_answered_while_clients_stall_and_all_of_them_end(port: int, open_: Open, stall: bytes) -> None:
    stalled = [open_(stall) for _ in range(40)]
    assert scrape(port) == b"fine"
    assert all(is_ended(line) for line in stalled)


@pytest.mark.parametrize("piece", [b"a", b"X: y\r\n"])
def test_bytes_that_drip_do_not_prolong_a_request(open_: Open, piece: bytes) -> None:
    began, line = time.monotonic(), open_(b"GET / HTTP/1.1\r\n")
    with suppress(ConnectionError):
        while time.monotonic() - began < TIMEOUT_SECONDS:
            line.sendall(piece)
            line.settimeout(0.05)
            with suppress(TimeoutError):
                if not line.recv(1):
                    break
    assert 1.0 <= time.monotonic() - began < TIMEOUT_SECONDS


def test_a_body_that_drips_does_not_keep_its_connection(open_: Open) -> None:
    line = open_(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nx")
    assert line.makefile("rb").read().endswith(b"fine")


def test_a_reader_that_drips_does_not_prolong_a_response(open_: Open) -> None:
    line, began, got = open_(b"GET /large HTTP/1.1\r\n\r\n"), time.monotonic(), 0
    with suppress(ConnectionError):
        while piece := line.recv(1024):
            got += len(piece)
            time.sleep(0.001)  # about 1 MB/s
    assert time.monotonic() - began < TIMEOUT_SECONDS
    assert got < len(BODY)


def test_the_address_with_the_most_connections_loses_its_oldest(open_: Open) -> None:
    scraper = open_(b"GET /metrics HTTP/1.1\r\n", "127.0.0.2")
    attacking = [open_(b"", "127.0.0.3") for _ in range(30)]
    assert is_ended(attacking[0])
    scraper.sendall(b"\r\n")
    assert scraper.makefile("rb").read().endswith(b"fine")


def test_a_client_that_reads_gets_all_of_a_large_response(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connections, "WRITE_SECONDS", TIMEOUT_SECONDS)
    assert open_(b"GET /large HTTP/1.1\r\n\r\n").makefile("rb").read().endswith(BODY)


def test_a_request_may_come_in_pieces_and_end_with_its_connection(open_: Open) -> None:
    line = open_(b"GET / HTTP/1.1\r\nX: y\r\n\r")
    line.sendall(b"\n")
    assert line.makefile("rb").read().endswith(b"fine")
    half = open_(b"GET / HTTP/1.1\r\n")
    half.shutdown(socket.SHUT_WR)
    assert half.makefile("rb").read().endswith(b"fine")


def test_a_response_that_fails_ends_its_connection_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail(head: bytes, is_cut: bool) -> list[bytes]:
        if b"bad" in head:
            raise ValueError("broken")
        return [b"HTTP/1.0 200 OK\r\n\r\nfine"]

    listener = socket.create_server(("127.0.0.1", 0))
    connections = HttpConnections(listener, fail)
    connections.start()
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as line:
        line.sendall(b"GET /bad HTTP/1.0\r\n\r\n")
        assert is_ended(line)
    assert scrape(port) == b"fine"
    connections.close()
    assert "broken" in caplog.text


def test_closing_ends_open_connections_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connections, "READ_SECONDS", 2.0 * TIMEOUT_SECONDS)  # then it would end by itself
    listener = socket.create_server(("127.0.0.1", 0))
    connections = HttpConnections(listener, respond)
    connections.start()
    with socket.create_connection(listener.getsockname(), TIMEOUT_SECONDS) as line:
        line.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        connections.close()
        assert is_ended(line)
        assert time.monotonic() - began < TIMEOUT_SECONDS


def test_requests_that_wait_share_one_scrape() -> None:
    registry, began = CollectorRegistry(), threading.Event()
    scrapes = Scrapes(registry)

    class Slow(Collector):
        count = 0

        def collect(self) -> Iterator[Metric]:
            self.count += 1
            began.wait(TIMEOUT_SECONDS)
            yield Metric("acfd_test", "A metric", "gauge")

    slow = Slow()
    began.set()
    registry.register(slow)  # collects once, for the names
    began.clear()
    slow.count = 0
    with ThreadPoolExecutor(8) as threads:
        asked_at = time.monotonic()
        answers = [threads.submit(scrapes.answer, "", asked_at) for _ in range(8)]
        began.set()
        assert {answer.result() for answer in answers} == {scrapes.answer("", asked_at)}
        assert slow.count == 1
        scrapes.answer("", time.monotonic())
        assert slow.count == 2
