"""What a client says and hears on one stream, without the saying and hearing: both clients stand on it.

Settings become the first message, media the ones after it; answers become FrameResults. It remembers how far the stream
is and where it can go on, so that a stream that is begun again gives every frame once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from acfd_stream.client.faststart import streamable
from acfd_stream.config import DropPolicy, Pace, require
from acfd_stream.errors import ConfigError, MediaError, ServiceError
from acfd_stream.types import FrameResult, MediaInfo
from acfd_stream.v1 import face_track_pb2, stream_pb2
from acfd_stream.wire.messages import duration_pb, media_info_of, rational_pb, result_of, seconds_of, size_pb

CHUNK_BYTES = 64 * 2**10
"""Most bytes of media in a message."""
MODES = tuple(pace.value for pace in Pace)
POLICIES = tuple(policy.value for policy in DropPolicy)
PRIORITIES = ("low", "normal", "high")


@dataclass(frozen=True)
class StreamOptions:
    """What a client asks of one stream. What is not said is the server's choice."""

    mode: str = "file"
    """"file": every frame is answered, as well as can be. "live": at once, and frames may be dropped."""
    drop_policy: str | None = None
    """Of a live stream that comes faster than it is seen: "wait", "drop_oldest" or "drop_latest"."""
    priority: str | None = None
    """"low", "normal" or "high"."""
    declared_size: tuple[int, int] | None = None
    """(height, width) of a live stream, for which room is kept."""
    declared_fps: float | None = None
    """Frames a second of a live stream, for which room is kept, > 0."""
    objective_seconds: float | None = None
    """Longest time a frame of a live stream should take, > 0."""
    start_seconds: float | None = None
    """Frames presented before this are skipped."""
    end_seconds: float | None = None
    """Frames presented at or after this are not read."""
    every_frame: bool = False
    """Look also at frames that repeat the drawing before them."""
    name: str = ""
    """What the stream is called in statistics; at most 100 characters."""
    shows_overlay: bool = False
    """Whoever may look at the server's page may see the last frame."""
    model: str = ""
    """The model that must look; a server that has another one refuses."""
    size: int = 0
    """Longer side of the network's view that it must have, pixels; 0: any."""
    scales: tuple[int, ...] = ()
    """Scales that it must have; empty: any."""
    frame_time_base: Fraction = Fraction(1, 90000)
    """Seconds of one unit of pts of frames that are sent one by one."""

    def __post_init__(self) -> None:
        require(self.mode in MODES, "mode", self.mode, " or ".join(MODES))
        require(self.drop_policy in (None, *POLICIES), "drop_policy", self.drop_policy, ", ".join(POLICIES))
        require(self.priority in (None, *PRIORITIES), "priority", self.priority, ", ".join(PRIORITIES))
        for setting in ("declared_fps", "objective_seconds"):
            value = getattr(self, setting)
            require(value is None or value > 0, setting, value, "> 0")

    def message(self, resume_token: bytes = b"") -> Any:
        """The TrackConfig that says this."""
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
    settings: Mapping[str, Any]  # all that changes results
    objective_seconds: float | None  # None in file mode
    first_index: int


@dataclass(frozen=True)
class StreamEnd:
    """How a stream ended."""

    frames: int
    tracks: int
    is_complete: bool  # False: the media broke before its end
    error: str | None  # what broke, where it did
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodedFrame:
    """A frame that is sent by itself."""

    image: bytes  # PNG, JPEG or WebP
    pts: int  # in units of StreamOptions.frame_time_base, above that of the frame before


