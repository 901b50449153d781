"""Responses of one message as dataclasses, and their requests."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from acfd_stream.types import Face
from acfd_stream.v1 import face_track_pb2
from acfd_stream.wire.messages import duration_pb, face_of, seconds_of, size_pb


@dataclass(frozen=True)
class PictureFaces:
    """Faces of one picture."""

    display_size: tuple[int, int]  # (height, width) of the boxes
    faces: tuple[Face, ...]  # best first, with track_id 0
    is_truncated: bool  # a limit cut off some

    @classmethod
    def of(cls, response: Any) -> PictureFaces:
        """From a DetectResponse."""
        size = (response.size.height, response.size.width)
        return cls(size, tuple(face_of(face) for face in response.faces), response.is_truncated)


@dataclass(frozen=True)
class CapacityReply:
    """Whether there is capacity for one more live stream."""

    fits: bool
    headroom: float  # share of the engine that is free, [0, 1]
    reason: str
    retry_seconds: float | None  # delay before the next request; None: it fits, or never will

    @classmethod
    def of(cls, response: Any) -> CapacityReply:
        """From a GetCapacityResponse."""
        retry = seconds_of(response.retry_delay) if response.HasField("retry_delay") else None
        return cls(response.fits, response.headroom, response.reason, retry)


@dataclass(frozen=True)
class KnownModel:
    """A model of a server."""

    name: str
    version: str
    precision: str  # empty if it is not loaded
    description: str  # runtime, device and threads; empty if it is not loaded
    is_loaded: bool
    training_data: str
    date: str

    @classmethod
    def of(cls, model: Any) -> KnownModel:
        """From a ModelInfo."""
        return cls(**{field.name: getattr(model, field.name) for field in fields(cls)})


def detect_request(image: bytes, min_score: float) -> Any:
    """The request for the faces of an encoded picture with at least this score."""
    return face_track_pb2.DetectRequest(image=image, min_score=min_score)


def capacity_request(size: tuple[int, int], fps: float, objective_seconds: float | None) -> Any:
    """The request for the capacity for a live stream of (height, width) pictures."""
    objective = None if objective_seconds is None else duration_pb(objective_seconds)
    return face_track_pb2.GetCapacityRequest(size=size_pb(size), frame_rate=fps, objective=objective)
