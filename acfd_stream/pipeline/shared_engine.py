"""One stream's view of the engine that all streams share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType

from acfd_stream.config import DetectConfig
from acfd_stream.detect.runner import ModelSpec
from acfd_stream.pipeline.batching import Seen, StreamQueue
from acfd_stream.pipeline.engine import Engine
from acfd_stream.types import Picture


class SharedEngine:
    """The shared engine as one stream uses it; an ``Engine``. ``Scheduler.open_shared`` makes it. A context manager.

    Args:
        engine: the engine behind the scheduler.
        queue: the stream's queue.
        lock: the scheduler's lock.
        detect: the scheduler's, called with this object and pictures.
        leave: the scheduler's, called with this object when it closes.
        view_side: longer side of the pictures for the network; 0: the engine's own.
    """

    def __init__(
        self,
        engine: Engine,
        queue: StreamQueue,
        lock: threading.Lock,
        detect: Callable[[SharedEngine, Sequence[Picture]], list[Seen]],
        leave: Callable[[SharedEngine], None],
        view_side: int = 0,
    ) -> None:
        self.queue = queue
        self.changed = threading.Condition(lock)
        self.is_closed = False
        self._engine, self._detect, self._leave = engine, detect, leave
        config = engine.config
        self._view_side = 0 if config.scales or view_side == config.size else view_side
        self._config = replace(config, batch=queue.config.batch, size=self._view_side or config.size)

    @property
    def config(self) -> DetectConfig:
        """The engine's, with the stream's view, and as many pictures at once as the stream's config says."""
        return self._config

    @property
    def spec(self) -> ModelSpec:
        """What the model file says of itself."""
        return self._engine.spec

    @property
    def precision(self) -> str:
        """Arithmetic of the network."""
        return self._engine.precision

    @property
    def description(self) -> str:
        """Runtime, device, precision and threads."""
        return self._engine.description

    @property
    def device(self) -> str:
        """Where the planes of pictures should lie."""
        return self._engine.device

    @property
    def concurrency(self) -> int:
        """The engine's."""
        return self._engine.concurrency

    def detect_timed(self, pictures: Sequence[Picture]) -> list[Seen]:
        """As ``Engine.detect_timed``; stage "queue" holds the time in the stream too.

        Waits while the stream or the scheduler holds as much as it may. May be called from several threads.

        Raises:
            ShapeError: the planes of a picture are not what it says.
            RunnerError: the runtime failed, or stream or scheduler were closed, before or in the meantime.
        """
        if self._view_side:
            pictures = [replace(picture, view_side=self._view_side) for picture in pictures]
        return self._detect(self, pictures)

    def close(self) -> None:
        """Give back its places at once: pictures that wait are dropped, and whoever waits for them gets a RunnerError.

        A second call does nothing. A picture that is being looked at is given up to the end of its batch.
        """
        self._leave(self)

    def __enter__(self) -> SharedEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
