"""A TrackConfig message → a checked ``StreamRequest``, before anything is opened for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import grpc

from acfd_stream.characters import CharacterConfig
from acfd_stream.config import (
    MOST_SCALES,
    DropPolicy,
    Pace,
    PaceConfig,
    ShotConfig,
    StreamQueueConfig,
    TrackConfig,
    VideoConfig,
    available_cores,
    require,
)
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.engine import Engine
from acfd_stream.pipeline.live_input_size import LIVE_SIZES, LiveInputSize
from acfd_stream.service.access.token_signer import TokenSigner
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.service.status import StatusError
from acfd_stream.types import Mode
from acfd_stream.v1 import stream_pb2
from acfd_stream.wire.messages import fraction_of, seconds_of

NAME_CHARACTERS = 100
FRAME_TIME_BASE = Fraction(1, 90_000)
"""Default time base of single frames, seconds."""
_TOP_FRAME_RATE = 1000.0
_LONGEST_OBJECTIVE = 60.0
_LATEST_SECONDS = 1e9
_INFER_SHARE = 0.8  # of the objective; the rest is for decoding, tracking and sending
_PRIORITIES = {
    stream_pb2.PRIORITY_HIGH: 0,
    stream_pb2.PRIORITY_NORMAL: 1,
    stream_pb2.PRIORITY_LOW: 3,
}
_POLICIES = {
    stream_pb2.DROP_POLICY_UNSPECIFIED: DropPolicy.WAIT,
    stream_pb2.DROP_POLICY_WAIT: DropPolicy.WAIT,
    stream_pb2.DROP_POLICY_DROP_OLDEST: DropPolicy.DROP_OLDEST,
    stream_pb2.DROP_POLICY_DROP_LATEST: DropPolicy.DROP_LATEST,
}


@dataclass(frozen=True)
class StreamRequest:
    """The checked settings of one stream."""

    pace: PaceConfig
    video: VideoConfig
    queue: StreamQueueConfig
    track: TrackConfig
    shot: ShotConfig
    name: str = ""
    shows_overlay: bool = False
    declared_size: tuple[int, int] | None = None  # (height, width)
    declared_rate: float | None = None  # frames per second
    frame_time_base: Fraction = FRAME_TIME_BASE
    resume: SessionState | None = None
    view_side: int = 0  # longer side of the network's input, pixels; 0: that of the engine
    characters: CharacterConfig | None = None  # None: they were not requested

    @property
    def is_live(self) -> bool:
        """Whether the stream is live."""
        return self.pace.is_live

    @property
    def mode(self) -> Mode:
        """The mode, as a label of the metrics."""
        return Mode.LIVE if self.is_live else Mode.FILE


def read_request(
    config: Any,
    settings: ServiceSettings,
    engine: Engine,
    signer: TokenSigner | None = None,
    live_view: LiveInputSize | None = None,
) -> StreamRequest:
    """The checked settings in a TrackConfig message.

    Args:
        config: the message.
        settings: of the service.
        engine: the running one.
        signer: verifies its resume token; None: the token is ignored.
        live_view: network input size of live frames; None: that of the engine.

    Raises:
        ConfigError: a value is outside its range.
        StatusError: FAILED_PRECONDITION, another engine was requested.
        ResumeError: this version cannot use the state in the resume token.
    """
    require_engine(config.detect, settings.model, engine)
    is_live = _member(stream_pb2.StreamMode, config.mode, "mode") == stream_pb2.STREAM_MODE_LIVE
    _member(stream_pb2.DropPolicy, config.drop_policy, "drop_policy")
    _member(stream_pb2.Priority, config.priority, "priority")
    require(is_live or not config.drop_policy, "drop_policy", config.drop_policy, "left out in file mode")
    require(
        len(config.name) <= NAME_CHARACTERS, "name", config.name[:20] + "…", f"at most {NAME_CHARACTERS} characters"
    )
    require(config.name.isprintable(), "name", config.name, "printable")
    objective = _seconds(config, "objective")
    require(
        objective is None or 0 < objective <= _LONGEST_OBJECTIVE, "objective", objective, "above 0 and at most 60 s"
    )
    pace = PaceConfig(
        pace=Pace.LIVE if is_live else Pace.FILE,
        policy=_POLICIES[config.drop_policy],
        objective_seconds=objective or settings.objective_seconds,
        stale_seconds=objective or settings.objective_seconds,  # otherwise a full queue makes every frame late
    )
    min_score = config.min_score if config.HasField("min_score") else None
    resume = SessionState(signer.unpack(config.resume_token)) if signer and config.resume_token else None
    return StreamRequest(
        pace=pace,
        video=_video(config, settings, is_live=is_live),
        queue=_queue(config.priority, pace, engine),
        track=TrackConfig.of_min_score(min_score, fills_gaps=not is_live),
        shot=ShotConfig(lookahead_frames=0) if is_live else ShotConfig(),
        name=config.name,
        shows_overlay=config.shows_overlay,
        declared_size=_size(config),
        declared_rate=_rate(config),
        frame_time_base=_time_base(config),
        resume=resume,
        view_side=_view_side(pace, resume, live_view, engine) if live_view and not config.detect.size else 0,
        characters=settings.characters if config.with_characters else None,
    )


def require_engine(requested: Any, model: str, engine: Engine) -> None:
    """Refuse a DetectConfig message that requests another engine than the running one.

    Raises:
        ConfigError: more scales were requested than any engine has.
        StatusError: FAILED_PRECONDITION, with the requested and the actual setting.
    """
    count = len(requested.scales)
    require(count <= MOST_SCALES, "scales", f"{count} of them", f"at most {MOST_SCALES} sides")
    config, spec = engine.config, engine.spec
    wanted: list[tuple[str, object, object, bool]] = [
        ("model", requested.model, spec.name, requested.model in ("", model, spec.name)),
        ("size", requested.size, config.size, requested.size in (0, config.size) or bool(config.scales)),
        (
            "scales",
            list(requested.scales),
            list(config.scales),
            not requested.scales or tuple(requested.scales) == config.scales,
        ),
        (
            "score_threshold",
            requested.score_threshold,
            config.score_threshold,
            not requested.HasField("score_threshold")
            or math.isclose(requested.score_threshold, config.score_threshold, rel_tol=1e-6),
        ),
    ]
    for name, want, have, is_right in wanted:
        if not is_right:
            message = f"{name} {want!r} was requested, but this server's engine has {have!r}; use a server that has it"
            both = {"setting": name, "asked": str(want), "here": str(have)}
            raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, "OTHER_ENGINE", message, metadata=both)


def _video(config: Any, settings: ServiceSettings, *, is_live: bool) -> VideoConfig:
    limits = settings.limits
    start, end = _seconds(config, "start"), _seconds(config, "end")
    return VideoConfig(
        threads=0 if is_live else 1,  # file streams share the cores; a live frame may use several
        queue_bytes=limits.queue_bytes,
        start_seconds=start,
        end_seconds=end,
        every_frame=config.every_frame,
        frame_pixels=limits.frame_pixels,
        url_timeout_seconds=min(VideoConfig.url_timeout_seconds, limits.idle_seconds),
    )


def _queue(priority: int, pace: PaceConfig, engine: Engine) -> StreamQueueConfig:
    if not pace.is_live:
        batch = engine.config.batch
        if engine.device == "cpu":  # one picture per thread runs at a time: more would only take memory
            batch = min(batch, engine.config.threads or available_cores())
        queue = StreamQueueConfig.background(batch)
    else:
        queue = StreamQueueConfig(deadline_seconds=_INFER_SHARE * pace.objective_seconds)
    return replace(queue, priority=_PRIORITIES[priority]) if priority else queue


def _view_side(pace: PaceConfig, resume: SessionState | None, live_view: LiveInputSize, engine: Engine) -> int:
    """Longer side of the network's input; a resumed stream keeps the one it had, perhaps on another machine."""
    if not pace.is_live:
        return 0
    had = None if resume is None else resume.values["settings"].get("detect.size")
    if had == engine.config.size:
        return 0
    return had if had in LIVE_SIZES else live_view.of(pace.objective_seconds)


