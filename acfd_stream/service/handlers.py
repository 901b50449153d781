"""How interceptors wrap the behaviour of a gRPC handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc

HEALTH_METHODS, REFLECTION_METHODS = "/grpc.health.v1.Health/", "/grpc.reflection."
"""Prefixes of the methods that probes and tools call."""
TRACK_SERVICE, JOB_SERVICE = "/acfd_stream.v1.FaceTrackService/", "/acfd_stream.v1.JobService/"
"""Prefixes of the methods of the two services."""


def rewrapped(
    handler: Any,
    wrap: Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]],
    deserializer: Callable[[bytes], Any] | None = None,
) -> Any:
    """``handler`` with its behaviour wrapped; its shape (unary or stream) stays.

    Args:
        handler: of a method.
        wrap: the behaviour → the new behaviour.
        deserializer: bytes → request; None: that of ``handler``.
    """
    kinds = {
        (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
        (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
        (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
    }
    make, behaviour = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(wrap(behaviour), deserializer or handler.request_deserializer, handler.response_serializer)


def surrounded(handler: Any, surround: Callable[[Any], AbstractContextManager[object]]) -> Any:
    """``handler``, whose behaviour runs inside ``surround(context)``; that of a stream until its last response."""

    def wrap(behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def respond(request: Any, context: Any) -> Any:
            with surround(context):
                return behaviour(request, context)

        def stream(request: Any, context: Any) -> Iterator[Any]:
            with surround(context):
                yield from behaviour(request, context)

        return stream if handler.response_streaming else respond

    return rewrapped(handler, wrap)
