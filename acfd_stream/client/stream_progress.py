"""The state of one stream without its I/O, which both clients share.

Options become the first message, media the following ones, and responses FrameResults. ``StreamProgress`` knows how far
the stream is and its resume token, so that a resumed stream returns each frame once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from acfd_stream.characters import Character
from acfd_stream.client.faststart import streamable
from acfd_stream.config import DropPolicy, Pace, require, require_min_score
from acfd_stream.errors import ConfigError, MediaError, ServiceError
from acfd_stream.types import FrameResult, Gap, MediaInfo
from acfd_stream.v1 import face_track_pb2, stream_pb2
from acfd_stream.wire.messages import (
    characters_of,
    duration_pb,
    fraction_of,
    gaps_of,
    media_info_of,
    rational_pb,
    result_of,
    seconds_of,
    size_pb,
)

CHUNK_BYTES = 64 * 2**10
"""Maximum bytes of media per message."""
MODES = tuple(pace.value for pace in Pace)
POLICIES = tuple(policy.value for policy in DropPolicy)
PRIORITIES = ("low", "normal", "high")


@dataclass(frozen=True)
class StreamOptions:
    """Settings of one stream. The server chooses what is not set."""

    mode: str = "file"
    """"file": every frame gets a result. "live": low latency, and frames may be dropped."""
    drop_policy: str | None = None
    """For a live stream that is faster than the server: "wait", "drop_oldest" or "drop_latest"."""
    priority: str | None = None
    """"low", "normal" or "high"."""
    declared_size: tuple[int, int] | None = None
    """(height, width) of a live stream, for which capacity is reserved."""
    declared_fps: float | None = None
    """Frames per second of a live stream, for which capacity is reserved, > 0."""
    objective_seconds: float | None = None
    """Latency objective of a live stream, > 0."""
    start_seconds: float | None = None
    """Frames presented before this are skipped."""
    end_seconds: float | None = None
    """Frames presented at or after this are not read."""
    every_frame: bool = False
    """Run detection also on frames that repeat the previous drawing."""
    min_score: float | None = None
    """Minimum score of a detection that starts a track, [0, 1]."""
    with_characters: bool = False
    """Whether the results say which tracks belong to the same character."""
    name: str = ""
    """Name in statistics; at most 100 characters."""
    shows_overlay: bool = False
    """Whether the status page of the server may show the last frame."""
    model: str = ""
    """The required model; a server with another one refuses the stream."""
    size: int = 0
    """Required longer side of the network's input, pixels; 0: any."""
    scales: tuple[int, ...] = ()
    """Required scales; empty: any."""
    frame_time_base: Fraction = Fraction(1, 90000)
    """Time base of single frames: seconds per unit of pts."""

    def __post_init__(self) -> None:
        require(self.mode in MODES, "mode", self.mode, " or ".join(MODES))
        require(self.drop_policy in (None, *POLICIES), "drop_policy", self.drop_policy, ", ".join(POLICIES))
        require(self.priority in (None, *PRIORITIES), "priority", self.priority, ", ".join(PRIORITIES))
        if self.min_score is not None:
            require_min_score(self.min_score)
        for setting in ("declared_fps", "objective_seconds"):
            value = getattr(self, setting)
            require(value is None or value > 0, setting, value, "> 0")

    def message(self, resume_token: bytes = b"") -> Any:
        """The TrackConfig message of these options."""
        config = stream_pb2.TrackConfig(
            detect=stream_pb2.DetectConfig(model=self.model, size=self.size, scales=self.scales),
            mode=_number(stream_pb2.StreamMode, "STREAM_MODE", self.mode),
            drop_policy=_number(stream_pb2.DropPolicy, "DROP_POLICY", self.drop_policy),
            priority=_number(stream_pb2.Priority, "PRIORITY", self.priority),
            declared_size=None if self.declared_size is None else size_pb(self.declared_size),
            declared_frame_rate=self.declared_fps or 0.0,
            name=self.name,
            shows_overlay=self.shows_overlay,
            every_frame=self.every_frame,
            min_score=self.min_score,
            with_characters=self.with_characters,
            resume_token=resume_token,
            frame_time_base=rational_pb(self.frame_time_base),
        )
        for field_name, seconds in (
            ("start", self.start_seconds),
            ("end", self.end_seconds),
            ("objective", self.objective_seconds),
        ):
            if seconds is not None:
                getattr(config, field_name).CopyFrom(duration_pb(seconds))
        return config


