"""Exceptions → gRPC status with google.rpc details; no other module does this.

| error | status | details |
|---|---|---|
| ConfigError, ShapeError | INVALID_ARGUMENT | BadRequest |
| MediaError | INVALID_ARGUMENT | ErrorInfo MEDIA |
| ResumeError | FAILED_PRECONDITION | ErrorInfo RESUME |
| DecoderMemoryError | RESOURCE_EXHAUSTED | ErrorInfo DECODER_MEMORY |
| OverloadedError | RESOURCE_EXHAUSTED | RetryInfo, ErrorInfo OVERLOADED |
| StatusError | its own | ErrorInfo; RetryInfo if a retry may succeed |
| any other | INTERNAL | ErrorInfo; the traceback is logged |
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.any_pb2 import Any as Any_
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from acfd_stream.errors import (
    AcfdError,
    ConfigError,
    DecoderMemoryError,
    MediaError,
    OverloadedError,
    ResumeError,
    ShapeError,
)
from acfd_stream.service.handlers import surrounded
from acfd_stream.wire.messages import duration_pb

DOMAIN = "acfd_stream"
RETRY_SECONDS = 1.0
"""Retry delay of an OverloadedError that does not have one."""
_MESSAGE_BYTES = 1000  # as they are sent
_VALUE_BYTES = 200  # of the metadata of an ErrorInfo
_STATUS_BYTES = 4096  # a status is sent in two trailers, and a peer takes 8 KiB of all of them

_log = logging.getLogger(__name__)


class StatusError(AcfdError):
    """An error with its gRPC status.

    Args:
        code: the status.
        reason: for programs, in UPPER_SNAKE_CASE.
        message: for people: what happened, where, and what to do.
        retry_seconds: delay after which a retry may succeed; None: a retry is useless.
        metadata: for programs, besides the reason.
        details: further google.rpc messages.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        retry_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
        details: Sequence[Message] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.retry_seconds = code, reason, retry_seconds
        self.metadata, self.details = dict(metadata or {}), tuple(details)


def draining(retry_seconds: float = RETRY_SECONDS) -> StatusError:
    """The error of a server that is about to stop."""
    message = "the server is draining; continue on another server, or on this one when it is back"
    return StatusError(grpc.StatusCode.UNAVAILABLE, "DRAINING", message, retry_seconds=retry_seconds)


def not_found(what: str, name: str) -> StatusError:
    """The error for a name that is unknown or belongs to another caller."""
    return StatusError(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"there is no {what} {name!r} of yours")


def status_of(error: BaseException) -> status_pb2.Status:
    """The status of ``error``, with its details."""
    code, details = _code_and_details(error)
    status = status_pb2.Status(code=code.value[0], message=_message(error))
    for detail in details:
        packed = Any_()
        packed.Pack(detail)
        if status.ByteSize() + packed.ByteSize() <= _STATUS_BYTES:
            status.details.append(packed)
    return status


class _Context(Protocol):
    """The part of a call's context that is used here; grpc ships no types."""

    def abort_with_status(self, status: Any) -> NoReturn: ...


def abort(context: _Context, error: BaseException) -> NoReturn:
    """End the call of ``context`` with the status of ``error``."""
    context.abort_with_status(rpc_status.to_status(status_of(error)))


def refusing(handler: Any, error: BaseException) -> Any:
    """A handler that ends the call with the status of ``error`` without waiting for its request."""

    def refuse(requests: Any, context: Any) -> Any:
        abort(context, error)

    if handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.stream_unary_rpc_method_handler(refuse)


class StatusInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Ends a call with the status of the exception that its method raised."""

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler, with its errors translated."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        return surrounded(handler, lambda context: _translated(context, handler_call_details.method))


@contextmanager
def _translated(context: Any, method: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if context.code() is not None:  # the method has aborted the call itself
            raise
        if not isinstance(error, AcfdError) and context.is_active():
            _log.error("%s failed: %s", method, error, exc_info=error)
        abort(context, error)


def _code_and_details(error: BaseException) -> tuple[grpc.StatusCode, list[Message]]:
    if isinstance(error, StatusError):
        metadata = {key: _cut(value, _VALUE_BYTES) for key, value in error.metadata.items()}
        info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
        retry = [] if error.retry_seconds is None else [_retry(error.retry_seconds)]
        return error.code, [info, *retry, *error.details]
    if isinstance(error, ConfigError | ShapeError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=_field(error), description=_message(error))
        return grpc.StatusCode.INVALID_ARGUMENT, [error_details_pb2.BadRequest(field_violations=[violation])]
    if isinstance(error, MediaError):
        return grpc.StatusCode.INVALID_ARGUMENT, [error_details_pb2.ErrorInfo(reason="MEDIA", domain=DOMAIN)]
    if isinstance(error, ResumeError):
        return grpc.StatusCode.FAILED_PRECONDITION, [error_details_pb2.ErrorInfo(reason="RESUME", domain=DOMAIN)]
    if isinstance(error, DecoderMemoryError):
        return grpc.StatusCode.RESOURCE_EXHAUSTED, [error_details_pb2.ErrorInfo(reason="DECODER_MEMORY", domain=DOMAIN)]
    if isinstance(error, OverloadedError):
        info = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain=DOMAIN)
        return grpc.StatusCode.RESOURCE_EXHAUSTED, [info, _retry(getattr(error, "retry_seconds", RETRY_SECONDS))]
    return grpc.StatusCode.INTERNAL, [error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN)]


def _field(error: AcfdError) -> str:
    """The setting at the start of a message such as "size must be …"."""
    found = re.match(r"([a-z_.]+) (?:must|is|has)\b", str(error))
    return found[1] if found else ""


def _retry(seconds: float) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(retry_delay=duration_pb(seconds))


def _message(error: BaseException) -> str:
    is_ours = isinstance(error, AcfdError)
    text = str(error) if is_ours else f"internal error ({type(error).__name__}); see the log of the server"
    return _cut(" ".join(text[: 2 * _MESSAGE_BYTES].split()), _MESSAGE_BYTES)


def _cut(text: str, most_bytes: int) -> str:
    """``text``, or its beginning: HTTP/2 sends every byte that is not printable ASCII as three."""
    text = text.encode(errors="backslashreplace").decode()  # a file name may have bytes that are no text
    left = most_bytes
    for place, sign in enumerate(text[: most_bytes + 1]):
        left -= 1 if " " <= sign <= "~" and sign != "%" else 3 * len(sign.encode())
        if left < 0:
            return text[: max(0, place - 9)] + "…"  # which takes as much as nine
    return text
