"""The job service in one piece, for the server that it is part of."""

from __future__ import annotations

from collections.abc import Callable

from acfd_stream.config import StreamQueueConfig
from acfd_stream.errors import ConfigError
from acfd_stream.metrics import Metrics
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.engine import Engine
from acfd_stream.service.jobs.results import FileResults, MemoryResults, ResultLog, made
from acfd_stream.service.jobs.runner import JobRunner
from acfd_stream.service.jobs.servicer import JobServicer
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.jobs.track_file import TrackFile
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.service.status import status_of

_RESULTS = "results"


class Jobs:
    """Store, results, workers and calls of all jobs. Begin with ``start``, end with ``close``.

    Args:
        settings: of the service; ``jobs`` says what is kept.
        engine: what looks at the frames.
        open_shared: a way to it, for one job.
        metrics: where jobs and their frames are counted.
        capacity: where jobs take their places among the streams.

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
    ) -> None:
        folder = settings.jobs.state_dir
        self._store = JobStore(None if folder is None else made(folder))
        try:
            results: ResultLog = MemoryResults() if folder is None else FileResults(folder / _RESULTS)
        except ConfigError:
            self._store.close()
            raise
        work = TrackFile(settings, engine, open_shared, capacity)
        self.runner = JobRunner(
            self._store,
            results,
            work,
            settings.jobs,
            code_of=lambda error: int(status_of(error).code),
            metrics=metrics,
        )
        self.servicer = JobServicer(self.runner, work.check)

    def start(self) -> None:
        """Take up unfinished jobs, and begin to work."""
        self.runner.start()

    def close(self, patience_seconds: float = 10.0) -> None:
        """Stop jobs at a checkpoint, from which the next server goes on. Readers of results are told."""
        if self.runner.close(patience_seconds):
            self._store.close()
