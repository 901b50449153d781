"""A session written down as JSON lines: what the command, a job of the service and an archive all do, byte for byte.

The lines go to a ``Sheet``, which keeps them with checkpoints; ``write_down`` goes on where an earlier one stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from acfd_stream.config import VideoConfig, effective
from acfd_stream.outputs import ResultEnd, ResultHeader
from acfd_stream.outputs.jsonl import JsonlLines

if TYPE_CHECKING:
    from acfd_stream.pipeline.session import TrackSession
    from acfd_stream.types import FrameResult, MediaInfo


def settings_of(session: TrackSession) -> dict[str, Any]:
    """All settings that change the results of ``session``, ready for JSON."""
    return {
        "detect": effective(session.detector.config),
        "track": effective(session.track_config),
        "shot": effective(session.shot_config),
        "start": session.video_config.start_seconds,
        "end": session.video_config.end_seconds,
        "every_frame": session.video_config.every_frame,
    }


def header_of(session: TrackSession, source: str | None = None) -> ResultHeader:
    """What results say before their first frame.

    Args:
        session: where they come from.
        source: what they call the video; None: what the session does.
    """
    info, engine = session.info, session.detector
    model = {"name": engine.spec.name, "version": engine.spec.version, "precision": engine.precision}
    name = info.source if source is None else source
    return ResultHeader(name, info.display_size, info.time_base, model, settings_of(session), info.frame_rate)


def end_of(session: TrackSession) -> ResultEnd:
    """What results say behind their last frame; once the iteration is over."""
    return ResultEnd(session.tracks, session.is_complete, session.error, tuple(session.warnings))


def expected_frames(info: MediaInfo, config: VideoConfig) -> int | None:
    """How many frames will come, as far as the container knows; None where it does not say."""
    is_whole = config.start_seconds is None and config.end_seconds is None
    if is_whole and info.frame_count is not None:
        return info.frame_count
    if info.frame_rate is None or info.duration_seconds is None:
        return None
    start = max(config.start_seconds or 0.0, 0.0)
    end = info.duration_seconds if config.end_seconds is None else min(config.end_seconds, info.duration_seconds)
    return max(round((end - start) * info.frame_rate), 0)


class Sheet(Protocol):
    """Where the lines of one video are laid down."""

    @property
    def is_stopped(self) -> bool:
        """Whether the work should end at its next checkpoint, which is now."""

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the last one is old enough."""

    def begin(self, header: bytes, session: TrackSession, *, is_resumed: bool) -> None:
        """Take the header line; where ``is_resumed`` it is there already.

        Raises:
            ResumeError: the lines that are there have another header.
        """

    def write(self, line: bytes, result: FrameResult, tracks: int) -> None:
        """Lay down the line of ``result``; ``tracks`` have begun so far."""

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep the lines so far, and ``state``, with which ``write_down`` goes on behind them."""


@dataclass(frozen=True)
class Closing:
    """How the video ended, and the line that says so, which is not laid down yet."""

    end: ResultEnd
    line: bytes


def write_down(
    session: TrackSession, sheet: Sheet, *, source: str | None = None, saved: Mapping[str, Any] | None = None
) -> Closing | None:
    """Lay all lines but the closing one on ``sheet``; None where it was stopped, after a checkpoint.

    Args:
        session: opened with ``resume=SessionState(saved["session"])`` where there is a ``saved``.
        sheet: holds the lines up to ``saved`` and nothing behind them.
        source: what the results call the video; None: what the session does.
        saved: what ``sheet`` was given to save, as JSON brings it back; None: from the beginning.
    """
    lines = JsonlLines(header_of(session, source), None if saved is None else saved["lines"])

    def save() -> None:
        sheet.save({"session": session.checkpoint().values, "lines": lines.state()})

    sheet.begin(lines.header(), session, is_resumed=saved is not None)
    for result in session:
        sheet.write(lines.frame(result), result, session.tracks)
        if sheet.is_stopped:
            session.stop()
        elif sheet.wants_checkpoint and session.error is None:  # what comes at a break that passes may not be so
            save()
    if not session.is_finished:
        if session.error is None:
            save()
        return None
    end = end_of(session)
    return Closing(end, lines.end(end))
