"""Types ↔ protobuf messages, in both directions and without loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from fractions import Fraction
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from acfd_stream.characters import Character, CharacterLink
from acfd_stream.checked import require
from acfd_stream.types import (
    FACE_FIELDS,
    Detections,
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

E = TypeVar("E", bound=Enum)
_MOST_SECONDS = 315_576_000_000  # of a Duration: 10,000 years


def _numbers(kind: type[E], wire: Any, prefix: str) -> dict[E, Any]:
    return {value: wire.Value(f"{prefix}_{value.name}") for value in kind}


_STATES = _numbers(FaceState, types_pb2.FaceState, "FACE_STATE")
_STAGES = _numbers(Stage, types_pb2.Stage, "STAGE")
_OUTCOMES = _numbers(Outcome, types_pb2.Outcome, "OUTCOME")
_DROP_REASONS = _numbers(DropReason, types_pb2.DropReason, "DROP_REASON")
_SEAMS = _numbers(Seam, types_pb2.Seam, "SEAM")
_GAP_CAUSES = _numbers(GapCause, types_pb2.GapCause, "GAP_CAUSE")
_STAGES_BY_NAME = {stage.value: number for stage, number in _STAGES.items()}
_STATES_BACK = {number: state for state, number in _STATES.items()}
_STAGES_BACK = {number: stage for stage, number in _STAGES.items()}
_OUTCOMES_BACK = {number: outcome for outcome, number in _OUTCOMES.items()}
_DROP_REASONS_BACK = {number: reason for reason, number in _DROP_REASONS.items()}
_SEAMS_BACK = {number: seam for seam, number in _SEAMS.items()}
_GAP_CAUSES_BACK = {number: cause for cause, number in _GAP_CAUSES.items()}
_MAPPED_FIELDS = ("track_id", "box_xyxy", "score", "state")
_FURTHER_FIELDS = tuple(each for each in FACE_FIELDS if each.attribute not in _MAPPED_FIELDS)


def duration_pb(seconds: float) -> Duration:
    """``seconds`` to the nanosecond."""
    message = Duration()
    _fill_duration(message, seconds)
    return message


def seconds_of(duration: Duration) -> float:
    """Seconds of a Duration."""
    return float(duration.seconds + duration.nanos / 1e9)


def rational_pb(value: Fraction) -> types_pb2.Rational:
    """``value``, exact."""
    return types_pb2.Rational(numerator=value.numerator, denominator=value.denominator)


def fraction_of(value: types_pb2.Rational) -> Fraction:
    """The exact value of a Rational whose denominator is above 0."""
    return Fraction(value.numerator, value.denominator)


def size_pb(size: tuple[int, int]) -> types_pb2.Size:
    """(height, width)."""
    return types_pb2.Size(height=size[0], width=size[1])


def _size_of(size: types_pb2.Size) -> tuple[int, int]:
    return size.height, size.width


def stage_pb(stage: Stage | str) -> Any:
    """The number of a stage, given as a member or by name."""
    return _STAGES[stage] if isinstance(stage, Stage) else _STAGES_BY_NAME[stage]


def outcome_pb(outcome: Outcome) -> Any:
    """The protobuf number of an outcome."""
    return _OUTCOMES[outcome]


def drop_reason_pb(reason: DropReason) -> Any:
    """The protobuf number of a drop reason."""
    return _DROP_REASONS[reason]


def stage_times_pb(timings: Mapping[str, float]) -> list[types_pb2.StageTime]:
    """Stage → seconds, in the order of Stage."""
    numbered = sorted((_STAGES_BY_NAME[name], seconds) for name, seconds in timings.items())
    return [types_pb2.StageTime(stage=stage, duration=duration_pb(seconds)) for stage, seconds in numbered]


def timings_of(times: Iterable[types_pb2.StageTime]) -> dict[str, float]:
    """Stage → seconds, without stages that only a newer server knows."""
    return {_STAGES_BACK[time.stage].value: seconds_of(time.duration) for time in times if time.stage in _STAGES_BACK}


def face_pb(face: Face) -> types_pb2.Face:
    """One face of one frame."""
    message = types_pb2.Face()
    _fill_face(message, face)
    return message


def _fill_face(message: types_pb2.Face, face: Face) -> None:
    message.track_id, message.score, message.state = face.track_id, face.score, _STATES[face.state]
    box = message.box
    box.x1, box.y1, box.x2, box.y2 = face.box_xyxy
    for each in _FURTHER_FIELDS:
        setattr(message, each.attribute, each.plain(face))


def face_of(face: types_pb2.Face) -> Face:
    """One face of one frame."""
    box = (face.box.x1, face.box.y1, face.box.x2, face.box.y2)
    further = (each.kind(getattr(face, each.attribute)) for each in _FURTHER_FIELDS)
    return Face(face.track_id, box, face.score, _STATES_BACK.get(face.state, FaceState.DETECTED), *further)


def detected_faces_pb(detections: Detections) -> list[types_pb2.Face]:
    """Faces of one picture, best first, without track IDs."""
    pairs = zip(detections.boxes_xyxy.tolist(), detections.scores.tolist(), strict=True)
    return [face_pb(Face(0, (x1, y1, x2, y2), score)) for (x1, y1, x2, y2), score in pairs]


def _fill_verdict(message: types_pb2.Verdict, verdict: Verdict) -> None:
    message.outcome = _OUTCOMES[verdict.outcome]
    if verdict.latency_seconds is not None:
        message.latency.SetInParent()  # a latency of 0 s differs from an unknown one
        _fill_duration(message.latency, verdict.latency_seconds)
    if verdict.cause is not None:
        message.cause = _STAGES_BY_NAME[verdict.cause]
    if verdict.drop_reason is not None:
        message.drop_reason = _DROP_REASONS[verdict.drop_reason]
    message.failure = verdict.failure


def _fill_duration(message: Duration, seconds: float) -> None:
    require(abs(seconds) <= _MOST_SECONDS, "a time", seconds, "a finite number of seconds")
    message.seconds, message.nanos = divmod(round(seconds * 1e9), 10**9)


def verdict_of(verdict: types_pb2.Verdict) -> Verdict:
    """The verdict on a frame."""
    cause = _STAGES_BACK.get(verdict.cause)
    return Verdict(
        _OUTCOMES_BACK.get(verdict.outcome, Outcome.OK),
        seconds_of(verdict.latency) if verdict.HasField("latency") else None,
        None if cause is None else cause.value,
        _DROP_REASONS_BACK.get(verdict.drop_reason),
        verdict.failure,
    )


def result_pb(result: FrameResult) -> types_pb2.FrameResult:
    """The result of one frame."""
    message = types_pb2.FrameResult()
    fill_result(message, result)
    return message


def results_pb(results: Iterable[FrameResult]) -> stream_pb2.FrameResults:
    """The results of several frames in one message."""
    message = stream_pb2.FrameResults()
    for result in results:
        fill_result(message.frames.add(), result)
    return message


def fill_result(message: types_pb2.FrameResult, result: FrameResult) -> None:
    """Write the result of one frame into an empty message; in place, which is faster."""
    message.index, message.pts, message.shot = result.index, result.pts, result.shot
    message.is_pts_filled, message.reused = result.is_pts_filled, result.reused
    message.is_truncated = result.is_truncated
    for face in result.faces:
        _fill_face(message.faces.add(), face)
    for stage, seconds in sorted((_STAGES_BY_NAME[name], seconds) for name, seconds in result.timings.items()):
        time = message.stage_times.add()
        time.stage = stage
        _fill_duration(time.duration, seconds)
    _fill_verdict(message.verdict, result.verdict)
    message.is_damaged = result.is_damaged
    message.seams.extend(_SEAMS[seam] for seam in result.seams)
    if result.display_size is not None:
        message.display_size.height, message.display_size.width = result.display_size
    for link in result.links:
        _fill_link(message.links.add(), link)


def _fill_link(message: types_pb2.CharacterLink, link: CharacterLink) -> None:
    message.track_id, message.character, message.confidence = link.track_id, link.character, link.confidence
    message.is_tentative, message.name = link.is_tentative, link.name


def _link_of(link: types_pb2.CharacterLink) -> CharacterLink:
    return CharacterLink(link.track_id, link.character, link.confidence, link.is_tentative, link.name)


def characters_pb(characters: Iterable[Character]) -> list[types_pb2.Character]:
    """The characters of a finished video."""
    return [
        types_pb2.Character(number=each.number, tracks=each.tracks, confidence=each.confidence, name=each.name)
        for each in characters
    ]


def characters_of(characters: Iterable[types_pb2.Character]) -> tuple[Character, ...]:
    """The characters of a finished video."""
    return tuple(Character(each.number, tuple(each.tracks), each.confidence, each.name) for each in characters)


def gaps_pb(gaps: Iterable[Gap]) -> list[types_pb2.Gap]:
    """The holes of a video."""
    return [
        types_pb2.Gap(time=gap.time, missing_seconds=gap.missing_seconds, cause=_GAP_CAUSES[gap.cause]) for gap in gaps
    ]


def gaps_of(gaps: Iterable[types_pb2.Gap]) -> tuple[Gap, ...]:
    """The holes of a video; a cause that only a newer server knows is a hole in the times."""
    return tuple(
        Gap(gap.time, gap.missing_seconds, _GAP_CAUSES_BACK.get(gap.cause, GapCause.TIME_HOLE)) for gap in gaps
    )


def result_of(result: types_pb2.FrameResult, time_base: Fraction) -> FrameResult:
    """The result of one frame of a stream with ``time_base``, seconds."""
    return FrameResult(
        index=result.index,
        pts=result.pts,
        time_base=time_base,
        pts_seconds=float(result.pts * time_base),
        faces=tuple(face_of(face) for face in result.faces),
        shot=result.shot,
        is_pts_filled=result.is_pts_filled,
        reused=result.reused,
        is_truncated=result.is_truncated,
        timings=timings_of(result.stage_times),
        verdict=verdict_of(result.verdict),
        is_damaged=result.is_damaged,
        seams=tuple(_SEAMS_BACK[seam] for seam in result.seams if seam in _SEAMS_BACK),
        display_size=_size_of(result.display_size) if result.HasField("display_size") else None,
        links=tuple(map(_link_of, result.links)),
    )


def media_info_pb(info: MediaInfo) -> types_pb2.MediaInfo:
    """Media information without the name of the source, which may be a path on the server."""
    return types_pb2.MediaInfo(
        display_size=size_pb(info.display_size),
        time_base=rational_pb(info.time_base),
        frame_rate=None if info.frame_rate is None else rational_pb(info.frame_rate),
        frame_count=info.frame_count,
        duration=None if info.duration_seconds is None else duration_pb(info.duration_seconds),
        codec=info.codec,
        times=info.times,
    )


def media_info_of(info: types_pb2.MediaInfo, source: str) -> MediaInfo:
    """Media information of the container of ``source``."""
    return MediaInfo(
        source=source,
        display_size=_size_of(info.display_size),
        time_base=fraction_of(info.time_base),
        frame_rate=fraction_of(info.frame_rate) if info.HasField("frame_rate") else None,
        frame_count=info.frame_count if info.HasField("frame_count") else None,
        duration_seconds=seconds_of(info.duration) if info.HasField("duration") else None,
        codec=info.codec,
        times=info.times,
    )
