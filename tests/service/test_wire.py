"""Between our types and the wire, tokens, settings, statuses and the responses: the small parts of the service."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from acfd_stream.characters import Character, CharacterLink
from acfd_stream.config import DetectConfig
from acfd_stream.errors import (
    AcfdError,
    ConfigError,
    MediaError,
    OverloadedError,
    ResumeError,
    RunnerError,
    ShapeError,
)
from acfd_stream.metrics import Metrics
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.settings import Limits, ServiceSettings, read_settings
from acfd_stream.service.status import StatusError, draining, status_of
from acfd_stream.service.streams.response_queue import ControlMessage, QueuedResult, ResponseQueue
from acfd_stream.types import (
    DropReason,
    Face,
    FaceState,
    FrameResult,
    Gap,
    GapCause,
    MediaInfo,
    Outcome,
    Seam,
    Stage,
    Verdict,
)
from acfd_stream.v1 import stream_pb2, types_pb2
from acfd_stream.wire import messages

BOX = (0.1, 1 / 3, 100.7, 2**0.5 * 100)
RESULT = FrameResult(
    index=7,
    pts=-3,
    time_base=Fraction(1, 24),
    pts_seconds=-0.125,
    faces=(Face(2, BOX, 0.5, FaceState.FILLED, 3, "Velma"), Face(9, (0.0, 0.0, 1.0, 1.0), 0.25)),
    shot=3,
    is_pts_filled=True,
    reused=True,
    is_truncated=True,
    timings={"decode": 0.001, "infer": 0.25},
    verdict=Verdict(Outcome.LATE, 0.25, "infer"),
    is_damaged=True,
    seams=(Seam.CLOCK, Seam.SIZE),
    display_size=(480, 854),
    links=(CharacterLink(2, 3, 1 / 3, is_tentative=False, name="Velma"), CharacterLink(9, 0, 0.0)),
)
CHARACTERS = (Character(1, (2, 2**40), 1 / 3, "Velma"), Character(4, (), 1.0))
GAPS = (Gap(0.1, 1 / 3, GapCause.LOST_PACKETS), Gap(2.0, 0.0, GapCause.DAMAGED_CONTAINER))


def test_a_result_comes_back_from_the_wire_as_it_was() -> None:
    sent = messages.result_pb(RESULT).SerializeToString()
    back = messages.result_of(types_pb2.FrameResult.FromString(sent), RESULT.time_base)
    assert back == RESULT
    assert back.faces[0].box_xyxy == BOX  # to the last bit
    assert (back.timings, back.verdict) == (RESULT.timings, RESULT.verdict)


@pytest.mark.parametrize(
    "verdict",
    [Verdict(Outcome.DROPPED, 1.5, None, DropReason.STALE), Verdict(Outcome.FAILED, failure="no picture"), Verdict()],
)
def test_every_verdict_comes_back(verdict: Verdict) -> None:
    sent = messages.result_pb(replace(RESULT, verdict=verdict)).SerializeToString()
    assert messages.result_of(types_pb2.FrameResult.FromString(sent), RESULT.time_base).verdict == verdict


def test_gaps_and_an_ordinary_frame_come_back() -> None:
    sent = stream_pb2.TrackEnd(gaps=messages.gaps_pb(GAPS)).SerializeToString()
    assert messages.gaps_of(stream_pb2.TrackEnd.FromString(sent).gaps) == GAPS
    plain = replace(RESULT, is_damaged=False, seams=(), display_size=None, links=())
    assert messages.result_of(messages.result_pb(plain), RESULT.time_base) == plain


def test_characters_come_back() -> None:
    sent = stream_pb2.TrackEnd(characters=messages.characters_pb(CHARACTERS)).SerializeToString()
    assert messages.characters_of(stream_pb2.TrackEnd.FromString(sent).characters) == CHARACTERS


def test_enums_have_the_same_names_on_both_sides() -> None:
    never_sent = {"DROP_REASON_DEADLINE", "DROP_REASON_DRAIN"}
    for kind, wire, prefix in (
        (Stage, types_pb2.Stage, "STAGE"),
        (Outcome, types_pb2.Outcome, "OUTCOME"),
        (DropReason, types_pb2.DropReason, "DROP_REASON"),
        (FaceState, types_pb2.FaceState, "FACE_STATE"),
        (Seam, types_pb2.Seam, "SEAM"),
        (GapCause, types_pb2.GapCause, "GAP_CAUSE"),
    ):
        ours: Any = kind
        assert {f"{prefix}_{value.name}" for value in ours} | {f"{prefix}_UNSPECIFIED"} == set(wire.keys()) - never_sent


@pytest.mark.parametrize(("rate", "count", "seconds"), [(Fraction(24000, 1001), 5, 1.5), (None, None, None)])
def test_what_a_container_says_comes_back(rate: Fraction | None, count: int | None, seconds: float | None) -> None:
    info = MediaInfo("film", (480, 640), Fraction(1, 90000), rate, count, seconds, "h264")
    assert messages.media_info_of(messages.media_info_pb(info), "film") == info


@given(st.floats(-1e9, 1e9))
def test_seconds_are_kept_to_the_nanosecond(seconds: float) -> None:
    assert messages.seconds_of(messages.duration_pb(seconds)) == pytest.approx(seconds, abs=1e-6, rel=1e-12)


STATE = {"format": 1, "text": "é", "list": [1, 2.5, None], "deep": {"a": [True]}}


def test_a_token_gives_its_state_back() -> None:
    assert tokens.unpack(tokens.pack(STATE)) == STATE
    assert tokens.unpack(tokens.pack(STATE, b"key"), (b"other", b"key")) == STATE


def test_a_token_that_was_touched_is_refused() -> None:
    token = tokens.pack(STATE)
    touched = [token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :] for place in range(len(token))]
    for bad in [*touched, token[:-1], token + b"\0", b"", token[:20], bytes(2000)]:
        with pytest.raises(ConfigError, match="resume_token must"):
            tokens.unpack(bad, (b"",))
    with pytest.raises(ConfigError, match="same key"):
        tokens.unpack(token, (b"key",))


def test_a_small_token_cannot_become_all_the_memory() -> None:
    bomb = tokens.pack({"zeros": "0" * (64 * 2**20)})
    assert len(bomb) < 2**19
    with pytest.raises(ConfigError, match="at most"):
        tokens.unpack(bomb)


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (ConfigError("size must be above 0, got 0"), "INVALID_ARGUMENT", ["BadRequest"]),
        (ShapeError("boxes must be [N, 4]"), "INVALID_ARGUMENT", ["BadRequest"]),
        (MediaError("a.mp4: is damaged"), "INVALID_ARGUMENT", ["ErrorInfo"]),
        (ResumeError("checkpoint is old"), "FAILED_PRECONDITION", ["ErrorInfo"]),
        (OverloadedError("full"), "RESOURCE_EXHAUSTED", ["ErrorInfo", "RetryInfo"]),
        (draining(), "UNAVAILABLE", ["ErrorInfo", "RetryInfo"]),
        (RunnerError("the runtime failed"), "INTERNAL", ["ErrorInfo"]),
        (KeyError("secret"), "INTERNAL", ["ErrorInfo"]),
        (StatusError(grpc.StatusCode.NOT_FOUND, "X", "no\nsuch"), "NOT_FOUND", ["ErrorInfo"]),
    ],
)
def test_every_error_has_its_status(error: Exception, code: str, details: list[str]) -> None:
    status = status_of(error)
    assert status.code == grpc.StatusCode[code].value[0]
    assert [detail.TypeName().rpartition(".")[2] for detail in status.details] == details
    assert ("secret" in status.message, "\n" in status.message) == (False, False)
    assert isinstance(error, AcfdError) == ("internal error" not in status.message)


def test_a_refused_setting_is_named() -> None:
    bad_request = error_details_pb2.BadRequest()
    status_of(ConfigError("declared_size must be in 1 … 65535, got 0")).details[0].Unpack(bad_request)
    assert bad_request.field_violations[0].field == "declared_size"


def test_settings_come_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(
        'listen = "[::1]:7"\nobjective_seconds = 1\n[limits]\nstreams = 3\n[detect]\nscales = [480, 640]\n'
        '[sources]\nfolders = ["/media"]\n[scheduler]\nwarm_sizes = [[720, 1280], [96, 128]]\n'
    )
    settings = read_settings(path)
    assert settings.limits == Limits(streams=3)
    assert settings.detect == DetectConfig(scales=(480, 640))
    assert (settings.sources.folders, settings.listen) == ((Path("/media"),), "[::1]:7")
    assert settings.scheduler.warm_sizes == ((720, 1280), (96, 128))
    assert settings.answers == ServiceSettings().answers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "no setting colour"),
        ("[limits]\nstream = 1", "no setting stream"),
        ("[limits]\nstreams = 0", "streams must be in 1"),
        ('[limits]\nstreams = "many"', "limits.streams must be int"),
        ("[limits]\nstreams = true", "limits.streams must be int"),
        ("limits = 3", "limits must be a table"),
        ("[sources]\nfolders = 3", "sources.folders must be a list"),
        ('listen = "here"', "listen must be"),
        ('listen = "host:70000"', "listen must be"),
        ("objective_seconds = inf", "objective_seconds must be > 0"),
        ("drain_seconds = -1", "drain_seconds must be >= 0"),
        ("listen =", "not TOML"),
    ],
)
def test_a_bad_setting_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


def settled(index: int) -> QueuedResult:
    return QueuedResult(FrameResult(index, index, Fraction(1), float(index), ()), time.perf_counter())


def test_results_that_wait_leave_together_and_notes_keep_their_place() -> None:
    box = ResponseQueue(10, 3, 60.0, Metrics.none())
    entries = [settled(0), settled(1), settled(2), settled(3), ControlMessage("resume_point", 1), settled(4)]
    assert all([box.put(entry) for entry in entries])
    box.finish()
    assert [box.take() for _ in range(5)] == [entries[0:3], entries[3:4], entries[4], entries[5:6], None]
    assert not box.put(settled(5))


def test_a_result_does_not_wait_longer_than_it_may() -> None:
    box = ResponseQueue(10, 3, 0.05, Metrics.none())
    entry = settled(0)
    box.put(entry)
    assert box.take() == [entry]
    assert 0.05 <= time.perf_counter() - entry.at < 10


def test_a_full_outbox_holds_its_stream_up_until_somebody_reads_or_leaves() -> None:
    box, told = ResponseQueue(2, 1, 0.0, Metrics.none()), []
    thread = threading.Thread(target=lambda: told.extend(box.put(settled(index)) for index in range(4)))
    thread.start()
    assert box.take() is not None
    box.leave()
    thread.join(10)
    assert told[:2] == [True, True]
    assert told[-1] is False
    assert box.take() is None


def test_an_error_comes_behind_what_was_put_before_it_and_the_first_one_counts() -> None:
    box = ResponseQueue(5, 5, 0.0, Metrics.none())
    box.put(settled(0))
    box.finish(ConfigError("first"))
    box.finish(ConfigError("second"))
    assert isinstance(box.take(), list)
    with pytest.raises(ConfigError, match="first"):
        box.take()


def test_the_page_of_the_protocol_names_every_reason_that_the_code_gives() -> None:
    root = Path(__file__).resolve().parents[2]
    given = re.compile(r'(?:reason=|StatusError\([^"]*?|_refusal\()\s*"([A-Z][A-Z_]+)"')
    in_code = {
        reason
        for path in (root / "acfd_stream" / "service").rglob("*.py")
        for reason in given.findall(path.read_text())
    }
    table = (root / "docs" / "protocol.md").read_text().partition("google.rpc details")[2]
    on_page = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[2])
    }
    assert in_code == on_page
    assert {"MEDIA", "IDLE", "TOKEN_QUOTA"} <= in_code
