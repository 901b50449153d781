"""What tests of streams share: pictures from other threads, and waiting until those have come so far."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from acfd_stream.config import SchedulerConfig
from acfd_stream.pipeline.batching import TimedDetections
from acfd_stream.pipeline.scheduler import Scheduler
from tests.pipeline.fake_engine import SIZE, WAIT_SECONDS, value_of

Submit = Callable[..., "Future[list[TimedDetections]]"]
NO_WAIT = SchedulerConfig(wait_share=0.0, warm_sizes=(SIZE,), probe_seconds=0.0)


def when(scheduler: Scheduler, is_so: Callable[[], bool]) -> None:
    """Wait until the other threads have come so far; the scheduler tells when something changed."""
    watch = threading.Event()
    for _ in range(round(WAIT_SECONDS * 1000)):
        if is_so():
            return
        watch.wait(0.001)
    raise TimeoutError(f"{waiting_in(scheduler)} pictures wait, and that is not what was waited for")


def waiting_in(scheduler: Scheduler) -> int:
    """Pictures that wait for the engine."""
    with scheduler._lock:
        return scheduler._queue.waiting


def values(future: Future[list[TimedDetections]]) -> list[int]:
    return [value_of(detected) for detected in future.result(WAIT_SECONDS)]