@dataclass
class StreamProgress:
    """How far one stream is, over all its tries."""

    source: str  # what the media is called in results
    options: StreamOptions
    start: StreamStart | None = None
    end: StreamEnd | None = None
    next_index: int = 0  # the first frame that was not given out
    next_frame: int = 0  # of frames that are sent one by one: the first that has to be sent again
    resume_token: bytes = b""
    _time_base: Fraction = field(default=Fraction(1))

    def first_request(self) -> Any:
        """The message that begins a try."""
        return face_track_pb2.TrackRequest(config=self.options.message(self.resume_token))

    def uri_request(self, uri: str) -> Any:
        """The one message of a try at media that the server reads itself."""
        return face_track_pb2.TrackUriRequest(uri=uri, config=self.options.message(self.resume_token))

    def take(self, response: Any) -> list[FrameResult]:
        """Note what ``response`` says; the frames in it that were not given out before.

        Raises:
            ServiceError: the server says something that it may not say now.
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
            raise ServiceError(f"the server goes on at frame {start.first_index}, not at {self.next_index}")
        model = {"name": start.model.name, "version": start.model.version, "precision": start.model.precision}
        objective = seconds_of(start.objective) if start.HasField("objective") else None
        try:
            settings = json.loads(start.settings_json or "{}")
        except json.JSONDecodeError as error:
            raise ServiceError(f"the server's settings are not JSON: {error}") from error
        self.start = StreamStart(start.stream_id, info, model, settings, objective, start.first_index)

    def _new(self, frames: Iterable[Any]) -> list[FrameResult]:
        fresh = []
        for frame in frames:
            if frame.index < self.next_index:
                continue  # from before the break
            if frame.index > self.next_index:
                raise ServiceError(f"frame {self.next_index} is missing: the server sent {frame.index}")
            self.next_index += 1
            fresh.append(result_of(frame, self._time_base))
        return fresh


def _stream_end(end: Any) -> StreamEnd:
    return StreamEnd(end.frame_count, end.track_count, end.is_complete, end.error or None, tuple(end.warnings))


Bytes = str | Path | BinaryIO | Iterable[bytes] | Callable[[], Iterable[bytes]]
"""A container: a file's path, a binary file object, pieces, or what gives the pieces from the beginning again."""


class MediaSource:
    """What is sent, and perhaps again after a break.

    Args:
        name: what it is called in results.
        is_replayable: it can be begun again.
    """

    def __init__(self, name: str, *, is_replayable: bool) -> None:
        self.name, self.is_replayable = name, is_replayable
        self._is_begun = False

    @property
    def is_spent(self) -> bool:
        """Whether it was begun and cannot be begun again."""
        return self._is_begun and not self.is_replayable

    def begin(self, what: str = "media") -> None:
        """Note that it is sent now.

        Raises:
            ConfigError: it was sent before and cannot be begun again; the message calls it ``what``.
        """
        if self.is_spent:
            raise ConfigError(f"the stream of {self.name} broke, and its {what} cannot be sent a second time")
        self._is_begun = True


class ByteMedia(MediaSource):
    """Bytes of a container in pieces that fit a message.

    A path and a callable can be begun again after a break; an open file and an iterable cannot. Of a path the index of
    an MP4 goes first, wherever it stands.
    """

    def __init__(self, source: Bytes, name: str = "<stream>") -> None:
        is_file = isinstance(source, str | Path)
        super().__init__(str(source) if is_file else name, is_replayable=is_file or callable(source))
        self._source = source

    def requests(self, next_frame: int = 0) -> Iterator[Any]:
        """The messages after the first.

        Raises:
            MediaError: the file cannot be read.
            ConfigError: it was read before and cannot be begun again.
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
    """Frames that are sent one by one. A list can be begun again after a break; an iterator cannot."""

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
        with path.open("rb") as pipe:  # what comes through it cannot be put in another order
            yield from _read_pieces(pipe)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error


def _read_pieces(file: Any) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # what a pipe has now, rather than all that would fit
    while piece := read(CHUNK_BYTES):
        yield piece


def cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of ``pieces``, at most ``CHUNK_BYTES`` at a time."""
    for piece in pieces:
        for offset in range(0, len(piece), CHUNK_BYTES):
            yield bytes(piece[offset : offset + CHUNK_BYTES])