def _number(kind: Any, prefix: str, name: str | None) -> int:
    return 0 if name is None else int(kind.Value(f"{prefix}_{name.upper()}"))


@dataclass(frozen=True)
class StreamStart:
    """What the server knows before the first result."""

    stream_id: str
    info: MediaInfo
    model: Mapping[str, str]  # name, version and precision
    settings: Mapping[str, Any]  # everything that affects results
    objective_seconds: float | None  # None in file mode
    first_index: int
    character_model: Mapping[str, str] | None = None
    """Name, version and precision; None: characters were not requested, or the server is too old to know them."""


@dataclass(frozen=True)
class StreamEnd:
    """How a stream ended."""

    frames: int
    tracks: int
    is_complete: bool  # False: the media broke off, or has gaps
    error: str | None  # why it broke off
    warnings: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()  # holes in the media, in order of time
    last_seconds: Fraction | None = None  # how long the last frame is on screen; None: one frame at the rate
    characters: tuple[Character, ...] = ()  # by rising number; they replace all links of frames


@dataclass(frozen=True)
class EncodedFrame:
    """A single frame to send."""

    image: bytes  # PNG, JPEG or WebP
    pts: int  # in units of StreamOptions.frame_time_base; must increase


@dataclass
class StreamProgress:
    """How far one stream is, over all its attempts."""

    source: str  # name of the media in results
    options: StreamOptions
    start: StreamStart | None = None
    end: StreamEnd | None = None
    next_index: int = 0  # the first frame that was not returned
    next_frame: int = 0  # of single frames: the first that must be sent after a resume
    resume_token: bytes = b""
    _time_base: Fraction = field(default=Fraction(1))

    def first_request(self) -> Any:
        """The first message of an attempt."""
        return face_track_pb2.TrackRequest(config=self.options.message(self.resume_token))

    def uri_request(self, uri: str) -> Any:
        """The only message of an attempt with media that the server reads."""
        return face_track_pb2.TrackUriRequest(uri=uri, config=self.options.message(self.resume_token))

    def take(self, response: Any) -> list[FrameResult]:
        """Update the state from ``response``; returns its results, without those that were returned before.

        Raises:
            ServiceError: the server breaks the protocol.
        """
        kind = response.WhichOneof("response")
        if kind == "start":
            self._begin(response.start)
        elif self.start is None or self.end is not None:
            raise ServiceError(f"the server sent {kind or 'nothing'} before the start or after the end of a stream")
        elif kind == "results":
            return self._new(response.results.frames)
        elif kind == "resume_point":
            self.resume_token = response.resume_point.token
            self.next_frame = response.resume_point.next_frame
        elif kind == "end":
            self.end = _stream_end(response.end)
        return []

    def _begin(self, start: Any) -> None:
        info = media_info_of(start.info, self.source)
        self._time_base = info.time_base
        if start.first_index > self.next_index:
            raise ServiceError(f"the server continues at frame {start.first_index}, not at {self.next_index}")
        objective = seconds_of(start.objective) if start.HasField("objective") else None
        try:
            settings = json.loads(start.settings_json or "{}")
        except json.JSONDecodeError as error:
            raise ServiceError(f"the server's settings are not JSON: {error}") from error
        character_model = _model(start.character_model) if start.HasField("character_model") else None
        self.start = StreamStart(
            start.stream_id, info, _model(start.model), settings, objective, start.first_index, character_model
        )

    def _new(self, frames: Iterable[Any]) -> list[FrameResult]:
        fresh = []
        for frame in frames:
            if frame.index < self.next_index:
                continue  # returned before the stream broke
            if frame.index > self.next_index:
                raise ServiceError(f"frame {self.next_index} is missing: the server sent {frame.index}")
            self.next_index += 1
            fresh.append(result_of(frame, self._time_base))
        return fresh


