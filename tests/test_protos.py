"""The messages are built, say what types.py says, and every name of them is explained."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from acfd_stream import types
from acfd_stream.pipeline.stage_times import STAGES
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2, job_pb2_grpc, stream_pb2, types_pb2

PROTOS = sorted((Path(__file__).resolve().parent.parent / "protos").rglob("*.proto"))
FILES = [pb2.DESCRIPTOR for pb2 in (face_track_pb2, job_pb2, stream_pb2, types_pb2)]
DECLARATION = re.compile(r"^\s*(message|enum|service|rpc|oneof)\s|^\s*[\w. ]+ = \d+;")


def test_a_result_survives_the_wire() -> None:
    face = types_pb2.Face(track_id=7, box={"x1": 1, "y1": 2, "x2": 3.5, "y2": 4}, score=0.5, state="FACE_STATE_FILLED")
    sent = face_track_pb2.TrackResponse(results={"frames": [{"index": 3, "pts": -5, "shot": 1, "faces": [face]}]})
    received = face_track_pb2.TrackResponse.FromString(sent.SerializeToString())
    assert received == sent
    assert received.WhichOneof("response") == "results"


def test_a_frame_result_carries_the_fields_of_the_python_type() -> None:
    on_the_wire = set(types_pb2.FrameResult.DESCRIPTOR.fields_by_name)
    elsewhere = {"time_base", "pts_seconds", "timings"}  # of the stream, worked out, stage_times
    in_python = {field.name for field in fields(types.FrameResult)}
    assert in_python - elsewhere - {"verdict"} == on_the_wire - {"stage_times", "verdict"}


def test_face_states_are_the_same_in_both() -> None:
    assert set(types_pb2.FaceState.keys()) - {"FACE_STATE_UNSPECIFIED"} == {
        f"FACE_STATE_{state.name}" for state in types.FaceState
    }


def test_stages_are_those_of_the_ledger_in_its_order() -> None:
    of_the_service = {"STAGE_UNSPECIFIED", "STAGE_INGEST", "STAGE_ENCODE", "STAGE_SEND"}
    of_the_ledger = [f"STAGE_{stage.upper()}" for stage in STAGES]
    assert set(of_the_ledger) | of_the_service == set(types_pb2.Stage.keys())
    assert [name for name in types_pb2.Stage.keys() if name in of_the_ledger] == of_the_ledger  # noqa: SIM118


def test_the_services_offer_their_calls() -> None:
    tracking = face_track_pb2.DESCRIPTOR.services_by_name["FaceTrackService"].methods_by_name
    assert set(tracking) == {"Track", "TrackUri", "Detect", "GetCapacity", "GetStreamStats", "ListModels"}
    jobs = job_pb2.DESCRIPTOR.services_by_name["JobService"].methods_by_name
    assert set(jobs) == {"SubmitJob", "GetJob", "ListJobs", "CancelJob", "StreamJobResults", "StreamJobViews"}
    assert hasattr(face_track_pb2_grpc, "FaceTrackServiceServicer")
    assert hasattr(job_pb2_grpc, "JobServiceServicer")


def test_both_ways_to_a_stream_are_answered_alike() -> None:
    pieces = [face_track_pb2.TrackResponse, face_track_pb2.TrackUriResponse]
    fields_of = [[(f.name, f.number, f.message_type.name) for f in piece.DESCRIPTOR.fields] for piece in pieces]
    assert fields_of[0] == fields_of[1]


def test_names_are_those_that_the_linter_of_buf_asks_for() -> None:
    """Its STANDARD rules, as far as names can break them; protos/buf.yaml is for whoever has buf."""
    services = [service for file in FILES for service in file.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    asked = [method.input_type.name for method in methods]
    assert asked == [f"{method.name}Request" for method in methods]
    assert [method.output_type.name for method in methods] == [f"{method.name}Response" for method in methods]
    assert len(set(asked)) == len(asked)
    assert all(service.name.endswith("Service") for service in services)
    assert all(Path(file.name).parent == Path(*file.package.split(".")) for file in FILES)
    fields_ = [field for file in FILES for kind in file.message_types_by_name.values() for field in kind.fields]
    assert [field.name for field in fields_ if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", field.name)] == []
    for kind in (kind for file in FILES for kind in file.enum_types_by_name.values()):
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.name).upper()
        assert kind.values_by_number[0].name == f"{prefix}_UNSPECIFIED"
        assert all(value.name.startswith(f"{prefix}_") for value in kind.values)


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.stem)
def test_every_declaration_has_a_comment_above_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    bare = [line for above, line in pairwise(lines) if DECLARATION.match(line) and "//" not in above]
    assert bare == []
    assert any(DECLARATION.match(line) for line in lines)
