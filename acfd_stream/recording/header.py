"""What is known of a recording before its first result and after its last: header, settings, expected frames, end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acfd_stream.config import VideoConfig, effective
from acfd_stream.identity.views_file import ViewsHeader
from acfd_stream.outputs import ResultEnd, ResultHeader

if TYPE_CHECKING:
    from acfd_stream.pipeline.session import TrackSession
    from acfd_stream.types import MediaInfo

CHARACTERS = "characters"
"""Among the settings of results that have them."""


@dataclass(frozen=True)
class RecordingStart:
    """Known before the first result."""

    info: MediaInfo
    header: ResultHeader
    expected_frames: int | None = None  # as far as the container says
    is_resumed: bool = False  # the results continue after those of an earlier attempt

    @property
    def has_characters(self) -> bool:
        """Whether the results say which tracks belong to the same character."""
        return CHARACTERS in self.header.settings


def settings_of(session: TrackSession) -> dict[str, Any]:
    """All settings that change the results of ``session``, ready for JSON."""
    characters = {} if session.character_config is None else {CHARACTERS: _character_values(session)}
    return {
        "detect": effective(session.detector.config),
        "track": effective(session.track_config),
        "shot": effective(session.shot_config),
        "start": session.video_config.start_seconds,
        "end": session.video_config.end_seconds,
        "every_frame": session.video_config.every_frame,
        **characters,
    }


def _character_values(session: TrackSession) -> dict[str, Any]:
    """The settings of characters; the model has the name that it gives itself, which no path changes."""
    embedder, config = session.embedder, effective(session.character_config)
    return config if embedder is None else {**config, "model": embedder.name, "version": embedder.version}


def header_of(session: TrackSession, source: str | None = None) -> ResultHeader:
    """What results say before their first frame.

    Args:
        session: where they come from.
        source: what they call the video; None: what the session does.
    """
    info, engine = session.info, session.detector
    model = {"name": engine.spec.name, "version": engine.spec.version, "precision": engine.precision}
    name = info.source if source is None else source
    settings = settings_of(session)
    return ResultHeader(name, info.display_size, info.time_base, model, settings, info.frame_rate, info.times)


def views_header_of(session: TrackSession) -> ViewsHeader | None:
    """The first line of the views of ``session``; None: it has no characters."""
    embedder = session.embedder
    if embedder is None:
        return None
    return ViewsHeader(embedder.name, embedder.version, embedder.digest, embedder.link_similarity)


def end_of(session: TrackSession) -> ResultEnd:
    """What results say after their last frame; call it when the iteration is over."""
    warnings, gaps = tuple(session.warnings), tuple(session.gaps)
    return ResultEnd(
        *(session.tracks, session.is_complete, session.error, warnings, gaps, session.last_seconds),
        characters=session.characters,
    )


def expected_frames(info: MediaInfo, config: VideoConfig) -> int | None:
    """How many frames will come, as far as the container says; None where it does not."""
    is_whole = config.start_seconds is None and config.end_seconds is None
    if is_whole and info.frame_count is not None:
        return info.frame_count
    if info.frame_rate is None or info.duration_seconds is None:
        return None
    start = max(config.start_seconds or 0.0, 0.0)
    end = info.duration_seconds if config.end_seconds is None else min(config.end_seconds, info.duration_seconds)
    return max(round((end - start) * info.frame_rate), 0)