def _model(info: Any) -> dict[str, str]:
    return {"name": info.name, "version": info.version, "precision": info.precision}


def _stream_end(end: Any) -> StreamEnd:
    error, warnings, gaps = end.error or None, tuple(end.warnings), gaps_of(end.gaps)
    last_seconds = fraction_of(end.last_frame) if end.HasField("last_frame") else None
    characters = characters_of(end.characters)
    return StreamEnd(end.frame_count, end.track_count, end.is_complete, error, warnings, gaps, last_seconds, characters)


Bytes = str | Path | BinaryIO | Iterable[bytes] | Callable[[], Iterable[bytes]]
"""A container: a path, a binary file object, pieces, or a callable that returns the pieces from the start."""


class MediaSource:
    """Media to send.

    Args:
        name: its name in results.
        is_replayable: whether it can be sent again from the start.
    """

    def __init__(self, name: str, *, is_replayable: bool) -> None:
        self.name, self.is_replayable = name, is_replayable
        self._is_begun = False

    @property
    def is_spent(self) -> bool:
        """Whether it was sent and cannot be sent again."""
        return self._is_begun and not self.is_replayable

    def begin(self, what: str = "media") -> None:
        """Mark it as sent.

        Raises:
            ConfigError: it was sent before and cannot be sent again; the message calls it ``what``.
        """
        if self.is_spent:
            raise ConfigError(f"the stream of {self.name} broke, and its {what} cannot be sent a second time")
        self._is_begun = True


class ByteMedia(MediaSource):
    """Bytes of a container in pieces that fit a message.

    A path and a callable can be sent again; an open file and an iterable cannot. The index of an MP4 file goes first.
    """

    def __init__(self, source: Bytes, name: str = "<stream>") -> None:
        is_file = isinstance(source, str | Path)
        super().__init__(str(source) if is_file else name, is_replayable=is_file or callable(source))
        self._source = source

    def requests(self, next_frame: int = 0) -> Iterator[Any]:
        """The messages after the first.

        Raises:
            MediaError: the file cannot be read.
            ConfigError: it was sent before and cannot be sent again.
        """
        for piece in self.pieces():
            yield face_track_pb2.TrackRequest(data=piece)

    def pieces(self) -> Iterator[bytes]:
        """The bytes, at most ``CHUNK_BYTES`` at a time."""
        self.begin()
        if isinstance(self._source, str | Path):
            yield from cut(_file_pieces(Path(self._source)))
        elif callable(self._source):
            yield from cut(self._source())
        elif hasattr(self._source, "read"):
            yield from _read_pieces(self._source)
        else:
            yield from cut(self._source)


class FrameMedia(MediaSource):
    """Single frames. A list can be sent again; an iterator cannot."""

    def __init__(self, frames: Iterable[EncodedFrame], name: str = "<frames>") -> None:
        super().__init__(name, is_replayable=iter(frames) is not frames)
        self._frames = frames

    def requests(self, next_frame: int = 0) -> Iterator[Any]:
        """The messages after the first, from frame ``next_frame`` on."""
        self.begin("frames")
        for number, frame in enumerate(self._frames):
            if number >= next_frame:
                encoded = face_track_pb2.EncodedFrame(image=frame.image, pts=frame.pts)
                yield face_track_pb2.TrackRequest(frame=encoded)


Media = ByteMedia | FrameMedia


def _file_pieces(path: Path) -> Iterator[bytes]:
    if path.is_file():
        yield from streamable(path)
        return
    try:
        with path.open("rb") as pipe:  # a pipe cannot be reordered
            yield from _read_pieces(pipe)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error


def _read_pieces(file: Any) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # returns what a pipe has now, without filling the piece
    while piece := read(CHUNK_BYTES):
        yield piece


def cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of ``pieces``, at most ``CHUNK_BYTES`` at a time."""
    for piece in pieces:
        for offset in range(0, len(piece), CHUNK_BYTES):
            yield bytes(piece[offset : offset + CHUNK_BYTES])
