"""The loop that turns one video into result files. No other place writes the results of a ``TrackSession``."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acfd_stream.errors import ConfigError, DecoderError, MediaError, ResumeError
from acfd_stream.identity.views_file import header_line
from acfd_stream.outputs import ResultEnd
from acfd_stream.outputs.formats import VIEWS
from acfd_stream.outputs.jsonl import JsonlLines
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.engine import Embedder, Engine
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.recording.cancellation import Cancellation, Cancelled
from acfd_stream.recording.checkpoint import Checkpoint, CheckpointStore
from acfd_stream.recording.failure_kind import SourceWatch
from acfd_stream.recording.header import RecordingStart, end_of, expected_frames, header_of, views_header_of
from acfd_stream.recording.lines import Lines
from acfd_stream.recording.remote import opened
from acfd_stream.recording.sinks import ResultSink, open_sinks
from acfd_stream.recording.stats import Attempt, RecordingStats
from acfd_stream.recording.task import RecordingProgress, RecordingSettings, RecordingState
from acfd_stream.recording.views import view_lines
from acfd_stream.types import FrameResult
from acfd_stream.video import Source, open_video
from acfd_stream.video.frame import Frame
from acfd_stream.video.process.decoder import DecoderProcess
from acfd_stream.video.source import OpenVideo

if TYPE_CHECKING:
    from acfd_stream.identity.cast.matching import CastMatcher

OpenSource = Callable[[], AbstractContextManager[Source]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """How a recording ended."""

    state: RecordingState  # DONE, BROKEN or CANCELLED
    end: ResultEnd  # as the closing line says it; of a cancelled recording without meaning


def ignore(*about: object) -> None:
    """Do nothing: the default of callbacks."""


@dataclass(kw_only=True)
class Recorder:
    """Tracks one video from its checkpoint, or from the beginning, and writes every result. ``record`` is the loop."""

    source: str | OpenSource
    """Path or URL, also of a remote store; or what opens the source."""
    settings: RecordingSettings
    """What decides the results. With an ``engine`` its model, device and detect settings hold instead."""
    lines: Lines | None = None
    """Takes the results as JSON lines. What it holds after the checkpoint is cut off."""
    views: Lines | None = None
    """Takes the views of tracks as JSON lines, where there are characters; cut off and saved as ``lines`` are."""
    checkpoints: CheckpointStore | None = None
    """Where the recording continues from, and saves its ``lines``; goes with them."""
    sinks: Sequence[ResultSink] = ()
    """Take the results besides. The first one opens last and closes first. They cannot be resumed."""
    engine: Engine | None = None
    """A detector that is shared and stays open; None: the model is opened after the video."""
    embedder: Embedder | None = None
    """A network of characters that is shared and stays open; None: that of the settings is opened."""
    cast: CastMatcher | None = None
    """The members of a cast that is shared; None: the cast of the settings is read."""
    name: str | None = None
    """What results call the video; None: what the session does."""
    watch: SourceWatch | None = None
    """Notices a source that changes or a store that fails; None: both go unnoticed."""
    attempt: Attempt = field(default_factory=Attempt)
    """Takes the statistics, also of a recording that fails."""
    on_start: Callable[[RecordingStart], None] = ignore
    """Called before the first result; may wait, and raise Cancelled."""
    on_progress: Callable[[RecordingProgress, FrameResult], None] = ignore
    """Called after every result, which is written then; may raise."""
    cancellation: Cancellation = field(default_factory=Cancellation)
    """Stops the recording at a checkpoint."""
    new_decoder: Callable[[], DecoderProcess | None] = ignore
    """Makes the process that decodes the video; with None it is decoded in this one."""

    def record(self) -> Recording:
        """Record the video; call it once.

        A ResumeError is logged and the recording begins at the beginning, once: ``source`` is opened and ``on_start``
        is called again.

        Returns:
            DONE; BROKEN where the media ended early: ``end.error`` says why; CANCELLED without a closing line.

        Raises:
            OverloadedError: ``watch`` saw the source change or its store fail; the checkpoint stays.
            MediaError: the source holds nothing that can be decoded.
            OutputError: the results cannot be written.
            AcfdError: anything else that prevents a recording.
        """
        if self.sinks and self.checkpoints is not None:
            raise ConfigError("sinks cannot continue in mid-file; use either sinks or checkpoints")
        try:
            return self._run()
        except Cancelled:
            return Recording(RecordingState.CANCELLED, ResultEnd(0))
        finally:
            for lines in (self.lines, self.views):
                if lines is not None:
                    lines.close()

    def _run(self) -> Recording:
        if self.checkpoints is not None:
            saved = self.checkpoints.load()
            if saved is not None:
                try:
                    return self._run_from(saved)
                except ResumeError as error:
                    _log.warning("%s begins again: %s", self.name or self.source, error)
            self.checkpoints.clear()  # before the lines are emptied, which it describes
        return self._run_from(None)

    def _run_from(self, saved: Checkpoint | None) -> Recording:
        self.attempt.begin_with(RecordingStats() if saved is None else saved.stats)
        with ExitStack() as stack:
            if self.lines is not None:
                self.lines.truncate(0 if saved is None else saved.size)
            if self.views is not None:
                self.views.truncate(0 if saved is None else saved.views_size)
            source = self.source
            media = stack.enter_context(opened(source) if isinstance(source, str) else source())
            try:
                session = stack.enter_context(self._opened(stack, media, saved))
                stack.enter_context(self.cancellation.on_cancel(session.stop))
                return self._record(session, saved)
            except (MediaError, ResumeError) as error:
                if self.watch is not None:
                    self.watch.explain(error)
                raise

    def _opened(self, stack: ExitStack, media: Source, saved: Checkpoint | None) -> TrackSession:
        """The session; a cancellation ends an opening, too, where another process decodes."""
        process = self.new_decoder()
        if process is None:
            return self._session(media, saved, open_video)
        stack.callback(process.close)
        with self.cancellation.on_cancel(process.close):
            try:
                return self._session(media, saved, process.open)
            except DecoderError:
                self.cancellation.check()
                raise

    def _session(self, media: Source, saved: Checkpoint | None, opener: OpenVideo) -> TrackSession:
        settings = self.settings
        detector: dict[str, Any] = {"detector": self.engine}
        if self.engine is None:
            detector = {"model": settings.model, "device": settings.device, "detect_config": settings.detect}
        return TrackSession(
            media if self.watch is None else self.watch.watched(media),
            **detector,
            video_config=settings.video,
            track_config=settings.track,
            shot_config=settings.shot,
            characters=settings.characters,
            embedder=self.embedder,
            keeps_views=self.views is not None,
            cast=settings.cast if self.cast is None else self.cast,
            resume=None if saved is None else SessionState(saved.session),
            opener=opener,
        )

    def _record(self, session: TrackSession, saved: Checkpoint | None) -> Recording:
        header = header_of(session, self.name)
        frames = expected_frames(session.info, session.video_config)
        start = RecordingStart(session.info, header, frames, is_resumed=saved is not None)
        jsonl = JsonlLines(header, None if saved is None else saved.lines)
        with open_sinks(self.sinks, start):
            self.on_start(start)
            self._begin_lines(jsonl, is_resumed=start.is_resumed)
            self._begin_views(session, is_resumed=start.is_resumed)
            self.attempt.follow(session.stage_times)
            try:
                self._write_frames(session, jsonl, frames)
            finally:
                self.attempt.measure()
            if not session.is_finished:
                if session.error is None:
                    self._save(session, jsonl)
                return Recording(RecordingState.CANCELLED, ResultEnd(session.tracks))
            end = end_of(session)
            if self.watch is not None:
                self.watch.require_sound(end.error)
            self._append_views(session)
            self._end_lines(jsonl, end)
            for sink in self.sinks:
                sink.close(end)
        return Recording(RecordingState.BROKEN if end.is_broken else RecordingState.DONE, end)

    def _begin_lines(self, jsonl: JsonlLines, *, is_resumed: bool) -> None:
        if self.lines is None:
            return
        if not is_resumed:
            self.lines.append(jsonl.header())
        elif not self.lines.starts_with(jsonl.header()):
            raise ResumeError("its lines have another header; begin at the beginning")

    def _begin_views(self, session: TrackSession, *, is_resumed: bool) -> None:
        if self.views is None or is_resumed:
            return
        header = views_header_of(session)
        if header is not None:
            self.views.append(header_line(header))

    def _append_views(self, session: TrackSession) -> None:
        views = session.take_views()
        if self.views is not None and views:
            self.views.append(view_lines(views))

    def _write_frames(self, session: TrackSession, jsonl: JsonlLines, expected: int | None) -> None:
        saved_at, size = time.perf_counter(), 0
        interval = math.inf if self.checkpoints is None else self.checkpoints.interval_seconds
        with closing(_frames(session, self.sinks)) as frames:
            for frame, result in frames:
                if self.lines is not None:
                    self.lines.append(jsonl.frame(result))
                    size = self.lines.size
                self._append_views(session)
                self.attempt.stats.count(result, session.tracks)
                for sink in self.sinks:
                    sink.write(frame, result)
                self.on_progress(self.attempt.progress(expected, result_bytes=size), result)
                is_due = time.perf_counter() - saved_at >= interval
                # Results after a break may be wrong where the break is not the video's: they are in no checkpoint.
                if is_due and session.error is None and not self.cancellation.is_cancelled:
                    self._save(session, jsonl)
                    saved_at = time.perf_counter()

    def _save(self, session: TrackSession, jsonl: JsonlLines) -> None:
        if self.lines is None or self.checkpoints is None:
            return
        self.attempt.measure()
        self.lines.sync()
        lines = jsonl.state()
        if self.views is not None:
            self._append_views(session)
            self.views.sync()
            lines[VIEWS] = self.views.size
        state = session.checkpoint().values
        self.checkpoints.save(Checkpoint(state, lines, self.lines.size, self.attempt.stats))

    def _end_lines(self, jsonl: JsonlLines, end: ResultEnd) -> None:
        if self.lines is None:
            return
        self.lines.append(jsonl.end(end))
        self.lines.sync()
        if self.views is not None:
            self.views.sync()
        self.attempt.stats.video_seconds = jsonl.duration_seconds(end)


def _frames(
    session: TrackSession, sinks: Sequence[ResultSink]
) -> Generator[tuple[Frame | None, FrameResult], None, None]:
    """Results in order, with their pixels only where a sink draws on them."""
    if any(sink.needs_frames for sink in sinks):
        yield from session.with_frames()
    else:
        for result in session:
            yield None, result