def _seconds(config: Any, name: str) -> float | None:
    """A Duration field in seconds; None if it is not set."""
    if not config.HasField(name):
        return None
    duration = getattr(config, name)
    is_plain = abs(duration.seconds) <= _LATEST_SECONDS and abs(duration.nanos) < 10**9
    require(is_plain and duration.seconds * duration.nanos >= 0, name, str(duration).strip(), "a Duration")
    return seconds_of(duration)


def _size(config: Any) -> tuple[int, int] | None:
    if not config.HasField("declared_size"):
        return None
    size = config.declared_size.height, config.declared_size.width
    require(min(size) >= 1 and max(size) <= 65535, "declared_size", size, "sides in 1 … 65535")
    return size


def _rate(config: Any) -> float | None:
    rate = config.declared_frame_rate
    require(math.isfinite(rate) and 0 <= rate <= _TOP_FRAME_RATE, "declared_frame_rate", rate, "in 0 … 1000")
    return rate or None


def _time_base(config: Any) -> Fraction:
    if not config.HasField("frame_time_base"):
        return FRAME_TIME_BASE
    base = config.frame_time_base
    require(
        base.numerator >= 1 and base.denominator >= 1, "frame_time_base", f"{base.numerator}/{base.denominator}", "> 0"
    )
    return fraction_of(base)


def _member(kind: Any, number: int, name: str) -> int:
    require(number in kind.values(), name, number, f"one of {', '.join(kind.keys())}")
    return number
