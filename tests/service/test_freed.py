"""A stream that has ended holds nothing, however it ended: it is in no circle that only the collector would open."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from acfd_stream.malloc import IdleTrim
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.service.server import Server
from acfd_stream.service.streams.stream import StreamCall
from acfd_stream.v1 import face_track_pb2, stream_pb2
from tests.service.rig import calling, eventually, sending, serving


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Server]:
    with serving(tiny_model) as running:
        yield running


@pytest.fixture
def uncollected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody collects."""
    monkeypatch.setattr(IdleTrim, "update", lambda self, *, is_busy: None)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held() -> list[str]:
    """Streams and sessions that are there, told by their type alone: other objects may act when they are asked."""
    return [type(thing).__name__ for thing in gc.get_objects() if type(thing) in (StreamCall, TrackSession)]


def honest(stub: Any, clip: bytes) -> None:
    list(stub.Track(sending(clip)))


def cancelled(stub: Any, clip: bytes) -> None:
    call = stub.Track(sending(clip))
    next(call)
    call.cancel()


def cut_off(stub: Any, clip: bytes) -> None:
    list(stub.Track(sending(clip[: len(clip) // 2])))


def no_media(stub: Any, clip: bytes) -> None:
    list(stub.Track(sending(b"no video " * 1000)))


def late(stub: Any, clip: bytes) -> None:
    list(stub.Track(sending(clip), timeout=0.05))


def out_of_order(stub: Any, clip: bytes) -> None:
    config = face_track_pb2.TrackRequest(config=stream_pb2.TrackConfig())
    data = face_track_pb2.TrackRequest(data=clip[:1000])
    list(stub.Track(iter([config, data, config])))


def without_config(stub: Any, clip: bytes) -> None:
    list(stub.Track(iter([face_track_pb2.TrackRequest(data=clip[:1000])])))


@pytest.mark.parametrize("play", [honest, cancelled, cut_off, no_media, late, out_of_order, without_config])
@pytest.mark.usefixtures("uncollected")
def test_an_ended_stream_is_freed_at_once(play: Callable[[Any, bytes], None], server: Server, clip: Path) -> None:
    with calling(server) as stub:
        for _ in range(3):
            with contextlib.suppress(grpc.RpcError):
                play(stub, clip.read_bytes())
    assert eventually(lambda: not held()), held()
