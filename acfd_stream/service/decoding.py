"""Where the service decodes videos: each in a process of its own, unless the settings say otherwise."""

from __future__ import annotations

from acfd_stream.metrics import Metrics
from acfd_stream.service.settings.decoding import DecodingSettings
from acfd_stream.video.process.decoder import DecoderProcess
from acfd_stream.video.process.fork_server import FORK_SERVER
from acfd_stream.video.process.limits import DecoderLimits


class Decoders:
    """Makes the decoder processes of a server.

    Args:
        settings: their limits.
        metrics: counts those that fail.
    """

    def __init__(self, settings: DecodingSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        bounds = settings.held_bytes, settings.silent_bytes, settings.silent_seconds
        self._limits = DecoderLimits(settings.memory_bytes, *bounds)
        if settings.processes:
            FORK_SERVER.start()  # so that the first video does not wait for it

    def new(self) -> DecoderProcess | None:
        """A process for one video, which the caller closes; None: decode in this process."""
        return DecoderProcess(self._limits, self._failed) if self._settings.processes else None

    def new_of_job(self) -> DecoderProcess | None:
        """A process for the video of a job, which gives way to live ones; else as ``new``."""
        decoder = self.new()
        if decoder is not None:
            decoder.give_way()
        return decoder

    def _failed(self, cause: str) -> None:
        self._metrics.decoder_failures.of(cause).inc()
