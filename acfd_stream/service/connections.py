"""Bounds on connections, of all clients and of one address, and the number of files that the process may open."""

from __future__ import annotations

import os
import resource
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from acfd_stream.service.access.callers import address_caller
from acfd_stream.service.settings.connections import ConnectionSettings

_GRACE_SECONDS = 60.0  # after the longest call
_LONGEST_MS = 2**31 - 1
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def raise_file_limit() -> None:
    """Let the process open as many files as the system allows without privileges."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # the system may refuse "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections(settings: ConnectionSettings) -> int:
    """Maximum open connections: half of the files are kept for videos, jobs and results."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return settings.most if files == resource.RLIM_INFINITY else max(1, min(settings.most, files // 2))


def most_of_address(settings: ConnectionSettings) -> int:
    """Maximum open connections of one address: some are kept for others."""
    return max(1, min(settings.per_address, most_connections(settings) * 3 // 4))


class AddressBound:
    """Closes connections of an address that has more than its maximum, the latest first.

    gRPC accepts connections without asking anyone, so they are found among the open files of this process.

    Args:
        port: the server's.
        most: maximum connections of one address.
    """

    def __init__(self, port: int, most: int) -> None:
        self._port, self._most = port, most
        self._known: dict[tuple[str, int], None] = {}  # addresses and ports of clients, the oldest first
        self._files = 0  # that were open at the last look

    def enforce(self) -> int:
        """Close what is too much; the number of closed connections. Used by one thread."""
        files = os.listdir("/proc/self/fd")
        if len(files) <= self._most or len(files) == self._files:
            return 0
        self._files = len(files)
        with ExitStack() as opened:
            found = self._found(map(int, files), opened)
            self._known = {peer: None for peer in [*self._known, *found] if peer in found}
            held: Counter[str] = Counter()
            closed = 0
            for peer in self._known:
                caller = address_caller(f"ipv6:[{peer[0]}]:{peer[1]}")
                held[caller] += 1
                if held[caller] > self._most:
                    closed += 1
                    with suppress(OSError):  # it has ended
                        found[peer].shutdown(socket.SHUT_RDWR)  # gRPC then closes it
            return closed

    def _found(self, files: Iterable[int], opened: ExitStack) -> dict[tuple[str, int], socket.socket]:
        """The connections of clients, each by a descriptor of its own: gRPC may close its one at any time."""
        found = {}
        for number in files:
            with suppress(OSError):  # it was closed meanwhile, or is no connection
                copy = os.dup(number)
                try:
                    connection = socket.socket(fileno=copy)
                except OSError:
                    os.close(copy)
                    raise
                opened.enter_context(connection)
                if connection.family in _INTERNET and connection.getsockname()[1] == self._port:
                    host, port = connection.getpeername()[:2]
                    found[host, port] = connection
        return found


def connection_options(settings: ConnectionSettings, call_seconds: float) -> list[tuple[str, int]]:
    """Options of ``grpc.aio.server``.

    Args:
        settings: the bounds.
        call_seconds: the longest that a call may take. An aged connection is cut only after that.
    """
    return [
        ("grpc.max_allowed_incoming_connections", most_connections(settings)),
        ("grpc.max_concurrent_streams", settings.calls),
        ("grpc.server_handshake_timeout_ms", _milliseconds(settings.handshake_seconds)),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.idle_seconds)),
        ("grpc.max_connection_age_ms", _milliseconds(settings.age_seconds)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(call_seconds + _GRACE_SECONDS)),
    ]


def _milliseconds(seconds: float) -> int:
    return max(1, min(round(seconds * 1000), _LONGEST_MS))
