"""A real server on port 0 over the hand-made network, drawn clips to send to it, and the plain way to talk to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from acfd_stream.config import CapacityConfig, DetectConfig, SchedulerConfig
from acfd_stream.service.server import Server
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, stream_pb2
from tests.clips import drawing, encode

DETECT = DetectConfig(size=128, threads=1)
ROOMY = CapacityConfig(load_limit=1.0, cores=64)
"""Lets streams in whatever else this machine does; who tests admission brings a capacity of their own."""
OBJECTIVE_SECONDS = 10.0
"""Of live streams; one that a slow machine cannot keep would be refused, or seen at a smaller size."""
PIECE = 4096
PATIENCE = 20.0


def draw(index: int, size: tuple[int, int], cut: int) -> np.ndarray:
    """uint8 [H, W, 3]: dim bars, which lie otherwise after the cut, and a bright face that wanders."""
    corner = (20 + index % 40, 28) if index < cut else (70 - index % 40, 40)
    return drawing(size, corner, is_behind_cut=index >= cut)


def write_clip(path: Path, size: tuple[int, int] = (96, 128), rate: int = 24, frames: int = 60) -> Path:
    """A file of drawn frames that can be read from front to back; the face changes its place in the middle."""
    return encode(path, (draw(index, size, frames // 2) for index in range(frames)), size, rate)


def repacked(film: Path, path: Path) -> Path:
    """The packets of a film's pictures in a file that can be read from front to back."""
    with av.open(str(film)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


@contextlib.contextmanager
def serving(model: Path, **settings: Any) -> Iterator[Server]:
    """A running service over ``model``."""
    detect = settings.pop("detect", DETECT)
    scheduler = SchedulerConfig(warm_sizes=((96, 128),))
    base = ServiceSettings(
        listen="127.0.0.1:0",
        metrics="",
        model=str(model),
        detect=detect,
        scheduler=scheduler,
        capacity=ROOMY,
        objective_seconds=OBJECTIVE_SECONDS,
    )
    limits = replace(settings.pop("limits", base.limits), memory_share=settings.pop("memory_share", 1.0))
    with Server(replace(base, limits=limits, **settings)) as server:
        yield server


@contextlib.contextmanager
def calling(server: Server, options: Sequence[tuple[str, int]] = ()) -> Iterator[Any]:
    """A stub of FaceTrackService, over a connection of its own."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=list(options)) as channel:
        yield face_track_pb2_grpc.FaceTrackServiceStub(channel)


def sending(data: bytes, config: Any = None, until: threading.Event | None = None, piece: int = PIECE) -> Iterator[Any]:
    """The requests of a stream; before the last half is sent, ``until`` is awaited."""
    yield face_track_pb2.TrackRequest(config=config or stream_pb2.TrackConfig())
    for place in range(0, len(data), piece):
        if until is not None and place >= len(data) // 2:
            until.wait(PATIENCE)
        yield face_track_pb2.TrackRequest(data=data[place : place + piece])


def frames_of(answers: Iterable[Any]) -> list[Any]:
    """The results in answers."""
    return [frame for answer in answers for frame in answer.results.frames]


def plain(frame: Any) -> bytes:
    """What must be the same of a result whenever it is made: all but times and the verdict on them."""
    copy = type(frame)()
    copy.CopyFrom(frame)
    copy.ClearField("stage_times")
    copy.ClearField("verdict")
    return copy.SerializeToString(deterministic=True)


def plain_results(answers: Iterable[Any]) -> list[bytes]:
    """``plain`` of every result in ``answers``, in order."""
    return [plain(frame) for frame in frames_of(answers)]


def failure(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, list[Any]]:
    """Code, message and unpacked details of what a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        details = [] if status is None else [_unpacked(detail) for detail in status.details]
        return error.code(), error.details(), details
    raise AssertionError("the call did not fail")


def _unpacked(detail: Any) -> Any:
    kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])()
    detail.Unpack(kind)
    return kind


def eventually(fact: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether ``fact`` becomes true."""
    until = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
