"""A stream that was cut goes on from its resume token: same ids, same bytes, no frame lost and none twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import grpc
import pytest
from google.rpc import error_details_pb2

from acfd_stream.service.server import Server
from acfd_stream.service.settings import AccessConfig, AnswerSettings, SourceSettings
from acfd_stream.v1 import face_track_pb2, stream_pb2, types_pb2
from tests.service.rig import DETECT, calling, draw, failure, frames_of, plain, plain_results, sending, serving

EAGER = AnswerSettings(results=3, wait_seconds=0.01, resume_seconds=1e-6)
"""A resume point behind every result; of a live stream behind as many as are made meanwhile."""
TIME_BASE = types_pb2.Rational(numerator=1, denominator=24)


@pytest.fixture(scope="module")
def same_key(tmp_path_factory: pytest.TempPathFactory) -> AccessConfig:
    """Of servers that take each other's tokens."""
    path = tmp_path_factory.mktemp("keys") / "resume.key"
    path.write_text("a key that all of them have")
    return AccessConfig(resume_key=path)


@pytest.fixture(scope="module")
def eager(tiny_model: Path, clip: Path, same_key: AccessConfig) -> Iterator[Server]:
    sources = SourceSettings(folders=(clip.parent,))
    with serving(tiny_model, answers=EAGER, sources=sources, access=same_key) as running:
        yield running


def read_until(call: Any, index: int) -> tuple[list[bytes], Any]:
    """Results below a resume point that lies at or behind ``index``, and that point; the call is cut."""
    answers = []
    for answer in call:
        answers.append(answer)
        if answer.resume_point.next_index >= index:
            break
    call.cancel()
    point = answers[-1].resume_point
    return [plain(frame) for frame in frames_of(answers) if frame.index < point.next_index], point


def configured(mode: int, token: bytes = b"") -> Any:
    return stream_pb2.TrackConfig(mode=mode, resume_token=token, frame_time_base=TIME_BASE)


def pictures(first: int = 0) -> Iterator[Any]:
    for index in range(first, 40):
        image = cv2.imencode(".png", cv2.cvtColor(draw(index, (96, 128), 20), cv2.COLOR_RGB2BGR))[1].tobytes()
        yield face_track_pb2.TrackRequest(frame=face_track_pb2.EncodedFrame(image=image, pts=index))


@pytest.mark.parametrize(
    ("mode", "cut"),
    [
        *((stream_pb2.STREAM_MODE_FILE, cut) for cut in (1, 25, 31, 58)),
        *((stream_pb2.STREAM_MODE_LIVE, cut) for cut in (1, 25, 31)),
    ],
)
def test_bytes_sent_again_go_on_behind_the_last_answer(eager: Server, clip: Path, mode: int, cut: int) -> None:
    data = clip.read_bytes()
    with calling(eager) as stub:
        whole = plain_results(stub.Track(sending(data, configured(mode))))
        before, point = read_until(stub.Track(sending(data, configured(mode))), cut)
        rest = list(stub.Track(sending(data, configured(mode, point.token))))
    assert rest[0].start.first_index == point.next_index == len(before)
    assert before + plain_results(rest) == whole
    assert len(whole) == 60
    assert rest[-1].end.frame_count == 60


def test_single_frames_go_on_at_the_one_that_is_asked_for(eager: Server) -> None:
    def requests(token: bytes = b"", first: int = 0) -> Iterator[Any]:
        yield face_track_pb2.TrackRequest(config=configured(stream_pb2.STREAM_MODE_FILE, token))
        yield from pictures(first)

    with calling(eager) as stub:
        whole = plain_results(stub.Track(requests()))
        before, point = read_until(stub.Track(requests()), 22)
        assert 0 < point.next_index <= point.next_frame < 40
        rest = plain_results(stub.Track(requests(point.token, point.next_frame)))
    assert before + rest == whole
    assert len(whole) == 40


def test_a_file_of_the_server_goes_on(eager: Server, clip: Path) -> None:
    def call(stub: Any, token: bytes = b"") -> Any:
        config = configured(stream_pb2.STREAM_MODE_FILE, token)
        return stub.TrackUri(face_track_pb2.TrackUriRequest(uri=str(clip), config=config))

    with calling(eager) as stub:
        whole = plain_results(call(stub))
        before, point = read_until(call(stub), 33)
        rest = plain_results(call(stub, point.token))
    assert before + rest == whole


