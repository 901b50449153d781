"""Every limit bites with its own status, and what is asked for wrongly is said so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from acfd_stream.config import CapacityConfig
from acfd_stream.service.server import Server
from acfd_stream.service.settings import Limits
from acfd_stream.v1 import face_track_pb2, stream_pb2, types_pb2
from tests.service.rig import calling, eventually, failure, sending, serving

TIGHT = Limits(
    message_bytes=2**18,
    frame_pixels=128 * 97,
    duration_seconds=2.0,
    streams=2,
)
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def tight(tiny_model: Path) -> Iterator[Server]:
    with serving(tiny_model, limits=TIGHT) as running:
        yield running


def ended(server: Server, requests: Any) -> tuple[grpc.StatusCode, str, list[Any]]:
    with calling(server) as stub:
        return failure(lambda: list(stub.Track(requests)))


def reasons(details: list[Any]) -> list[str]:
    return [detail.reason for detail in details if isinstance(detail, error_details_pb2.ErrorInfo)]


def test_pieces_above_64_kib_are_refused(server: Server, clip: Path) -> None:
    code, message, details = ended(server, sending(bytes(2**17), piece=2**16 + 1))
    assert (code, details[0].field_violations[0].field) == (INVALID, "data")
    assert "65537 bytes" in message


def test_a_message_above_the_limit_is_refused(tight: Server) -> None:
    code, _, _ = ended(tight, sending(bytes(2**19), piece=2**19))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_frames_above_the_limit_are_refused(tight: Server, other_clip: Path) -> None:
    code, message, details = ended(tight, sending(other_clip.read_bytes()))
    assert (code, reasons(details)) == (INVALID, ["MEDIA"])
    assert "frame_pixels" in message


def test_a_stream_that_is_too_long_ends_behind_its_good_frames(tight: Server, clip: Path) -> None:
    answers: list[Any] = []
    with calling(tight) as stub:
        code, _, details = failure(lambda: answers.extend(stub.Track(sending(clip.read_bytes()))))
    assert (code, reasons(details)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, ["DURATION_LIMIT"])
    assert not any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)
    assert answers[-1].results.frames[-1].pts == 2042


def test_one_stream_too_many_is_told_when_to_come_back(tight: Server, clip: Path) -> None:
    hold = threading.Event()
    with calling(tight) as stub:
        calls = [stub.Track(sending(clip.read_bytes(), until=hold)) for _ in range(2)]
        assert eventually(lambda: tight.host is not None and tight.host.stream_count == 2)
        code, _, details = ended(tight, sending(b""))
        for call in calls:
            call.cancel()
        hold.set()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert [detail.retry_delay.seconds for detail in details if hasattr(detail, "retry_delay")] == [1]
    assert eventually(lambda: tight.host is not None and tight.host.stream_count == 0)


def test_what_does_not_fit_is_refused_before_a_byte_is_read(tiny_model: Path) -> None:
    config = stream_pb2.TrackConfig(
        mode=stream_pb2.STREAM_MODE_LIVE, declared_size=types_pb2.Size(height=96, width=128), declared_frame_rate=900
    )
    with serving(tiny_model, capacity=CapacityConfig(load_limit=0.01, file_streams=0)) as server:
        for asked in (config, stream_pb2.TrackConfig()):
            code, message, details = ended(server, iter([face_track_pb2.TrackRequest(config=asked)]))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert message
            assert any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)
        with calling(server) as stub:
            answer = stub.GetCapacity(
                face_track_pb2.GetCapacityRequest(size=types_pb2.Size(height=96, width=128), frame_rate=900)
            )
    assert not answer.fits
    assert answer.reason


def test_silence_ends_a_stream(tiny_model: Path, clip: Path) -> None:
    hold = threading.Event()

    def silent() -> Iterator[Any]:
        hold.wait(20)
        yield from ()

    with serving(tiny_model, limits=Limits(first_message_seconds=0.3, idle_seconds=0.5)) as server:
        for requests in (silent(), sending(clip.read_bytes(), until=hold)):
            code, message, details = ended(server, requests)
            assert (code, reasons(details)) == (grpc.StatusCode.DEADLINE_EXCEEDED, ["IDLE"])
            assert "was ended" in message
    hold.set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", 9),
        ("priority", 7),
        ("drop_policy", stream_pb2.DROP_POLICY_DROP_OLDEST),  # of a file
        ("name", "n" * 101),
        ("declared_frame_rate", -1.0),
        ("declared_frame_rate", float("nan")),
        ("declared_size", types_pb2.Size(height=0, width=5)),
        ("objective", {"seconds": -1}),
        ("objective", {"seconds": 61}),
        ("start", {"seconds": 2, "nanos": -5}),
        ("frame_time_base", types_pb2.Rational(numerator=1, denominator=0)),
        ("end", {"seconds": 10**12}),
    ],
)
def test_a_setting_out_of_range_is_named(server: Server, field: str, value: Any) -> None:
    code, _, details = ended(server, sending(b"", stream_pb2.TrackConfig(**{field: value})))
    assert (code, details[0].field_violations[0].field) == (INVALID, field)


@pytest.mark.parametrize(
    ("setting", "wanted"), [({"model": "other"}, "model"), ({"size": 64}, "size"), ({"score_threshold": 0.5}, "score")]
)
def test_another_engine_than_the_servers_is_named_with_both(
    server: Server, setting: dict[str, Any], wanted: str
) -> None:
    code, message, details = ended(server, sending(b"", stream_pb2.TrackConfig(detect=setting)))
    assert (code, reasons(details)) == (grpc.StatusCode.FAILED_PRECONDITION, ["OTHER_ENGINE"])
    assert wanted in message
    assert {"asked", "here"} <= set(details[0].metadata)


def test_requests_out_of_turn_are_refused(server: Server, clip: Path) -> None:
    config = face_track_pb2.TrackRequest(config=stream_pb2.TrackConfig())
    data = face_track_pb2.TrackRequest(data=clip.read_bytes()[:60000])
    frame = face_track_pb2.TrackRequest(frame=face_track_pb2.EncodedFrame(image=b"x", pts=1))
    for requests in ([], [data], [config, data, config], [config, data, frame], [config, frame, data]):
        code, _, details = ended(server, iter(requests))
        assert (code, details[0].field_violations[0].field) == (INVALID, "request"), requests
    code, _, details = ended(server, iter([config, face_track_pb2.TrackRequest()]))
    assert code is INVALID


@pytest.mark.parametrize("data", [b"", b"no video", bytes(100_000), b"ffconcat version 1.0\nfile 'clip.mkv'\n"])
def test_what_is_no_video_is_the_callers_fault(server: Server, data: bytes) -> None:
    code, message, details = ended(server, sending(data))
    assert (code, reasons(details)) == (INVALID, ["MEDIA"])
    assert "<stream>" in message


def test_a_video_that_breaks_in_the_middle_keeps_its_good_frames(server: Server, clip: Path) -> None:
    data = clip.read_bytes()
    broken = data[: len(data) // 2] + bytes(len(data) // 2)
    with calling(server) as stub:
        answers = list(stub.Track(sending(broken)))
    end = answers[-1].end
    assert 10 < end.frame_count < 60
    assert not end.is_complete
    assert end.error or end.gaps


def test_limits_hold_for_pictures_too(tight: Server, server: Server) -> None:
    with calling(tight) as stub:
        for image, words in ((b"", "nothing"), (b"no picture", "PNG"), (_png_header(5000, 5000), "limit")):
            code, message, _ = failure(lambda image=image: stub.Detect(face_track_pb2.DetectRequest(image=image)))
            assert code is INVALID
            assert words in message


def _png_header(height: int, width: int) -> bytes:
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR" + size + bytes(50)
