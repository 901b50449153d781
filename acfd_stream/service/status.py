"""Errors as callers see them: the only place where one becomes a gRPC status with google.rpc details.

| error | status | details |
|---|---|---|
| ConfigError, ShapeError | INVALID_ARGUMENT | BadRequest |
| MediaError | INVALID_ARGUMENT | ErrorInfo MEDIA |
| ResumeError | FAILED_PRECONDITION | ErrorInfo RESUME |
| OverloadedError | RESOURCE_EXHAUSTED | RetryInfo, ErrorInfo OVERLOADED |
| StatusError | what it says | ErrorInfo, RetryInfo where a later try may succeed |
| any other | INTERNAL | ErrorInfo; the traceback goes to the log |
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from acfd_stream.errors import AcfdError, ConfigError, MediaError, OverloadedError, ResumeError, ShapeError
from acfd_stream.service.handlers import rewrapped
from acfd_stream.wire.messages import duration_pb

DOMAIN = "acfd_stream"
RETRY_SECONDS = 1.0
"""When one who was refused for lack of room may ask again, where the error does not say."""
_MESSAGE_CHARACTERS = 1000  # a status travels in a trailer, and those are bounded

_log = logging.getLogger(__name__)


class StatusError(AcfdError):
    """An error that knows its status.

    Args:
        code: the status.
        reason: for programs, in UPPER_SNAKE_CASE.
        message: for people: what, where, what to do.
        retry_seconds: when a later try may succeed; None: never.
        metadata: for programs, besides the reason.
        details: google.rpc messages that say more.
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
    """What a server says that is about to stop."""
    message = "the server is draining; go on at another one, or when it is back"
    return StatusError(grpc.StatusCode.UNAVAILABLE, "DRAINING", message, retry_seconds=retry_seconds)


def not_found(what: str, name: str) -> StatusError:
    """What is said of a name that is unknown, or somebody else's."""
    return StatusError(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"there is no {what} {name!r} of yours")


def status_of(error: BaseException) -> status_pb2.Status:
    """The status that stands for ``error``, with its details."""
    code, details = _code_and_details(error)
    status = status_pb2.Status(code=code.value[0], message=_message(error))
    for detail in details:
        status.details.add().Pack(detail)
    return status


class _Context(Protocol):
    """A call, as far as it is ended here; grpc ships no types."""

    def abort_with_status(self, status: Any) -> NoReturn: ...


def abort(context: _Context, error: BaseException) -> NoReturn:
    """End the call of ``context`` with the status of ``error``."""
    context.abort_with_status(rpc_status.to_status(status_of(error)))


class StatusInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Lets what a method raises end its call with the right status."""

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The method's handler with its errors translated."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        translated = _translated_stream if handler.response_streaming else _translated
        return rewrapped(handler, lambda behaviour: translated(behaviour, method))


def _translated(inner: Callable[[Any, Any], Any], method: str) -> Callable[[Any, Any], Any]:
    def call(request: Any, context: Any) -> Any:
        try:
            return inner(request, context)
        except Exception as error:
            _end(context, error, method)

    return call


def _translated_stream(inner: Callable[[Any, Any], Any], method: str) -> Callable[[Any, Any], Any]:
    def call(request: Any, context: Any) -> Any:
        try:
            yield from inner(request, context)
        except Exception as error:
            _end(context, error, method)

    return call


def _end(context: Any, error: Exception, method: str) -> NoReturn:
    if context.code() is not None:  # aborted on purpose, further in
        raise error
    if not isinstance(error, AcfdError) and context.is_active():
        _log.error("%s failed: %s", method, error, exc_info=error)
    abort(context, error)


def _code_and_details(error: BaseException) -> tuple[grpc.StatusCode, list[Message]]:
    if isinstance(error, StatusError):
        info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
        retry = [] if error.retry_seconds is None else [_retry(error.retry_seconds)]
        return error.code, [info, *retry, *error.details]
    if isinstance(error, ConfigError | ShapeError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=_field(error), description=_message(error))
        return grpc.StatusCode.INVALID_ARGUMENT, [error_details_pb2.BadRequest(field_violations=[violation])]
    if isinstance(error, MediaError):
        return grpc.StatusCode.INVALID_ARGUMENT, [error_details_pb2.ErrorInfo(reason="MEDIA", domain=DOMAIN)]
    if isinstance(error, ResumeError):
        return grpc.StatusCode.FAILED_PRECONDITION, [error_details_pb2.ErrorInfo(reason="RESUME", domain=DOMAIN)]
    if isinstance(error, OverloadedError):
        info = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain=DOMAIN)
        return grpc.StatusCode.RESOURCE_EXHAUSTED, [info, _retry(getattr(error, "retry_seconds", RETRY_SECONDS))]
    return grpc.StatusCode.INTERNAL, [error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN)]


def _field(error: AcfdError) -> str:
    """The setting that a message names in front: "size must be …"."""
    found = re.match(r"([a-z_.]+) (?:must|is|has)\b", str(error))
    return found[1] if found else ""


def _retry(seconds: float) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(retry_delay=duration_pb(seconds))


def _message(error: BaseException) -> str:
    is_ours = isinstance(error, AcfdError)
    text = str(error) if is_ours else f"this is a fault of the program ({type(error).__name__}); its log says more"
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_CHARACTERS else line[: _MESSAGE_CHARACTERS - 1] + "…"
