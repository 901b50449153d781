"""Bounds on connections: ``[connections]`` of the file."""

from __future__ import annotations

from dataclasses import dataclass

from acfd_stream.checked import Checked


@dataclass(frozen=True)
class ConnectionSettings(Checked):
    """How many connections clients may open, and for how long."""

    most: int = 2048
    """Maximum open connections, 1 … 65536; never more than half of the files that the process may open."""
    per_address: int = 512
    """Maximum open connections of one address (of IPv6 the first 64 bits), 1 … 65536; at most three quarters of all."""
    calls: int = 128
    """Maximum concurrent calls on one connection, 1 … 65536; the client holds back further ones."""
    handshake_seconds: float = 5.0
    """A connection that has not completed TLS and HTTP/2's preface within this time is closed, seconds, > 0."""
    idle_seconds: float = 300.0
    """A connection is closed after this time without calls, seconds, > 0; clients open another when they need it."""
    age_seconds: float = 3600.0
    """After this time a connection takes no more calls, seconds, > 0; those on it go on, and clients open another."""

    def _check(self) -> None:
        self._require_between(1, 2**16, "most", "per_address", "calls")
        self._require_positive("handshake_seconds", "idle_seconds", "age_seconds")
