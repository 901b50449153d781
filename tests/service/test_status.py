"""What ends a call fits into a trailer, whatever a caller put into the request that it quotes."""

from __future__ import annotations

import random
from urllib.parse import quote

import cv2
import grpc
import numpy as np
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.errors import AcfdError, ConfigError, MediaError, OverloadedError, ResumeError
from acfd_stream.service.server import Server
from acfd_stream.service.status import StatusError, status_of
from acfd_stream.v1 import face_track_pb2, stream_pb2
from tests.service.rig import calling, failure, sending

ALLOWED_BYTES = 6000  # of the 8 KiB that a peer takes


def trailer_bytes(error: AcfdError) -> int:
    """Bytes of both trailers: the message, and all of it in base64."""
    status = status_of(error)
    return len(quote(status.message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")) + status.ByteSize() * 4 // 3 + 4


def quoting(text: str) -> list[AcfdError]:
    both = {"asked": text, "here": text, "setting": "scales"}
    return [
        *(kind(f"name must be short, got {text}") for kind in (ConfigError, MediaError, ResumeError, OverloadedError)),
        StatusError(grpc.StatusCode.FAILED_PRECONDITION, "OTHER", text, metadata=both, retry_seconds=1.0),
    ]


@pytest.mark.parametrize("sign", ["a", "%", "ä", "画", "😀", "\x1b", "a%ä画😀"])
def test_every_error_fits_into_a_trailer(sign: str) -> None:
    for error in quoting(sign * 100_000):
        assert trailer_bytes(error) < ALLOWED_BYTES
        status = status_of(error)
        assert status.message.endswith("…")
        assert len(status.details) >= 1


def test_signs_of_any_length_are_cut_between_two() -> None:
    dice = random.Random(3)
    for _ in range(500):
        text = "".join(dice.choice("ab%ä画😀") for _ in range(dice.randrange(200, 1500)))
        for error in quoting(text):
            assert trailer_bytes(error) < ALLOWED_BYTES
            assert status_of(error).message.removesuffix("…") in str(error)


def test_a_file_name_that_is_no_text_is_told() -> None:
    assert status_of(MediaError("a\udc80.mkv is no video")).message == "a\\udc80.mkv is no video"
    assert trailer_bytes(MediaError("\udc80" * 10_000)) < ALLOWED_BYTES


def test_a_short_message_stays_whole() -> None:
    text = "x" * 990
    assert status_of(MediaError(text)).message == text
    assert status_of(MediaError("画.mkv is no video")).message == "画.mkv is no video"


@pytest.mark.parametrize("count", [65, 100_000])
def test_too_many_scales_are_refused_in_one_short_line(server: Server, count: int) -> None:
    image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    detect = stream_pb2.DetectConfig(scales=[64] * count)
    with calling(server) as stub:
        for call in (
            lambda: stub.Detect(face_track_pb2.DetectRequest(image=image, config=detect)),
            lambda: list(stub.Track(sending(b"", stream_pb2.TrackConfig(detect=detect)))),
        ):
            code, message, _ = failure(call)
            assert (code, message) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                f"scales must be at most 64 sides, got '{count} of them'",
            )
    with pytest.raises(ConfigError, match="at most 64 sides"):
        DetectConfig(scales=(64,) * count)
