"""gRPC's options that bound connections, and the number of files that the process may open."""

from __future__ import annotations

import resource
from contextlib import suppress

from acfd_stream.service.settings.connections import ConnectionSettings

_GRACE_SECONDS = 60.0  # after the longest call
_LONGEST_MS = 2**31 - 1


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
