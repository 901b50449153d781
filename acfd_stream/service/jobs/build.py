"""The job service in one piece, for the server that it is part of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from acfd_stream.config import StreamQueueConfig
from acfd_stream.errors import ConfigError
from acfd_stream.metrics import Metrics
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.engine import Engine
from acfd_stream.service.access.callers import Callers
from acfd_stream.service.decoding import Decoders
from acfd_stream.service.embedding import SharedEmbedder
from acfd_stream.service.jobs.by_caller import no_limits
from acfd_stream.service.jobs.job_recording import JobRecording
from acfd_stream.service.jobs.results import JobResults
from acfd_stream.service.jobs.runner import JobRunner
from acfd_stream.service.jobs.servicer import JobServicer
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.jobs.waiting import ERRNOS, StoreTrouble
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.service.status import status_of

_RESULTS = "results"


class Jobs:
    """Store, results, workers and calls of all jobs. Begin with ``start``, end with ``close``.

    Args:
        settings: of the service; ``jobs`` says what is kept.
        engine: detects the faces.
        open_shared: gives one job its share of the engine.
        metrics: where jobs and their frames are counted.
        capacity: where jobs reserve their share beside the streams.
        callers: has the limits of each caller, and counts their streams of results; None: there are no such limits.
        decoders: where videos are decoded; None: as the settings say, without metrics.
        embedder: recognises characters; None: as the settings say, without metrics.
        is_memory_short: whether no job may begin now.

    Raises:
        ConfigError: the state folder cannot be used, or another server uses it.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        engine: Engine,
        open_shared: Callable[[StreamQueueConfig], Engine],
        metrics: Metrics | None = None,
        capacity: Capacity | None = None,
        callers: Callers | None = None,
        decoders: Decoders | None = None,
        embedder: SharedEmbedder | None = None,
        is_memory_short: Callable[[], bool] = lambda: False,
    ) -> None:
        folder = settings.jobs.state_dir
        self._store = JobStore(folder)
        try:
            results = JobResults(None if folder is None else made(folder / _RESULTS), settings.jobs.result_bytes)
        except ConfigError:
            self._store.close()
            raise
        decoders = decoders or Decoders(settings.decoding, metrics or Metrics.none())
        embedder = embedder or SharedEmbedder(settings.characters.model, metrics or Metrics.none(), settings.cast)
        recording = JobRecording(settings, engine, open_shared, embedder, capacity, decoders.new_of_job)
        self.runner = JobRunner(
            self._store,
            results,
            recording,
            settings.jobs,
            code_of=lambda error: int(status_of(error).code),
            metrics=metrics,
            limits_of=no_limits if callers is None else callers.limits_of,
            newcomers=settings.callers.newcomers,
            is_memory_short=is_memory_short,
        )
        self.servicer = JobServicer(self.runner, recording.check, callers, settings.limits)

    def start(self) -> None:
        """Take up unfinished jobs, and begin to work."""
        self.runner.start()

    def usage(self) -> dict[str, Counter[str]]:
        """Caller → what its jobs hold, under the names of its limits."""
        with suppress(StoreTrouble):
            return self._store.usage()
        return {}  # until the store can be read again

    def close(self, patience_seconds: float = 10.0) -> None:
        """Stop jobs at a checkpoint, from which the next server continues. Streams of results end with an error."""
        if self.runner.close(patience_seconds):
            self._store.close()


def made(folder: Path) -> Path:
    """``folder``, readable only by its owner, made when missing; on a full disk it is made later, with the first file.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in ERRNOS:
            return folder
        raise ConfigError(f"jobs.state_dir: cannot make {folder}: {error.strerror}") from error
    return folder
