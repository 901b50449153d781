"""What a call's status means to a client: one of our errors, and whether trying again is of use."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2

from acfd_stream.errors import AccessError, AcfdError, ConfigError, MediaError, OverloadedError, ServiceError
from acfd_stream.wire.messages import seconds_of

D = TypeVar("D")
DETAILS_KEY = "grpc-status-details-bin"
_CODE = grpc.StatusCode
_TLS_FAULT = re.compile(r"(?i)handshake|certificate|ssl_error|wrong_version_number|peer name|tls")
_BROKEN_WRITE = (_CODE.INTERNAL, "Internal error from Core")
"""What grpc.aio makes of a server's own word when that comes in the middle of a write; another try hears it."""
_OF_JOBS = ("JOB_FAILED", "JOB_CANCELLED", "RESULTS_LOST")
"""Reasons that are about a job whose results are read, not about this call: trying again is of no use."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Unreachable(ServiceError):
    """Nobody answers, the connection broke, or the server is draining: another try may succeed."""


class Refused(OverloadedError):
    """The service has no room for this call now."""

    retry_seconds: float | None = None
    """When the service says that a try may succeed; None: it does not say."""


def error_of(error: Any, target: str) -> AcfdError:
    """Our error for a ``grpc.RpcError`` of a call to ``target``; its message is one line."""
    code, text = error.code(), " ".join((error.details() or "").split())
    status = rich_status(error.trailing_metadata())
    info = detail(status, error_details_pb2.ErrorInfo)
    reason = "" if info is None else info.reason
    if reason in _OF_JOBS:
        return ServiceError(f"{target}: {'the job failed: ' if reason == 'JOB_FAILED' else ''}{text}")
    if (code, text) == _BROKEN_WRITE:
        return Unreachable(f"{target} ended the call while it was being sent to")
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
    return Unreachable(f"{target} cannot be reached or is stopping: {text}")


def _refused(text: str, status: status_pb2.Status, target: str) -> AcfdError:
    error = Refused(f"{target} has no room: {text}")
    retry = detail(status, error_details_pb2.RetryInfo)
    if retry is not None:
        error.retry_seconds = seconds_of(retry.retry_delay)
    return error


def rich_status(metadata: Iterable[tuple[str, str | bytes]] | None) -> status_pb2.Status:
    """The google.rpc.Status in a call's trailers; an empty one where there is none."""
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


def detail(status: status_pb2.Status, kind: type[D]) -> D | None:
    """The first detail of a kind."""
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


class Retry:
    """How long to wait before a broken stream is begun again, and when to give up.

    Waits grow from 0.1 s to 5 s and differ by chance, so that not all clients of a server come back at once.
    """

    def __init__(
        self,
        patience_seconds: float,
        first_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Give up once nothing was heard for ``patience_seconds``; for ``first_seconds`` where nothing ever was."""
        self._later_patience = patience_seconds
        self._patience = min(first_seconds, patience_seconds)
        self._clock = clock
        self._chance = chance
        self._heard_at = clock()
        self._pause = _FIRST_PAUSE_SECONDS
        self._is_heard = False

    def heard(self) -> None:
        """The stream goes on."""
        self._patience = self._later_patience
        self._is_heard = True
        self._heard_at = self._clock()
        self._pause = _FIRST_PAUSE_SECONDS

    def pause_after(self, error: AcfdError) -> float:
        """Seconds to wait after ``error``. Who finds no room waits too, but only to go on with what has begun.

        Raises:
            AcfdError: ``error``, where trying again is of no use or nothing was heard for too long.
        """
        left = self._patience - (self._clock() - self._heard_at)
        is_of_use = isinstance(error, Unreachable) or (isinstance(error, Refused) and self._is_heard)
        if not is_of_use or left <= 0:
            raise error
        told = error.retry_seconds if isinstance(error, Refused) else None
        pause = max(told or 0.0, self._pause * (0.5 + self._chance()))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return min(pause, left)
