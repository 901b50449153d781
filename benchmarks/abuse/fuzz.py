"""Sends mutated requests and streams to a running server: each must end in time with a suitable status."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2
from benchmarks.abuse import mutate
from benchmarks.abuse.play import Ending, channel_to, config, media_requests, play

CALL_SECONDS = 30.0
_TRACK = "/acfd_stream.v1.FaceTrackService/"
_JOBS = "/acfd_stream.v1.JobService/"
UNARY: dict[str, Callable[[], Any]] = {
    f"{_TRACK}Detect": face_track_pb2.DetectRequest,
    f"{_TRACK}GetCapacity": face_track_pb2.GetCapacityRequest,
    f"{_TRACK}GetStreamStats": face_track_pb2.GetStreamStatsRequest,
    f"{_TRACK}ListModels": face_track_pb2.ListModelsRequest,
    f"{_JOBS}SubmitJob": job_pb2.SubmitJobRequest,
    f"{_JOBS}GetJob": job_pb2.GetJobRequest,
    f"{_JOBS}ListJobs": job_pb2.ListJobsRequest,
    f"{_JOBS}CancelJob": job_pb2.CancelJobRequest,
}
SERVER_STREAMS: dict[str, Callable[[], Any]] = {
    f"{_TRACK}TrackUri": face_track_pb2.TrackUriRequest,
    f"{_JOBS}StreamJobResults": job_pb2.StreamJobResultsRequest,
}
_FAULTS = ("INTERNAL", "UNKNOWN", "DATA_LOSS", "ABORTED")
_NOT_OURS = ("deserializing", "RST_STREAM", "Received RST", "received trailers")  # gRPC's message for broken bytes


@dataclass
class Ammunition:
    """Material to mutate."""

    clips: list[bytes]
    pictures: list[bytes]
    tokens: list[bytes] = field(default_factory=list)

    def media(self, rng: random.Random) -> bytes:
        """A clip, mutated or intact."""
        clip = rng.choice(self.clips)
        return clip if rng.random() < 0.2 else mutate.bent(clip, rng)


@dataclass(frozen=True)
class Shot:
    """One attempt and its result."""

    number: int
    kind: str
    code: str
    details: str

    @property
    def is_fault(self) -> bool:
        """Whether the server reported an internal error or did not answer in time."""
        is_ours = self.code in _FAULTS and not any(text in self.details for text in _NOT_OURS)
        return is_ours or self.code == "DEADLINE_EXCEEDED"


def fuzz(address: str, ammunition: Ammunition, count: int, seed: int) -> list[Shot]:
    """Run ``count`` attempts; attempt ``n`` depends on ``seed`` and ``n`` only, so it can be repeated alone."""
    return [attempt(address, ammunition, seed, number) for number in range(count)]


def attempt(address: str, ammunition: Ammunition, seed: int, number: int) -> Shot:
    """One attempt."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.choice(list(KINDS))
    with channel_to(address) as channel:
        code, details = KINDS[kind](address, channel, ammunition, rng)
    return Shot(number, kind, code, details)


def totals(shots: list[Shot]) -> dict[str, int]:
    """Attempts by kind and status."""
    return dict(sorted(Counter(f"{shot.kind} {shot.code}" for shot in shots).items()))


def _code_of(call: Callable[[], Any]) -> tuple[str, str]:
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def _ended(ending: Ending) -> tuple[str, str]:
    return ending.code, ending.details


def _raw_call(channel: grpc.Channel, method: str, data: bytes, rng: random.Random) -> tuple[str, str]:
    metadata = mutate.metadata_like(rng)
    if method in SERVER_STREAMS:
        stream = channel.unary_stream(method)
        return _code_of(lambda: list(stream(data, timeout=CALL_SECONDS, metadata=metadata)))
    unary = channel.unary_unary(method)
    return _code_of(lambda: unary(data, timeout=CALL_SECONDS, metadata=metadata))


