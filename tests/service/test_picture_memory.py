"""Single pictures share one budget of memory, whoever sends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from acfd_stream.service.server import Server
from acfd_stream.service.settings import Limits
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, stream_pb2, types_pb2
from acfd_stream.video.still import DECODING_BYTES
from benchmarks.abuse.arena import serving as process_serving
from benchmarks.abuse.play import channel_to
from tests.service.rig import calling, draw, failure, serving

SIDE, AT_ONCE, CALLS = 2048, 2, 16
PICTURE_BYTES = DECODING_BYTES * SIDE**2
ELSE_BYTES = 128 * 2**20  # what requests, the network and freed memory take; without a budget the calls take 400 MiB


@pytest.fixture(scope="module")
def narrow(tiny_model: Path) -> Iterator[Server]:
    limits = Limits(frame_pixels=SIDE**2, picture_bytes=AT_ONCE * PICTURE_BYTES)
    with serving(tiny_model, limits=limits) as running:
        yield running


def largest() -> bytes:
    """A picture of the kind that takes the most memory: all colours at full size, in passes."""
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return cv2.imencode(".jpg", np.full((SIDE, SIDE, 3), 90, np.uint8), options)[1].tobytes()


SETTINGS = f"""
listen = "127.0.0.1:0"
metrics = "127.0.0.1:0"
model = "{{model}}"
[detect]
size = 128
[scheduler]
warm_sizes = [[96, 128]]
[limits]
memory_share = 1.0
frame_pixels = {SIDE**2}
picture_bytes = {AT_ONCE * PICTURE_BYTES}
"""


def peak_bytes(pid: int) -> int:
    """The most resident memory of a process since its ``clear_refs`` was written."""
    return 1024 * int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


def test_many_of_the_largest_pictures_at_once_stay_within_the_budget(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text(SETTINGS.format(model=tiny_model))
    request = face_track_pb2.DetectRequest(image=largest())
    start = threading.Barrier(CALLS)
    with (
        process_serving(tmp_path / "serve.toml") as (arena, _),
        channel_to(arena.address) as channel,
        ThreadPoolExecutor(CALLS) as pool,
    ):
        stub = face_track_pb2_grpc.FaceTrackServiceStub(channel)
        stub.Detect(request)
        try:
            Path(f"/proc/{arena.pid}/clear_refs").write_text("5")
        except OSError:
            pytest.skip("the kernel does not forget a peak")
        held = peak_bytes(arena.pid)

        def detect(_: int) -> grpc.StatusCode:
            start.wait(10)
            try:
                stub.Detect(request)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        codes = list(pool.map(detect, range(CALLS)))
        grown = peak_bytes(arena.pid) - held
        assert arena.await_rest() == {}  # nothing is reserved any more
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes.count(grpc.StatusCode.OK) >= AT_ONCE
    assert grown < AT_ONCE * PICTURE_BYTES + ELSE_BYTES


def pictures(image: bytes, count: int) -> Iterator[Any]:
    """The requests of a stream of single pictures."""
    base = types_pb2.Rational(numerator=1, denominator=24)
    yield face_track_pb2.TrackRequest(config=stream_pb2.TrackConfig(frame_time_base=base))
    for pts in range(count):
        yield face_track_pb2.TrackRequest(frame=face_track_pb2.EncodedFrame(image=image, pts=pts))


def test_a_picture_without_memory_is_refused_and_may_be_sent_again(narrow: Server) -> None:
    image = cv2.imencode(".png", draw(3, (96, 128), 9))[1].tobytes()
    assert narrow.host is not None
    with calling(narrow) as stub:
        calls = (
            lambda: stub.Detect(face_track_pb2.DetectRequest(image=image)),
            lambda: list(stub.Track(pictures(image, 3))),
        )
        with narrow.host.context.budget.reserve(AT_ONCE * PICTURE_BYTES):
            for call in calls:
                code, message, details = failure(call)
                assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "picture_bytes" in message
                assert any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)
        assert len(stub.Detect(face_track_pb2.DetectRequest(image=image)).faces) > 0
        assert calls[1]()[-1].end.is_complete


def test_a_stream_gives_its_memory_back(narrow: Server) -> None:
    assert narrow.host is not None
    image = cv2.imencode(".png", draw(3, (96, 128), 9))[1].tobytes()
    with calling(narrow) as stub:
        list(stub.Track(pictures(image, 20)))
        frames = stub.Track(pictures(image, 2000))
        next(frames)
        frames.cancel()
    with pytest.raises(grpc.RpcError):
        list(frames)
    budget = narrow.host.context.budget
    with budget.reserve(budget.most_bytes):  # waits for what a stream that ends still holds
        assert budget.held_bytes == budget.most_bytes
    assert budget.held_bytes == 0