def test_a_token_holds_at_another_server(eager: Server, tiny_model: Path, clip: Path, same_key: AccessConfig) -> None:
    data, mode = clip.read_bytes(), stream_pb2.STREAM_MODE_FILE
    with calling(eager) as stub:
        whole = plain_results(stub.Track(sending(data, configured(mode))))
        before, point = read_until(stub.Track(sending(data, configured(mode))), 20)
    with serving(tiny_model, access=same_key) as another, calling(another) as stub:
        rest = plain_results(stub.Track(sending(data, configured(mode, point.token))))
    assert before + rest == whole


def test_a_live_stream_keeps_its_view_at_a_server_that_would_choose_another(
    tiny_model: Path, clip: Path, same_key: AccessConfig
) -> None:
    data, mode, large = clip.read_bytes(), stream_pb2.STREAM_MODE_LIVE, replace(DETECT, size=512)
    shared = {"detect": large, "access": same_key}
    with serving(tiny_model, live_size=320, answers=EAGER, **shared) as server, calling(server) as stub:
        first, *_ = whole = list(stub.Track(sending(data, configured(mode))))
        before, point = read_until(stub.Track(sending(data, configured(mode))), 20)
    assert json.loads(first.start.settings_json)["detect"]["size"] == 320
    with serving(tiny_model, **shared) as another, calling(another) as stub:
        rest = list(stub.Track(sending(data, configured(mode, point.token))))
        fresh = next(iter(stub.Track(sending(data, configured(mode)))))
    assert json.loads(rest[0].start.settings_json)["detect"]["size"] == 320
    assert json.loads(fresh.start.settings_json)["detect"]["size"] == 512
    assert before + plain_results(rest) == plain_results(whole)


def test_a_token_is_refused_with_other_settings_media_or_damage(eager: Server, clip: Path, other_clip: Path) -> None:
    data, mode = clip.read_bytes(), stream_pb2.STREAM_MODE_FILE
    with calling(eager) as stub:
        _, point = read_until(stub.Track(sending(data, configured(mode))), 20)
        tried = {
            "live": configured(stream_pb2.STREAM_MODE_LIVE, point.token),
            "damaged": configured(mode, point.token[:-1] + bytes([point.token[-1] ^ 1])),
            "cut": configured(mode, point.token[:30]),
            "none": configured(mode, b"token"),
        }
        codes = {name: failure(lambda c=config: list(stub.Track(sending(data, c)))) for name, config in tried.items()}
    assert codes["live"][0] is grpc.StatusCode.FAILED_PRECONDITION
    assert "settings" in codes["live"][1]
    for name in ("damaged", "cut", "none"):
        assert codes[name][0] is grpc.StatusCode.INVALID_ARGUMENT, name
        assert "resume_token" in codes[name][1]


def test_a_draining_server_hands_out_where_to_go_on(tiny_model: Path, clip: Path, same_key: AccessConfig) -> None:
    data, config = clip.read_bytes(), configured(stream_pb2.STREAM_MODE_FILE)
    never, answers, ended = threading.Event(), [], []
    answers_late = replace(EAGER, resume_seconds=1e6)
    with serving(tiny_model, answers=answers_late, access=same_key) as server, calling(server) as stub:
        whole = plain_results(stub.Track(sending(data, config)))
        call = stub.Track(sending(data, config, until=never))
        answers.append(next(call))
        stop = threading.Thread(target=lambda: ended.append(server.stop(0.0)))
        stop.start()
        code, message, details = failure(lambda: answers.extend(call))
        never.set()
        stop.join()
    assert (code, ended) == (grpc.StatusCode.UNAVAILABLE, [True])
    assert "draining" in message
    assert {type(detail) for detail in details} == {error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo}
    point = answers[-1].resume_point
    before = plain_results(answers)
    with serving(tiny_model, access=same_key) as another, calling(another) as stub:
        config.resume_token = point.token
        rest = plain_results(stub.Track(sending(data, config)))
    assert before + rest == whole
