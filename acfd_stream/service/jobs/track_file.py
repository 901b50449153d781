"""The work of a job that names one video: what ``acfd-stream track`` does, over a lane of the shared engine.

It takes the turns that live streams leave. Its lines are those of the command, byte for byte; after a restart it goes
on from its checkpoint, or begins again where that does not fit any more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import grpc

from acfd_stream.config import StreamQueueConfig, require
from acfd_stream.errors import ConfigError, ResumeError
from acfd_stream.pipeline.capacity import Capacity, Demand
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.engine import Engine
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.recording.record import settings_of, write_down
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.access.sources import open_allowed
from acfd_stream.service.jobs.record import JobEnd
from acfd_stream.service.jobs.runner import Desk, Stopped
from acfd_stream.service.model_messages import loaded_model_pb
from acfd_stream.service.requests import read_request
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.types import FrameResult, JobState
from acfd_stream.v1 import job_pb2, stream_pb2
from acfd_stream.video.origin import source_name
from acfd_stream.wire.messages import media_info_pb

LOWEST_PRIORITY = 9
_ASK_SECONDS = 0.5  # a job for which there is no room asks again so often
_BROKEN = int(grpc.StatusCode.DATA_LOSS.value[0])
_log = logging.getLogger(__name__)


class TrackFile:
    """Tracks the video of a SubmitJobRequest; a ``Work``.

    Args:
        settings: what may be read, and the limits.
        engine: what the lanes lead to.
        open_shared: a way to it, for one job.
        capacity: where a job takes its place among the streams, and waits while there is none; None: it takes none.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        engine: Engine,
        open_shared: Callable[[StreamQueueConfig], Engine],
        capacity: Capacity | None = None,
    ) -> None:
        self._settings, self._engine, self._open_shared, self._capacity = settings, engine, open_shared, capacity

    def check(self, request: job_pb2.SubmitJobRequest) -> None:
        """Refuse what cannot become a job.

        Raises:
            ConfigError: a setting is outside its range, or for streams only.
            StatusError: the video may not be read, or another engine is asked for.
            MediaError: there is no such file.
        """
        config = request.config
        require(config.mode != stream_pb2.STREAM_MODE_LIVE, "config.mode", "STREAM_MODE_LIVE", "STREAM_MODE_FILE")
        require(not config.resume_token, "config.resume_token", "a token", "empty: a job goes on by itself")
        read_request(config, self._settings, self._engine)
        source = open_allowed(request.uri, self._settings.sources)
        if not isinstance(source, str):
            source.close()

    def __call__(self, desk: Desk) -> JobEnd:
        """Track to the end, or to where the desk says stop; see ``Work``."""
        if desk.job.checkpoint is not None:
            try:
                return self._track(desk, tokens.unpack(desk.job.checkpoint))
            except (ConfigError, ResumeError) as error:
                _log.warning("job %s begins again: %s", desk.job.job_id, error)
                desk.restart()
        return self._track(desk, None)

    def _track(self, desk: Desk, saved: dict[str, Any] | None) -> JobEnd:
        asked = job_pb2.SubmitJobRequest.FromString(desk.job.request)
        request = read_request(asked.config, self._settings, self._engine)
        source = open_allowed(asked.uri, self._settings.sources)
        with ExitStack() as opened:
            if not isinstance(source, str):
                opened.enter_context(source)
            lane = opened.enter_context(closing(self._open_shared(replace(request.lane, priority=LOWEST_PRIORITY))))
            session = opened.enter_context(
                TrackSession(
                    source,
                    detector=lane,
                    video_config=request.video,
                    pace=request.pace,
                    resume=None if saved is None else SessionState(saved["session"]),
                )
            )
            self._take_place(opened, desk, session)
            desk.on_stop(session.stop)
            opened.callback(desk.on_stop, None)
            return _written(desk, session, source_name(asked.uri), saved)

    def _take_place(self, opened: ExitStack, desk: Desk, session: TrackSession) -> None:
        """Wait until the job fits beside the streams that are inside."""
        while self._capacity is not None:
            reservation = self._capacity.spare(Demand(session.info.display_size))
            if reservation is not None:
                opened.callback(reservation.release)
                return
            if desk.is_stopped_within(_ASK_SECONDS):
                raise Stopped


class _DeskSheet:
    """A desk as a ``Sheet``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def is_stopped(self) -> bool:
        return self._desk.is_stopped

    @property
    def wants_checkpoint(self) -> bool:
        return self._desk.wants_checkpoint

    def begin(self, header: bytes, session: TrackSession, *, is_resumed: bool) -> None:
        if not is_resumed:
            self._desk.describe(_start(session).SerializeToString(), session.info.frame_count)
            self._desk.write(header, 0, 0)

    def write(self, line: bytes, result: FrameResult, tracks: int) -> None:
        self._desk.write(line, 1, tracks)

    def save(self, state: Mapping[str, Any]) -> None:
        self._desk.save(tokens.pack(state))


def _written(desk: Desk, session: TrackSession, source: str, saved: dict[str, Any] | None) -> JobEnd:
    """Lay down all lines, behind those that are there already."""
    closing = write_down(session, _DeskSheet(desk), source=source, saved=saved)
    if closing is None:
        raise Stopped
    desk.write(closing.line, 0, session.tracks)
    end = closing.end
    if end.error is not None:
        return JobEnd(JobState.FAILED, end.error, _BROKEN, end.warnings)
    return JobEnd(JobState.DONE, warnings=end.warnings)


def _start(session: TrackSession) -> stream_pb2.TrackStart:
    return stream_pb2.TrackStart(
        info=media_info_pb(session.info),
        model=loaded_model_pb(session.detector),
        settings_json=json.dumps(settings_of(session)),
    )
