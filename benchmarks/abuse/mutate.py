"""Invalid requests, streams, media and tokens; one random seed determines everything."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from acfd_stream.service.access import resume_token as tokens
from acfd_stream.v1 import face_track_pb2, stream_pb2

_EDGES = (0, 1, 2, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_FLOATS = (0.0, -0.0, 1e-300, 1.0, 24.0, -1.0, 1e9, 1e300, float("inf"), float("-inf"), float("nan"))
_NAMES = ("", "a", "\0", "ü" * 50, "%s%n", "../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x.mp4")
_LONG = 300_000
_BOUNDS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: (-(2**31), 2**31 - 1),
}


def bent(data: bytes, rng: random.Random) -> bytes:
    """``data`` with some bytes changed, removed, inserted, doubled, blanked or swapped."""
    if not data:
        return rng.randbytes(rng.randint(0, 64))
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        place, length = rng.randrange(len(result) + 1), min(rng.choice((1, 1, 4, 100, 5000)), len(result))
        kind = rng.randrange(6)
        if kind == 0 and place < len(result):
            result[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            result[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            del result[place : place + length]
        elif kind == 3:
            result[place:place] = result[: length * 2]
        elif kind == 4:
            result[place : place + length] = bytes(length)
        else:
            del result[max(1, place) :]
    return bytes(result)


def filled(message: Message, rng: random.Random, depth: int = 0) -> Message:
    """``message`` with some fields set to arbitrary values of their types."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.5:
            continue
        if field.message_type is not None and depth < 4:
            parts = [getattr(message, field.name)]
            if field.is_repeated:
                parts = [parts[0].add() for _ in range(rng.choice((0, 1, 3)))]
            for part in parts:
                part.SetInParent()
                filled(part, rng, depth + 1)
        elif field.message_type is None:
            count = rng.choice((0, 1, 5, 1000)) if field.is_repeated else 1
            values = [_scalar(field, rng) for _ in range(count)]
            if field.is_repeated:
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
    return message


def _scalar(field: Any, rng: random.Random) -> Any:
    if field.type in _BOUNDS:
        low, high = _BOUNDS[field.type]
        return max(low, min(high, rng.choice((*_EDGES, low, high, rng.randint(-9, 9)))))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice((*_NAMES, "x" * rng.choice((10, 1000, _LONG))))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice((b"", b"\0", rng.randbytes(rng.choice((1, 100, 70_000, _LONG)))))
    value = rng.choice(_FLOATS)
    return value if field.type == FieldDescriptor.TYPE_DOUBLE or abs(value) < 3e38 else float("inf")


def pieces(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """``data`` in pieces of random size, sometimes empty or too large."""
    size = rng.choice((100, 1000, 10_000, 65_536, 65_536, 70_000))
    for offset in range(0, len(data), size):
        if rng.random() < 0.02:
            yield b""
        yield data[offset : offset + size]


def track_requests(media: bytes, rng: random.Random, token: bytes = b"") -> list[Any]:
    """The messages of a stream, mostly in wrong order or with wrong content."""
    request = face_track_pb2.TrackRequest
    config = stream_pb2.TrackConfig(
        mode=rng.choice((0, 1, 2)), resume_token=token if rng.random() < 0.3 else b"", name="fuzz"
    )
    if rng.random() < 0.3:
        filled(config, rng)
    data = [request(data=piece) for piece in pieces(media, rng)]
    frame = request(frame=face_track_pb2.EncodedFrame(image=media[: rng.choice((0, 10, 1000))], pts=rng.choice((0, 5))))
    messages = [request(config=config), *data]
    for _ in range(rng.choice((0, 0, 1, 3))):
        extra = rng.choice((request(config=config), frame, request(), request(data=b"")))
        messages.insert(rng.randrange(len(messages) + 1), extra)
    kind = rng.randrange(8)
    if kind == 0:
        rng.shuffle(messages)
    elif kind == 1:
        messages = messages[1:]
    elif kind == 2:
        messages = messages[: rng.randrange(len(messages) + 1)]
    return messages


def token_like(token: bytes, rng: random.Random) -> bytes:
    """A resume token that is mutated or forged; a server without a key accepts forged ones."""
    if not token or rng.random() < 0.3:
        return bent(token, rng)
    state = tokens.unpack(token)
    for _ in range(rng.choice((1, 1, 3))):
        part = state
        for key in rng.choice(((), ("stream",), ("stream", "tracker"), ("stream", "shots"), ("ready",))):
            part = part.get(key, state) if isinstance(part, dict) else state
        _bend_json(part, rng)
    return tokens.pack(json.loads(json.dumps(state, allow_nan=False)))


def _bend_json(value: Any, rng: random.Random) -> None:
    """Change one value in a tree of lists and dicts."""
    odd: tuple[Any, ...] = (None, -1, 0, 10**18, 1e308, "", "x", [], {}, [[]], True, [None] * 50)
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if not isinstance(value[key], dict | list) or not value[key] or rng.random() < 0.2:
            if rng.random() < 0.2:
                del value[key]
            else:
                value[key] = rng.choice(odd)
            return
        value = value[key]


def huge_png(width: int, height: int) -> bytes:
    """A small file that claims to be a very large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def metadata_like(rng: random.Random) -> tuple[tuple[str, str | bytes], ...]:
    """Headers with wrong tokens, ids and traces."""
    makers: tuple[Callable[[], tuple[str, str | bytes]], ...] = (
        lambda: ("authorization", rng.choice(("", "Bearer", "Bearer x", "Basic eDp5", "bearer " + "x" * 5000))),
        lambda: ("x-request-id", rng.choice(("", "a b", "x" * 4000, "../..", "ok-1"))),
        lambda: ("traceparent", rng.choice(("", "00", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "zz-zz"))),
        lambda: ("grpc-timeout-x", "1"),
        lambda: ("odd-bin", rng.randbytes(100)),
    )
    return tuple(rng.choice(makers)() for _ in range(rng.choice((0, 1, 2, 5))))
