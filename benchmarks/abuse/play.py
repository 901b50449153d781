"""Plays one stream as a valid, faulty or vanishing client, and records the result."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, stream_pb2

CHUNK_BYTES = 64 * 2**10
PATIENCE_SECONDS = 60.0
_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]  # every channel its own connection


@dataclass
class Ending:
    """Result of a call."""

    code: str = "OK"
    details: str = ""
    frames: list[Any] = field(default_factory=list)  # FrameResult messages
    start: Any = None
    end: Any = None
    token: bytes = b""  # of the last resume point
    next_index: int = 0  # of the last resume point

    def take(self, message: Any) -> None:
        """Record one answer."""
        kind = message.WhichOneof("response")
        if kind == "start":
            self.start = message.start
        elif kind == "results":
            self.frames += message.results.frames
        elif kind == "resume_point":
            self.token, self.next_index = message.resume_point.token, message.resume_point.next_index
        elif kind == "end":
            self.end = message.end


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]  # grpc ships no types
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """Sends a token with every call."""

    def __init__(self, token: str) -> None:
        self._token = token

    def _sent(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._token}")]
        return continuation(_Details(details, metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _sent


class _Details(grpc.ClientCallDetails):  # type: ignore[misc]
    def __init__(self, details: Any, metadata: list[tuple[str, str]]) -> None:
        self.method, self.timeout, self.metadata = details.method, details.timeout, metadata
        self.credentials, self.wait_for_ready = details.credentials, details.wait_for_ready
        self.compression = details.compression


def channel_to(address: str, token: str = "", compression: grpc.Compression | None = None) -> grpc.Channel:
    """A separate connection, whose calls have ``token`` if it is not empty."""
    channel = grpc.insecure_channel(address, options=_OPTIONS, compression=compression)
    return grpc.intercept_channel(channel, _Bearer(token)) if token else channel


def config(**settings: Any) -> Any:
    """The first message of a stream."""
    return face_track_pb2.TrackRequest(config=stream_pb2.TrackConfig(**settings))


def media_requests(media: bytes) -> Iterator[Any]:
    """The messages after the first."""
    for offset in range(0, len(media), CHUNK_BYTES):
        yield face_track_pb2.TrackRequest(data=media[offset : offset + CHUNK_BYTES])


def stream_of(media: bytes | Path, **settings: Any) -> Iterator[Any]:
    """A valid stream."""
    yield config(**settings)
    yield from media_requests(media if isinstance(media, bytes) else media.read_bytes())


def play(
    channel: grpc.Channel,
    requests: Iterable[Any],
    *,
    watch: Callable[[Any, Ending], None] = lambda call, ending: None,
    timeout_seconds: float = PATIENCE_SECONDS,
    metadata: tuple[tuple[str, str | bytes], ...] = (),
) -> Ending:
    """Play a stream to its end; ``watch`` sees the call before the first answer and after each, and may cancel it."""
    ending = Ending()
    call = face_track_pb2_grpc.FaceTrackServiceStub(channel).Track(
        iter(requests), timeout=timeout_seconds, metadata=metadata
    )
    try:
        watch(call, ending)
        for message in call:
            ending.take(message)
            watch(call, ending)
    except grpc.RpcError as error:
        ending.code, ending.details = error.code().name, error.details() or ""
    return ending


class Break(Exception):
    """Ends a request iterator in the middle of its stream."""


def broken_stream(media: bytes, rng: random.Random) -> Iterator[Any]:
    """A stream whose client stops sending at some point: it ends early or fails."""
    messages = list(stream_of(media, mode=rng.choice((1, 2)), name="soak"))
    yield from messages[: rng.randrange(len(messages) + 1)]
    if rng.random() < 0.3:
        raise Break


def cancelling(rng: random.Random) -> Callable[[Any, Ending], None]:
    """A watch that cancels the call at a random answer, or at a random moment."""
    at_answer = rng.choice((0, 1, 2, 3, 8))
    state = {"seen": 0}

    def watch(call: Any, ending: Ending) -> None:
        if state["seen"] == 0 and rng.random() < 0.5:
            timer = threading.Timer(rng.random() * 0.5, call.cancel)
            timer.daemon = True
            timer.start()
        if state["seen"] >= at_answer:
            call.cancel()
        state["seen"] += 1

    return watch
