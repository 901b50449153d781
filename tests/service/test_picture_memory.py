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
from acfd_stream.v1 import face_track_pb2, stream_pb2, types_pb2
from acfd_stream.video.still import DECODING_BYTES
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


def peak_bytes() -> int:
    """The most resident memory since ``clear_refs`` was written."""
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def test_many_of_the_largest_pictures_at_once_stay_within_the_budget(narrow: Server) -> None:
    request = face_track_pb2.DetectRequest(image=largest())
    with calling(narrow) as stub, ThreadPoolExecutor(CALLS) as pool:
        stub.Detect(request)
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pytest.skip("the kernel does not forget a peak")
        held, start = peak_bytes(), threading.Barrier(CALLS)

        def detect(_: int) -> grpc.StatusCode:
            start.wait(10)
            try:
                stub.Detect(request)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        codes = list(pool.map(detect, range(CALLS)))
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes.count(grpc.StatusCode.OK) >= AT_ONCE
    assert peak_bytes() - held < AT_ONCE * PICTURE_BYTES + ELSE_BYTES
    assert narrow.host is not None
    assert narrow.host.context.budget.held_bytes == 0


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
