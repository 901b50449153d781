"""What interceptors do with the handlers of methods: put something of their own around what a handler does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

HEALTH_METHODS, REFLECTION_METHODS = "/grpc.health.v1.Health/", "/grpc.reflection."
"""How the names of methods begin that probes and tools call."""


def rewrapped(
    handler: Any,
    wrap: Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]],
    deserializer: Callable[[bytes], Any] | None = None,
) -> Any:
    """``handler`` with ``wrap`` around what it does; streams stay streams.

    Args:
        handler: of a method.
        wrap: takes what the handler does, and gives what it shall do.
        deserializer: bytes → request; None: the handler's own.
    """
    kinds = {
        (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
        (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
        (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
    }
    make, behaviour = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(wrap(behaviour), deserializer or handler.request_deserializer, handler.response_serializer)
