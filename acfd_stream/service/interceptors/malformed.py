"""Bytes that are not the message of their method end the call like any other invalid request.

gRPC itself answers INTERNAL, which blames the server. It also ends such a call twice and then waits forever, so that
each call leaks 3 KiB of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from acfd_stream.errors import ConfigError
from acfd_stream.service.handlers import rewrapped


@dataclass(frozen=True)
class _Malformed:
    """Placeholder for a request that could not be parsed."""

    byte_count: int


class MalformedInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Makes a request that cannot be parsed raise ConfigError; must run inside StatusInterceptor."""

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler, which gets parsed requests only."""
        handler = continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        is_stream = handler.request_streaming
        return rewrapped(
            handler,
            lambda behaviour: (
                lambda requests, context: behaviour(
                    map(_checked, requests) if is_stream else _checked(requests), context
                )
            ),
            _lenient(handler.request_deserializer),
        )


def _lenient(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserializer(data)
        except Exception:  # the type depends on the implementation of protobuf
            return _Malformed(len(data))

    return read


def _checked(request: Any) -> Any:
    if isinstance(request, _Malformed):
        raise ConfigError(f"request must be a message of the method, got {request.byte_count} bytes of another kind")
    return request
