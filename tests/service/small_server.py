"""A real gRPC server on port 0 with the methods of FaceTrackService, but nothing behind them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from acfd_stream.service.calls.handler import CallLimits, Handlers
from acfd_stream.service.calls.pool import CallPool
from acfd_stream.service.calls.server import LoopServer
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, stream_pb2, types_pb2

LIMITS = CallLimits(first_message_seconds=30.0)
SERVICE = "acfd_stream.v1.FaceTrackService"


class EchoServicer(face_track_pb2_grpc.FaceTrackServiceServicer):
    """Streams say that they have started, and end when their client says so or goes."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def Track(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        for number, request in enumerate(request_iterator):
            self.seen.append(request.WhichOneof("request"))
            if number == 0:
                info = types_pb2.MediaInfo(time_base=types_pb2.Rational(numerator=1, denominator=25))
                yield face_track_pb2.TrackResponse(start=stream_pb2.TrackStart(stream_id="s", info=info))
        yield face_track_pb2.TrackResponse(end=stream_pb2.TrackEnd(is_complete=True))

    def GetCapacity(self, request: Any, context: Any) -> Any:  # noqa: N802
        return face_track_pb2.GetCapacityResponse(fits=True, headroom=0.5, reason="there is room")

    def Detect(self, request: Any, context: Any) -> Any:  # noqa: N802
        return face_track_pb2.DetectResponse()


@contextlib.contextmanager
def small_server(
    interceptors: Sequence[grpc.ServerInterceptor] = (),
    servicer: Any = None,
    credentials: grpc.ServerCredentials | None = None,
    add: Sequence[Any] = (),
    limits: CallLimits = LIMITS,
    stop_seconds: float = 0.0,
    options: Sequence[tuple[str, int]] = (),
) -> Iterator[str]:
    """The address of a running server; ``add`` are called with it before it starts."""
    streams, calls = CallPool(16, "streams"), CallPool(16, "calls")
    server = LoopServer(Handlers(interceptors, limits, streams, calls), options)
    face_track_pb2_grpc.add_FaceTrackServiceServicer_to_server(servicer or EchoServicer(), server)
    for one in add:
        one(server)
    port = server.add_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(stop_seconds)
        streams.close()
        calls.close()


class Held:
    """Media that begins and then waits, so that a stream stays open until it is let go."""

    def __init__(self) -> None:
        self._go = threading.Event()

    def __call__(self) -> Iterator[bytes]:
        yield b"first"
        self._go.wait(30)

    def let_go(self) -> None:
        self._go.set()
