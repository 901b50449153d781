"""One stream's view of the engine that all streams share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from acfd_stream.pipeline.batching import StreamQueue, TimedDetections
from acfd_stream.pipeline.engine import Engine
from acfd_stream.types import Closeable, Picture


class SharedEngine(Closeable):
    """The shared engine for one stream: an ``Engine`` and a context manager, made by ``Scheduler.open_shared``.

    Args:
        engine: the engine of the scheduler.
        queue: the stream's queue.
        lock: the scheduler's lock.
        detect: called with this object and pictures.
        on_close: called with this object when it closes.
        view_side: longer side of the pictures for the network; 0: the engine's own.
    """

    def __init__(
        self,
        engine: Engine,
        queue: StreamQueue,
        lock: threading.Lock,
        detect: Callable[[SharedEngine, Sequence[Picture]], list[TimedDetections]],
        on_close: Callable[[SharedEngine], None],
        view_side: int = 0,
    ) -> None:
        self.queue = queue
        self.changed = threading.Condition(lock)
        self.is_closed = False
        self.spec, self.precision, self.description = engine.spec, engine.precision, engine.description
        self.device, self.concurrency = engine.device, engine.concurrency
        self._detect, self._on_close = detect, on_close
        config = engine.config
        self._view_side = 0 if config.scales or view_side == config.size else view_side
        self.config = replace(config, batch=queue.config.batch, size=self._view_side or config.size)

    def detect_timed(self, pictures: Sequence[Picture]) -> list[TimedDetections]:
        """As ``Engine.detect_timed``; the stage "queue" includes the time in the stream's queue.

        Waits while the queue of the stream or of the scheduler is full. Thread-safe.

        Raises:
            ShapeError: the planes of a picture do not match its description.
            RunnerError: the runtime failed, or the stream or the scheduler is closed.
        """
        if self._view_side:
            pictures = [replace(picture, view_side=self._view_side) for picture in pictures]
        return self._detect(self, pictures)

    def close(self) -> None:
        """Drop the waiting pictures; their callers get a RunnerError. A second call does nothing.

        A picture that is running keeps its memory until its batch is done.
        """
        self._on_close(self)
