"""``track_video``: a session in one call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, overload

from acfd_stream.characters import CharacterConfig
from acfd_stream.config import DetectConfig, PaceConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.errors import ConfigError
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.engine import Embedder, Engine
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import FrameResult
from acfd_stream.video import FrameFeed, Source
from acfd_stream.video.frame import Frame

if TYPE_CHECKING:
    from acfd_stream.identity.cast.matching import CastMatcher


class SessionOptions(TypedDict, total=False):
    """The options of ``track_video``, which describes them."""

    detector: Engine | None
    model: str | Path
    device: str
    video_config: VideoConfig | None
    detect_config: DetectConfig | None
    track_config: TrackConfig | None
    shot_config: ShotConfig | None
    pace: PaceConfig | None
    resume: SessionState | None
    characters: CharacterConfig | None
    embedder: Embedder | None
    cast: str | Path | CastMatcher | None


@overload
def track_video(
    source: Source | FrameFeed, *, with_frames: Literal[False] = False, **options: Unpack[SessionOptions]
) -> Iterator[FrameResult]: ...
@overload
def track_video(
    source: Source | FrameFeed, *, with_frames: Literal[True], **options: Unpack[SessionOptions]
) -> Iterator[tuple[Frame, FrameResult]]: ...


def track_video(
    source: Source | FrameFeed, *, with_frames: bool = False, **options: Unpack[SessionOptions]
) -> Iterator[FrameResult] | Iterator[tuple[Frame, FrameResult]]:
    """Face tracks of a video: one result per frame, in order.

    The source and the model are opened before this returns. Closing or dropping the iterator frees
    them. A video that breaks in the middle ends the iteration early without an error: use
    ``TrackSession`` to check whether it was complete.

    Args:
        source: path, URL, binary file object, ByteStream or FrameFeed.
        with_frames: give each result with its frame, as (Frame, FrameResult). A few dozen frames are in memory
            meanwhile: see ``TrackSession.with_frames``, which also says that dropped frames are left out.
        **options: keyword arguments, all optional:
            ``detector``: a detector to share between videos; it stays open. None: ``model`` is opened.
            ``model``: a shipped model's name ("acfd-n") or the path of an ONNX file.
            ``device``: "auto" (the default), "cpu" or "cuda".
            ``video_config``: range, threads and queue of decoding.
            ``detect_config``: sizes, thresholds and batch; only without ``detector``, which has its own.
            ``track_config``: how detections become tracks.
            ``shot_config``: how shots are detected.
            ``pace``: live or file mode. None: file mode.
            ``resume``: checkpoint of an earlier session; results continue after the last one that it returned, and are
            the same as without the interruption. Not with ``with_frames``.
            ``characters``: how tracks become characters. None: faces have no character. ``TrackSession.characters`` has
            the final answer.
            ``embedder``: a FaceEmbedder to share between videos; it stays open. None: the model of ``characters`` is
            opened.
            ``cast``: gives ``characters`` their names: the path of its file, or what ``Cast.matcher`` returned.

    Raises:
        MediaError: the source cannot be decoded.
        RunnerError: the model does not exist, is invalid, or fails.
        BackendUnavailable: the requested device cannot be used.
        CastError: the cast is damaged, no cast, or has embeddings of another network.
        ConfigError: no such device or cast, a cast without ``characters``, both ``detector`` and ``detect_config``, or
            both ``with_frames`` and ``resume``.
        ResumeError: ``resume`` is of another video, model or settings; may also be raised by the iteration.
    """
    if with_frames and options.get("resume") is not None:
        raise ConfigError("with_frames must be False with resume: the pixels of its first results are gone")
    session = TrackSession(source, **options)
    return session.with_frames() if with_frames else iter(session)
