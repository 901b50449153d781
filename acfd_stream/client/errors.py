"""gRPC status → our errors, and when to retry."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2

from acfd_stream.config import proxy_variable
from acfd_stream.errors import AccessError, AcfdError, ConfigError, MediaError, OverloadedError, ServiceError
from acfd_stream.wire.channel import is_local
from acfd_stream.wire.messages import seconds_of

D = TypeVar("D")
DETAILS_KEY = "grpc-status-details-bin"
_CODE = grpc.StatusCode
_TLS_FAULT = re.compile(r"(?i)handshake|certificate|ssl_error|wrong_version_number|peer name|tls")
_BROKEN_WRITE = (_CODE.INTERNAL, "Internal error from Core")
"""grpc.aio reports this instead of the server's status if that arrives during a write; a retry gets the real one."""
_OF_JOBS = ("JOB_FAILED", "JOB_CANCELLED", "RESULTS_LOST")
"""Reasons about the job whose results are read, not about this call: a retry is useless."""
_TOO_LARGE = re.compile(r"(SERVER|CLIENT): (?:Received|Sent) message larger than max \((\d+) vs\. (\d+)\)")
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Unreachable(ServiceError):
    """The server does not answer, is draining, or the connection broke: a retry may succeed."""


class Refused(OverloadedError):
    """The server has no capacity for this call now."""

    retry_seconds: float | None = None
    """Delay after which a retry may succeed, from the server; None: unknown."""


def error_of(error: Any, target: str) -> AcfdError:
    """The error for a ``grpc.RpcError`` of a call to ``target``; its message is one line."""
    code, text = error.code(), " ".join((error.details() or "").split())
    status = rich_status(error.trailing_metadata())
    info = detail(status, error_details_pb2.ErrorInfo)
    reason = "" if info is None else info.reason
    if reason in _OF_JOBS:
        return ServiceError(f"{target}: {'the job failed: ' if reason == 'JOB_FAILED' else ''}{text}")
    if (code, text) == _BROKEN_WRITE:
        return Unreachable(f"{target} ended the call while a message was being sent")
    if code is _CODE.UNAVAILABLE:
        return _unavailable(text, target)
    if code in (_CODE.UNAUTHENTICATED, _CODE.PERMISSION_DENIED):
        return AccessError(f"{target} refuses: {text}")
    if code is _CODE.RESOURCE_EXHAUSTED:
        return _refused(text, status, target)
    if code is _CODE.INVALID_ARGUMENT:
        return MediaError(text) if reason == "MEDIA" else ConfigError(f"{target}: {text}")
    if code in (_CODE.FAILED_PRECONDITION, _CODE.NOT_FOUND, _CODE.ALREADY_EXISTS, _CODE.OUT_OF_RANGE):
        return ConfigError(f"{target}: {text}")
    if code is _CODE.UNIMPLEMENTED:
        return ServiceError(f"{target} has no such method; it is another or an older service ({text})")
    return ServiceError(f"{target} failed with {code.name}: {text}")


def _unavailable(text: str, target: str) -> AcfdError:
    if _TLS_FAULT.search(text):
        return ServiceError(f"no trusted connection to {target}: {text}")
    variable = "" if is_local(target) else proxy_variable()
    advice = f"; {variable} is set: name the host in no_proxy if the proxy is not the way to it" if variable else ""
    return Unreachable(f"{target} cannot be reached or is stopping: {text}{advice}")


def _refused(text: str, status: status_pb2.Status, target: str) -> AcfdError:
    too_large = _TOO_LARGE.search(text)
    if too_large is not None:
        return _too_large(too_large[1], int(too_large[2]), int(too_large[3]), target)
    error = Refused(f"{target} has no room: {text}")
    retry = detail(status, error_details_pb2.RetryInfo)
    if retry is not None:
        error.retry_seconds = seconds_of(retry.retry_delay)
    return error


def _too_large(side: str, size: int, limit: int, target: str) -> AcfdError:
    """A message above gRPC's limit: it is so at every attempt."""
    sizes = f"{size / 2**20:.1f} MiB, above the limit of {limit / 2**20:.1f} MiB"
    if side == "CLIENT":
        return ServiceError(f"{target} answers with a message of {sizes} of this client; ask for less at once")
    return MediaError(
        f"the message has {sizes} of {target}; send the picture as a JPEG, or as a stream of bytes (client track), "
        "or have the operator raise message_bytes"
    )


def rich_status(metadata: Iterable[tuple[str, str | bytes]] | None) -> status_pb2.Status:
    """The google.rpc.Status in the trailers of a call; empty if there is none."""
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


def detail(status: status_pb2.Status, kind: type[D]) -> D | None:
    """The first detail of type ``kind``; None if there is none."""
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


class Retry:
    """Backoff of a broken stream: how long to wait before a retry, and when to give up.

    Waits grow from 0.1 s to 5 s and are randomised, so that the clients of a server do not return at the same time.
    """

    def __init__(
        self,
        patience_seconds: float,
        first_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Give up ``patience_seconds`` after the last response, or ``first_seconds`` if there never was one."""
        self._later_patience = patience_seconds
        self._patience = min(first_seconds, patience_seconds)
        self._clock = clock
        self._chance = chance
        self._heard_at = clock()
        self._pause = _FIRST_PAUSE_SECONDS
        self._is_heard = False

    def received(self) -> None:
        """A response arrived: the backoff starts anew."""
        self._patience = self._later_patience
        self._is_heard = True
        self._heard_at = self._clock()
        self._pause = _FIRST_PAUSE_SECONDS

    def pause_after(self, error: AcfdError) -> float:
        """Seconds to wait after ``error``. A lack of capacity is retried only to resume a stream that had started.

        Raises:
            AcfdError: ``error``, if a retry is useless or the time is over.
        """
        left = self._patience - (self._clock() - self._heard_at)
        can_retry = isinstance(error, Unreachable) or (isinstance(error, Refused) and self._is_heard)
        if not can_retry or left <= 0:
            raise error
        least = error.retry_seconds if isinstance(error, Refused) else None
        pause = max(least or 0.0, self._pause * (0.5 + self._chance()))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return min(pause, left)
