"""gRPC options of server and client: keepalive pings, message size, reconnection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote

from acfd_stream.checked import Checked, require

_NO_PINGS_MS = 2**31 - 1
# gRPC's names: a scheme, an authority for DNS, a host or [literal], a port.
_TARGET = re.compile(
    r"(?P<socket>unix(?:-abstract)?:.*)|"
    r"(?:(?:dns|ipv4|ipv6):(?://[^/]*/)?)?(?:\[(?P<literal>[^\]]*)\](?::\d+)?|(?P<host>.*?)(?:(?<=[^:]):\d+)?)"
)


@dataclass(frozen=True)
class KeepaliveConfig(Checked):
    """How each side detects that the other is gone. A server closes connections that ping too often."""

    ping_seconds: float = 30.0
    """Idle time after which a ping is sent, seconds, >= 1; 0: never."""
    timeout_seconds: float = 10.0
    """How long to wait for the reply to a ping before the connection is closed, seconds, > 0."""
    least_ping_seconds: float = 10.0
    """Server only: pings at shorter intervals count as strikes, seconds, > 0."""
    strikes: int = 2
    """Server only: number of strikes that are tolerated; 0: any number."""
    pings_without_calls: bool = True
    """Whether to send, and allow, pings on connections without calls."""

    def _check(self) -> None:
        require(self.ping_seconds == 0 or self.ping_seconds >= 1, "ping_seconds", self.ping_seconds, "0 or >= 1")
        require(self.timeout_seconds > 0, "timeout_seconds", self.timeout_seconds, "> 0")
        require(self.least_ping_seconds > 0, "least_ping_seconds", self.least_ping_seconds, "> 0")
        require(0 <= self.strikes < 2**31, "strikes", self.strikes, "in 0 … 2^31 - 1")


Options = list[tuple[str, int]]


def server_options(keepalive: KeepaliveConfig, message_bytes: int) -> Options:
    """Options of ``grpc.server``.

    Args:
        keepalive: how dead clients are detected, and how many pings are allowed.
        message_bytes: maximum size of a received message.
    """
    return [
        *_ping_options(keepalive),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _milliseconds(keepalive.least_ping_seconds)),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(keepalive.least_ping_seconds)),
        ("grpc.http2.max_ping_strikes", keepalive.strikes),
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail
    ]


def channel_options(keepalive: KeepaliveConfig, message_bytes: int, target: str) -> Options:
    """Options of a client channel. It must ping less often than ``least_ping_seconds`` of the server.

    Args:
        keepalive: how a dead server is detected.
        message_bytes: maximum size of a received message.
        target: address of the server; one on this machine is reached without the proxy of the environment.
    """
    return [
        *([("grpc.enable_http_proxy", 0)] if is_local(target) else []),
        *_ping_options(keepalive),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 5000),
        ("grpc.enable_retries", 0),  # the client resumes streams itself
    ]


def is_local(target: str) -> bool:
    """Whether a gRPC target is on this machine by its name: a socket, localhost, or a loopback address."""
    found = _TARGET.fullmatch(unquote(target))
    if found is None or found["socket"]:
        return found is not None
    host = found["host"] if found["literal"] is None else found["literal"]
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.removeprefix("::ffff:"))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _ping_options(keepalive: KeepaliveConfig) -> Options:
    ping = _milliseconds(keepalive.ping_seconds) if keepalive.ping_seconds else _NO_PINGS_MS
    return [
        ("grpc.keepalive_time_ms", ping),
        ("grpc.keepalive_timeout_ms", _milliseconds(keepalive.timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", int(keepalive.pings_without_calls)),
    ]


def _milliseconds(seconds: float) -> int:
    return max(1, min(round(seconds * 1000), _NO_PINGS_MS))
