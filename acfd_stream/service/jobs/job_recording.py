"""What a job does: it records one video as ``acfd-stream track`` does, on the shared engine.

Live streams come first: a job gets the batches that they leave.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import replace

from acfd_stream.config import StreamQueueConfig, require
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.demand import Demand
from acfd_stream.pipeline.engine import Engine
from acfd_stream.recording.cancellation import Cancelled
from acfd_stream.recording.failure_kind import SourceWatch
from acfd_stream.recording.header import RecordingStart
from acfd_stream.recording.record import Recorder, Recording, ignore
from acfd_stream.recording.task import RecordingSettings
from acfd_stream.service.access.sources import open_allowed
from acfd_stream.service.embedding import SharedEmbedder
from acfd_stream.service.jobs.attempts import JobContext
from acfd_stream.service.model_messages import loaded_model_pb
from acfd_stream.service.requests import read_request
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.v1 import job_pb2, stream_pb2
from acfd_stream.video import Source
from acfd_stream.video.origin import is_url, source_name
from acfd_stream.video.process.decoder import DecoderProcess
from acfd_stream.wire.messages import media_info_pb

LOWEST_PRIORITY = 9
_RETRY_SECONDS = 0.5  # between questions for capacity


class JobRecording:
    """Records the video of a SubmitJobRequest.

    Args:
        settings: what may be read, and the limits.
        engine: what all streams and jobs share.
        open_shared: gives a job its share of the engine.
        embedder: recognises characters, where a job asks for them.
        capacity: where a job reserves its share, and waits until there is one; None: it reserves none.
        new_decoder: makes the process that decodes a video; with None it is decoded in this one.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        engine: Engine,
        open_shared: Callable[[StreamQueueConfig], Engine],
        embedder: SharedEmbedder,
        capacity: Capacity | None = None,
        new_decoder: Callable[[], DecoderProcess | None] = ignore,
    ) -> None:
        self._settings, self._engine, self._open_shared, self._capacity = settings, engine, open_shared, capacity
        self._embedder, self._new_decoder = embedder, new_decoder

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
        wanted = "with config.with_characters, or left out"
        require(config.with_characters or not request.keeps_views, "keeps_views", True, wanted)
        with self._open(request.uri):
            pass

    def __call__(self, context: JobContext) -> Recording:
        """Record to the end, or until the job is cancelled.

        Raises:
            OverloadedError: the file changed while it was read.
            AcfdError: the job failed.
        """
        asked = job_pb2.SubmitJobRequest.FromString(context.job.request)
        request = read_request(asked.config, self._settings, self._engine)
        watch = None if is_url(asked.uri) else SourceWatch(asked.uri)
        context.checkpoints.stamp = None if watch is None else watch.stamp
        engine = self._open_shared(replace(request.queue, priority=LOWEST_PRIORITY))
        with closing(engine), ExitStack() as reserved:

            def begin(start: RecordingStart) -> None:
                reserved.close()  # where the recording begins again
                self._reserve(reserved, context, start)
                if not start.is_resumed:
                    context.describe(self._start_message(start, engine).SerializeToString(), start.expected_frames)

            return Recorder(
                source=lambda: self._open(asked.uri),
                settings=RecordingSettings(track=request.track, video=request.video, characters=request.characters),
                lines=context.lines,
                views=context.views if asked.keeps_views else None,
                checkpoints=context.checkpoints,
                engine=engine,
                embedder=None if request.characters is None else self._embedder.open(),
                cast=None if request.characters is None else self._embedder.cast,
                name=source_name(asked.uri),
                watch=watch,
                on_start=begin,
                on_progress=context.on_progress,
                cancellation=context.cancellation,
                new_decoder=self._new_decoder,
            ).record()

    def _open(self, uri: str) -> AbstractContextManager[Source]:
        source = open_allowed(uri, self._settings.sources)
        return nullcontext(source) if isinstance(source, str) else source

    def _reserve(self, reserved: ExitStack, context: JobContext, start: RecordingStart) -> None:
        """Wait until the job fits beside the streams that are admitted."""
        while self._capacity is not None:
            reservation = self._capacity.spare(Demand(start.info.display_size, caller=context.job.caller))
            if reservation is not None:
                reserved.callback(reservation.release)
                return
            if context.cancellation.wait(_RETRY_SECONDS):
                raise Cancelled

    def _start_message(self, start: RecordingStart, engine: Engine) -> stream_pb2.TrackStart:
        return stream_pb2.TrackStart(
            info=media_info_pb(start.info),
            model=loaded_model_pb(engine),
            settings_json=json.dumps(dict(start.header.settings)),
            character_model=self._embedder.message() if start.has_characters else None,
        )