def _garbage(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """Bytes that are no message, or a mutated one."""
    methods = UNARY | SERVER_STREAMS
    method = rng.choice(list(methods))
    whole = mutate.filled(methods[method](), rng).SerializeToString()
    return _raw_call(channel, method, mutate.bent(whole, rng), rng)


def _values(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """Messages with arbitrary field values."""
    methods = UNARY | SERVER_STREAMS
    method = rng.choice(list(methods))
    return _raw_call(channel, method, mutate.filled(methods[method](), rng).SerializeToString(), rng)


def _picture(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """Mutated pictures, and small ones that claim to be large."""
    huge = mutate.huge_png(rng.choice((1, 4096, 60_000, 2**31 - 1)), rng.choice((1, 4097, 60_000)))
    image = rng.choice((mutate.bent(rng.choice(ammunition.pictures), rng), huge, rng.randbytes(1000)))
    request = face_track_pb2.DetectRequest(image=image)
    stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
    return _code_of(lambda: stub.Detect(request, timeout=CALL_SECONDS))


def _media(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """A valid stream of mutated media."""
    requests = [config(mode=rng.choice((1, 2)), name="fuzz"), *media_requests(ammunition.media(rng))]
    return _ended(play(channel, requests, timeout_seconds=CALL_SECONDS))


def _order(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """Messages of a stream in arbitrary order and number."""
    token = rng.choice(ammunition.tokens) if ammunition.tokens else b""
    requests = mutate.track_requests(ammunition.media(rng), rng, token)
    return _ended(play(channel, requests, timeout_seconds=CALL_SECONDS, metadata=mutate.metadata_like(rng)))


def _frames(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """Single frames, some of them mutated, with arbitrary times."""
    requests = [config(mode=rng.choice((1, 2)), name="fuzz")]
    pts = 0
    for _ in range(rng.choice((1, 5, 20))):
        pts += rng.choice((3000,) * 30 + (0, -1, 1, 10**7, 2**40))
        picture = rng.choice(ammunition.pictures)
        image = mutate.bent(picture, rng) if rng.random() < 0.3 else picture
        frame = face_track_pb2.EncodedFrame(image=image, pts=max(-(2**63), min(2**63 - 1, pts)))
        requests.append(face_track_pb2.TrackRequest(frame=frame))
    return _ended(play(channel, requests, timeout_seconds=CALL_SECONDS))


def _token(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """A resume token that is mutated or forged."""
    token = mutate.token_like(rng.choice(ammunition.tokens) if ammunition.tokens else b"", rng)
    requests = [config(mode=1, resume_token=token, name="fuzz"), *media_requests(rng.choice(ammunition.clips))]
    return _ended(play(channel, requests, timeout_seconds=CALL_SECONDS))


def _unknown(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """Methods that do not exist."""
    method = rng.choice((f"{_TRACK}Nothing", "/a.B/C", "/", f"{_TRACK}Track/x", "/" + "x" * 3000))
    unary = channel.unary_unary(method)
    return _code_of(lambda: unary(rng.randbytes(10), timeout=CALL_SECONDS))


def _wrong_kind(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """A stream's method called as a unary one, and the other way round."""
    if rng.random() < 0.5:
        unary = channel.unary_unary(f"{_TRACK}Track")
        return _code_of(lambda: unary(config().SerializeToString(), timeout=CALL_SECONDS))
    many = channel.stream_stream(rng.choice(list(UNARY)))
    data = [rng.randbytes(10)] * rng.choice((0, 1, 5))
    return _code_of(lambda: list(many(iter(data), timeout=CALL_SECONDS)))


def _socket(address: str, channel: grpc.Channel, ammunition: Ammunition, rng: random.Random) -> tuple[str, str]:
    """Bytes that are not gRPC or HTTP/2, or that stop in the middle."""
    host, _, port = address.rpartition(":")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
    hello = rng.choice((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", preface, b"", rng.randbytes(9)))
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        try:
            connection.sendall(hello + mutate.bent(rng.randbytes(rng.choice((0, 50, 5000))), rng))
            if rng.random() < 0.5:  # a reset instead of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        except OSError:
            pass
    return "CLOSED", ""


KINDS: dict[str, Callable[[str, grpc.Channel, Ammunition, random.Random], tuple[str, str]]] = {
    "garbage": _garbage,
    "values": _values,
    "picture": _picture,
    "media": _media,
    "order": _order,
    "frames": _frames,
    "token": _token,
    "unknown": _unknown,
    "wrong_kind": _wrong_kind,
    "socket": _socket,
}
