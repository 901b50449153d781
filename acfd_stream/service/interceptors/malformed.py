"""Bytes that are not the message of their method end the call as any other bad request does.

gRPC's own answer is INTERNAL, which blames the server; and it ends such a call twice, waits for ever to hear that the
second end was sent, and so never forgets the call: 3 KiB of the server's memory for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from acfd_stream.errors import ConfigError
from acfd_stream.service.handlers import rewrapped


@dataclass(frozen=True)
class _Malformed:
    """Stands for a request that could not be read."""

    byte_count: int


class MalformedInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Lets a request that cannot be read raise ConfigError where it is used; to stand inside of what translates it."""

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The method's handler, which gets whole requests only."""
        handler = continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        checked = _checked_stream if handler.request_streaming else _checked_one
        return rewrapped(
            handler,
            lambda behaviour: lambda requests, context: behaviour(checked(requests), context),
            _lenient(handler.request_deserializer),
        )


def _lenient(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserializer(data)
        except Exception:  # protobuf's own, which differs between its implementations
            return _Malformed(len(data))

    return read


def _checked_one(request: Any) -> Any:
    if isinstance(request, _Malformed):
        raise ConfigError(f"request must be a message of the method, got {request.byte_count} bytes that are none")
    return request


def _checked_stream(requests: Iterator[Any]) -> Iterator[Any]:
    return map(_checked_one, requests)
