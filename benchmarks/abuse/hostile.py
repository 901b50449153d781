"""What one hostile caller does: each attack is a context that lasts as long as its ``with`` block.

They use what any caller may send, over loopback. Used by ``benchmarks.neighbour`` and ``benchmarks.callers_soak``.
"""

from __future__ import annotations

import contextlib
import io
import random
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import cv2
import grpc
import numpy as np

from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc
from benchmarks.abuse.play import CHUNK_BYTES, channel_to, config, play

SILENT_CALLS = 400
SILENT_CONNECTIONS = 300
ZEROS_BYTES = 256 * 2**20
FALSE_SIDE = 12_000
BOMB_BYTES = 256 * 2**20
_SILENT_METHODS = (
    "/grpc.health.v1.Health/Check",
    "/acfd_stream.v1.FaceTrackService/ListModels",
    "/acfd_stream.v1.FaceTrackService/Track",
    "/acfd_stream.v1.JobService/GetJob",
)

Attack = Callable[[str, str], AbstractContextManager[None]]
"""Takes the address of the server, HOST:PORT, and the access token of the caller; "": it has none."""


@contextmanager
def silent_calls(address: str, token: str = "") -> Iterator[None]:
    """Calls of four methods that send their headers and no message."""
    silence = threading.Event()

    def nothing() -> Iterator[bytes]:
        silence.wait()
        yield from ()

    with contextlib.ExitStack() as opened:
        channels = [opened.enter_context(channel_to(address, token)) for _ in range(len(_SILENT_METHODS))]
        calls = [
            channel.stream_stream(method)(nothing())
            for channel, method in zip(channels, _SILENT_METHODS, strict=True)
            for _ in range(SILENT_CALLS // len(_SILENT_METHODS))
        ]
        try:
            yield
        finally:
            silence.set()
            for call in calls:
                call.cancel()


@contextmanager
def silent_connections(address: str, token: str = "") -> Iterator[None]:
    """TCP connections that send nothing."""
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as opened:
        for _ in range(SILENT_CONNECTIONS):
            with contextlib.suppress(OSError):
                opened.enter_context(socket.create_connection((host, int(port)), 2))
        yield


@contextmanager
def _again_and_again(act: Callable[[], object], threads: int) -> Iterator[None]:
    """Run ``act`` on ``threads`` threads, over and over, until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            with contextlib.suppress(grpc.RpcError):
                act()
            over.wait(0.02)

    workers = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        over.set()
        for worker in workers:
            worker.join(30)


def false_jpeg(side: int = FALSE_SIDE) -> bytes:
    """A JPEG of 64×64 pixels whose header claims ``side`` × ``side``."""
    data = bytearray(cv2.imencode(".jpg", np.full((64, 64, 3), 128, np.uint8))[1].tobytes())
    frame_header = data.index(b"\xff\xc0")
    data[frame_header + 5 : frame_header + 9] = struct.pack(">HH", side, side)
    return bytes(data)


@contextmanager
def false_sizes(address: str, token: str = "") -> Iterator[None]:
    """Pictures whose headers claim another size, four calls at once."""
    request = face_track_pb2.DetectRequest(image=false_jpeg())
    with channel_to(address, token) as channel:
        stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
        with _again_and_again(lambda: stub.Detect(request, timeout=20), 4):
            yield


def endless_zeros(total_bytes: int = ZEROS_BYTES) -> Iterator[Any]:
    """A Motion JPEG stream that is one header and then zeros."""
    yield config(mode=1, name="zeros")
    head = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    yield face_track_pb2.TrackRequest(data=head[: len(head) // 2])
    zeros = bytes(CHUNK_BYTES)
    for _ in range(total_bytes // CHUNK_BYTES):
        yield face_track_pb2.TrackRequest(data=zeros)


@contextmanager
def endless_parsers(address: str, token: str = "") -> Iterator[None]:
    """Streams of zeros behind a header, compressed on the wire, two at once."""
    with (
        channel_to(address, token, grpc.Compression.Gzip) as channel,
        _again_and_again(lambda: play(channel, endless_zeros()), 2),
    ):
        yield


def forged_token(rng: random.Random) -> bytes:
    """A resume token of a hostile caller: small, and huge when it is inflated."""
    packer = zlib.compressobj(9)
    body = io.BytesIO()
    body.write(packer.compress(b'{"picture":"'))
    for _ in range(BOMB_BYTES // 2**20):
        body.write(packer.compress(b"A" * 2**20))
    body.write(packer.compress(b'"}') + packer.flush())
    return b"AFT\x01" + rng.randbytes(16) + body.getvalue()


@contextmanager
def forged_tokens(address: str, token: str = "") -> Iterator[None]:
    """Streams that begin with a forged resume token, four at once."""
    forged = forged_token(random.Random(0))
    with channel_to(address, token) as channel:
        requests = [config(mode=1, resume_token=forged)]
        with _again_and_again(lambda: play(channel, iter(requests)), 4):
            yield


ATTACKS: dict[str, Attack] = {
    "silent calls": silent_calls,
    "false sizes": false_sizes,
    "endless parsers": endless_parsers,
    "forged resume tokens": forged_tokens,
    "silent connections": silent_connections,
}
"""The five ways by which one caller could take a service down."""
