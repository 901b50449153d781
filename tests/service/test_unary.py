"""Calls that are answered at once: one picture, room for one more stream, the models."""

from __future__ import annotations

from pathlib import Path

import cv2
import grpc
import pytest

from acfd_stream.config import CapacityConfig
from acfd_stream.detect import Detector, models
from acfd_stream.service.server import Server
from acfd_stream.v1 import face_track_pb2, stream_pb2, types_pb2
from acfd_stream.video.decode_image import decode_image
from tests.detect.tiny_model import white_square
from tests.service.rig import DETECT, calling, draw, failure, serving

HD = types_pb2.Size(height=720, width=1280)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_picture_gives_what_the_detector_gives(server: Server, tiny_model: Path, suffix: str) -> None:
    data = cv2.imencode(suffix, draw(3, (96, 128), 9))[1].tobytes()
    with Detector.open(tiny_model, config=DETECT) as detector:
        expected = detector.detect(decode_image(data), min_score=0.0)
    with calling(server) as stub:
        response = stub.Detect(face_track_pb2.DetectRequest(image=data))
    boxes = [[face.box.x1, face.box.y1, face.box.x2, face.box.y2] for face in response.faces]
    assert boxes == expected.boxes_xyxy.tolist()
    assert [face.score for face in response.faces] == expected.scores.tolist()
    assert len(boxes) > 0
    assert {face.track_id for face in response.faces} == {0}
    assert (response.size.height, response.size.width) == (96, 128)
    assert types_pb2.STAGE_INFER in {time.stage for time in response.stage_times}


def test_a_picture_s_faces_have_at_least_the_score_that_is_asked_for(server: Server) -> None:
    image = cv2.imencode(".png", white_square((96, 128), left=36, top=28, side=48))[1].tobytes()
    with calling(server) as stub:
        scores = [face.score for face in stub.Detect(face_track_pb2.DetectRequest(image=image)).faces]
        least = (scores[0] + scores[-1]) / 2
        sure = stub.Detect(face_track_pb2.DetectRequest(image=image, min_score=least)).faces
        code, message, _ = failure(lambda: stub.Detect(face_track_pb2.DetectRequest(image=image, min_score=1.5)))
    assert [face.score for face in sure] == [score for score in scores if score >= least] != scores
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "min_score must be in [0, 1], got 1.5")


def test_a_picture_for_another_engine_is_refused(server: Server) -> None:
    request = face_track_pb2.DetectRequest(image=b"x", config=stream_pb2.DetectConfig(scales=[480]))
    with calling(server) as stub:
        code, message, _ = failure(lambda: stub.Detect(request))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "[480]" in message


def test_capacity_is_told_with_its_reason(tiny_model: Path) -> None:
    with serving(tiny_model, capacity=CapacityConfig()) as server, calling(server) as stub:
        much = stub.GetCapacity(face_track_pb2.GetCapacityRequest(size=HD, frame_rate=1000))
        little = face_track_pb2.GetCapacityRequest(size=types_pb2.Size(height=96, width=128), frame_rate=0.1)
        little.objective.FromSeconds(30)
        enough = stub.GetCapacity(little)
    assert (much.fits, enough.fits) == (False, True)
    assert 0 <= much.headroom <= 1
    assert "1280×720" in much.reason
    assert not much.HasField("retry_delay")  # it would not fit if nobody else were there


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("size", face_track_pb2.GetCapacityRequest(frame_rate=24)),
        ("frame_rate", face_track_pb2.GetCapacityRequest(size=HD)),
        ("frame_rate", face_track_pb2.GetCapacityRequest(size=HD, frame_rate=-5)),
        ("objective", face_track_pb2.GetCapacityRequest(size=HD, frame_rate=24, objective={"seconds": -1})),
    ],
)
def test_an_invalid_question_about_capacity_is_refused_by_its_field(
    server: Server, field: str, request_: face_track_pb2.GetCapacityRequest
) -> None:
    with calling(server) as stub:
        code, _, details = failure(lambda: stub.GetCapacity(request_))
        assert (code, details[0].field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


def test_the_models_are_listed_with_the_one_that_is_loaded(server: Server) -> None:
    with calling(server) as stub:
        listed = stub.ListModels(face_track_pb2.ListModelsRequest()).models
    assert [model.name for model in listed] == sorted(["tiny", *(model.name for model in models())])
    loaded = [model for model in listed if model.is_loaded]
    assert [(model.name, bool(model.precision), bool(model.description)) for model in loaded] == [("tiny", True, True)]


def test_a_stream_that_nobody_has_is_not_found(server: Server) -> None:
    with calling(server) as stub:
        request = face_track_pb2.GetStreamStatsRequest(stream_id="none")
        assert failure(lambda: stub.GetStreamStats(request))[0] is grpc.StatusCode.NOT_FOUND
        assert list(stub.GetStreamStats(face_track_pb2.GetStreamStatsRequest()).streams) == []
