"""One stream's way to the engine that many share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from acfd_stream.config import DetectConfig
from acfd_stream.detect.runner import ModelSpec
from acfd_stream.pipeline.batching import LaneQueue, Seen
from acfd_stream.types import Picture

if TYPE_CHECKING:
    from acfd_stream.pipeline.scheduler import Scheduler


class Lane:
    """One stream's way to the engine; an ``Engine``. Made by ``Scheduler.open_lane``, a context manager."""

    def __init__(self, scheduler: Scheduler, queue: LaneQueue, lock: threading.Lock, view_side: int = 0) -> None:
        self.queue = queue
        self.changed = threading.Condition(lock)
        self.is_closed = False
        self._scheduler = scheduler
        config = scheduler.engine.config
        self._view_side = 0 if config.scales or view_side == config.size else view_side
        self._config = replace(config, batch=queue.config.batch, size=self._view_side or config.size)

    @property
    def config(self) -> DetectConfig:
        """The engine's, with the lane's view, and as many pictures at once as the lane's config says."""
        return self._config

    @property
    def spec(self) -> ModelSpec:
        """What the model file says of itself."""
        return self._scheduler.engine.spec

    @property
    def precision(self) -> str:
        """Arithmetic of the network."""
        return self._scheduler.engine.precision

    @property
    def description(self) -> str:
        """Runtime, device, precision and threads."""
        return self._scheduler.engine.description

    @property
    def device(self) -> str:
        """Where the planes of pictures should lie."""
        return self._scheduler.engine.device

    @property
    def concurrency(self) -> int:
        """The engine's."""
        return self._scheduler.engine.concurrency

    def detect_timed(self, pictures: Sequence[Picture]) -> list[Seen]:
        """As ``Engine.detect_timed``; stage "queue" holds the time in the lane too.

        Waits while the lane or the scheduler holds as much as it may. May be called from several threads.

        Raises:
            ShapeError: the planes of a picture are not what it says.
            RunnerError: the runtime failed, or lane or scheduler were closed, before or in the meantime.
        """
        if self._view_side:
            pictures = [replace(picture, view_side=self._view_side) for picture in pictures]
        return self._scheduler.see(self, pictures)

    def close(self) -> None:
        """Give back its places at once: pictures that wait are dropped, and whoever waits for them gets a RunnerError.

        A second call does nothing. A picture that is being looked at is given up to the end of its batch.
        """
        self._scheduler.leave(self)

    def __enter__(self) -> Lane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
