"""Shares one engine between many streams: one thread per slot of the engine runs batches from all streams.

A stream gets a ``SharedEngine``, which a TrackSession uses like a detector of its own. ``batching`` decides the order;
this module has the threads: callers wait for their pictures, and engine threads run them. A device that is fastest with
batches has one slot. A CPU has one slot per core and runs single pictures, so a frame starts at once on an idle core
while another stream's frame runs.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from cachetools import LRUCache

from acfd_stream.config import SchedulerConfig, StreamQueueConfig
from acfd_stream.detect.runner import COMPILED_SHAPES
from acfd_stream.errors import RunnerError
from acfd_stream.metrics import Metrics, Pool, QueueStage
from acfd_stream.pipeline.batching import BatchQueue, QueuedPicture, StreamQueue, TimedDetections
from acfd_stream.pipeline.costs import Costs, Size, blank_picture, measure_costs
from acfd_stream.pipeline.engine import Engine
from acfd_stream.pipeline.shared_engine import SharedEngine
from acfd_stream.types import Picture
from acfd_stream.video.picture import picture_bytes

_log = logging.getLogger(__name__)

_PROBE_WEIGHT = 0.3  # high: a few probes must be enough to admit streams again after another load on the machine
_Batch = list[tuple[StreamQueue, QueuedPicture]]


class Scheduler:
    """Runs batches across streams on one engine; the caller closes the engine.

    Args:
        engine: a Detector.
        config: batch size, waiting times and limits.
        costs: times of pictures on a warm engine. None: they are measured now, for every size of ``warm_sizes`` and
            every batch size, which also compiles the network for them.
        metrics: counts batches, waiting pictures and bytes.
        clock: seconds.

    Raises:
        RunnerError: the engine failed on the warm-up pictures.
    """

    def __init__(
        self,
        engine: Engine,
        config: SchedulerConfig | None = None,
        *,
        costs: Costs | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config or SchedulerConfig()
        self.engine = engine
        batch = self.config.batch or engine.config.batch
        self.costs = costs or measure_costs(engine, self.config.warm_sizes, batch, clock)
        self._metrics = metrics or Metrics.none()
        self._clock = clock
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # for the engine's threads
        self._queue = BatchQueue(self.costs, self.config, batch)
        self._streams: dict[StreamQueue, SharedEngine] = {}
        self._blocked: set[SharedEngine] = set()
        self.held_bytes = 0  # of pictures that wait or run
        self._ready: LRUCache[Size, None] = LRUCache(COMPILED_SHAPES)
        self._is_draining = self._is_stopped = False
        self._thread_error: BaseException | None = None
        self._ready.update((view, None) for size in self.config.warm_sizes for view in self.costs.views_of(size))
        self._running = self._started_batches = 0
        self._threads = [
            threading.Thread(target=self._run, args=(slot == 0,), name=f"acfd-engine-{slot}", daemon=True)
            for slot in range(self.costs.slots)
        ]
        self._live_threads = len(self._threads)
        for thread in self._threads:
            thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it takes pictures: it is not closed, and no engine thread has failed."""
        return not (self._is_draining or self._is_stopped)

    def open_shared(self, config: StreamQueueConfig | None = None, view_side: int = 0) -> SharedEngine:
        """A stream's view of the engine; close it when the stream ends.

        Args:
            config: its deadline, priority and limits.
            view_side: of all its pictures; see ``Picture``.

        Raises:
            RunnerError: the scheduler is closed.
        """
        with self._lock:
            if not self.is_running:
                raise self._stop_error()
            queue = self._queue.open_stream(config or StreamQueueConfig(), self._clock())
            stream = self._streams[queue] = SharedEngine(
                self.engine, queue, self._lock, self._detect, self._close_stream, view_side
            )
            return stream

    def prepare(self, display_size: Size, view_side: int = 0) -> None:
        """Compile the network for pictures of this size; only the caller waits.

        Args:
            display_size: (height, width) of the pictures.
            view_side: of the pictures; see ``Picture``.

        Raises:
            RunnerError: the engine failed.
        """
        views = self.costs.views_of(display_size, view_side)
        with self._lock:
            is_ready = all(view in self._ready for view in views)
        if not is_ready:
            for count in sorted({1, self.costs.file_batch}):  # single pictures may be compiled apart
                self.engine.detect_timed([blank_picture(display_size, view_side)] * count)
        with self._lock:
            self._ready.update(dict.fromkeys(views))

    def close(self, *, drain: bool = True, timeout_seconds: float = 10.0) -> None:
        """Take no more pictures and end the threads. A second call may end a drain early.

        Args:
            drain: run the waiting pictures first; else their callers get a RunnerError at once.
            timeout_seconds: longest drain; the remaining callers get a RunnerError after it.
        """
        with self._lock:
            self._is_draining = True
            self._is_stopped |= not drain
            self._wake_all()
        until = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            with self._lock:
                self._is_stopped = True
                self._wake_all()
            _log.error("the engine has not finished within %.1f s while the scheduler closes", timeout_seconds)

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)

    # Called by streams, in their threads.

    def _detect(self, stream: SharedEngine, pictures: Sequence[Picture]) -> list[TimedDetections]:
        """See ``SharedEngine.detect_timed``."""
        for sizes in {(picture.display_size, picture.view_side) for picture in pictures}:
            self.prepare(*sizes)
        with self._lock:
            waiting = [self._enqueue(stream, picture) for picture in pictures]
            stream.changed.wait_for(
                lambda: self._is_ended(stream) or all(queued.outcome is not None for queued in waiting)
            )
            return [self._outcome(queued) for queued in waiting]

    def _close_stream(self, stream: SharedEngine) -> None:
        """See ``SharedEngine.close``."""
        with self._lock:
            if self._streams.pop(stream.queue, None) is None:
                return
            stream.is_closed = True
            dropped = self._queue.close_stream(stream.queue)
            self._metrics.queue_depth.of(QueueStage.INFER).inc(-len(dropped))
            self._add_bytes(-sum(queued.size_bytes for queued in dropped))
            stream.changed.notify_all()
            self._work.notify()

    def _enqueue(self, stream: SharedEngine, picture: Picture) -> QueuedPicture:
        """Add a picture to the queue, after waiting for room."""
        size_bytes = picture_bytes(picture)
        if not self._has_room(stream, size_bytes):
            self._blocked.add(stream)
            stream.changed.wait_for(
                lambda: self._is_ended(stream) or not self.is_running or self._has_room(stream, size_bytes)
            )
            self._blocked.discard(stream)
        if stream.is_closed:
            raise _closed()
        if not self.is_running:
            raise self._stop_error()
        now = self._clock()
        seconds = stream.queue.config.deadline_seconds
        deadline = math.inf if seconds is None else now + seconds
        alone_seconds = self.costs.picture_seconds(picture.display_size, picture.view_side)
        queued = QueuedPicture(picture, alone_seconds, size_bytes, now, deadline)
        self._queue.add(stream.queue, queued)
        self._metrics.queue_depth.of(QueueStage.INFER).inc(1)
        self._add_bytes(size_bytes)
        self._work.notify()
        return queued

    def _has_room(self, stream: SharedEngine, size_bytes: int) -> bool:
        held = stream.queue.held
        if held == 0:
            return True
        return held < stream.queue.config.in_flight and self.held_bytes + size_bytes <= self.config.queue_bytes

    def _is_ended(self, stream: SharedEngine) -> bool:
        return stream.is_closed or self._is_stopped

    def _outcome(self, queued: QueuedPicture) -> TimedDetections:
        if isinstance(queued.outcome, Exception):
            raise queued.outcome
        if queued.outcome is None:
            raise self._stop_error() if self._is_stopped else _closed()
        return queued.outcome

    def _stop_error(self) -> RunnerError:
        if self._thread_error is None:
            return RunnerError("the scheduler is closed")
        error = RunnerError(f"an engine thread failed: {type(self._thread_error).__name__}: {self._thread_error}")
        error.__cause__ = self._thread_error
        return error

    # The engine's threads.

    def _run(self, is_prober: bool) -> None:
        """Body of a slot's thread; one of the threads also measures the idle engine."""
        try:
            while (batch := self._next_batch(is_prober)) != []:
                if batch is None:
                    self._probe()
                else:
                    self._run_batch(batch)
                    with self._lock:
                        self._running -= 1
        except BaseException as error:  # any error: callers must not wait for ever
            _log.exception("an engine thread failed")
            self._thread_error = error
        with self._lock:
            self._live_threads -= 1
            self._is_stopped |= self._thread_error is not None or self._live_threads == 0
            self._wake_all()

    def _next_batch(self, is_prober: bool) -> _Batch | None:
        """Wait for the next batch; empty: there will be none, None: the engine was idle for long."""
        with self._lock:
            while not self._is_stopped:
                now = self._clock()
                batch, ask_again = self._queue.next_batch(now, is_draining=self._is_draining)
                if batch:
                    return self._start(batch)
                if self._is_draining:
                    return []
                if ask_again < math.inf:
                    self._work.wait(ask_again - now)
                elif self._is_idle_for(self.config.probe_seconds if is_prober else 0.0):
                    return None
            return []

    def _start(self, batch: _Batch) -> _Batch:
        self._metrics.queue_depth.of(QueueStage.INFER).inc(-len(batch))
        self._running += 1
        self._started_batches += 1
        if self._queue.waiting:
            self._work.notify()  # for another slot
        return batch

    def _is_idle_for(self, seconds: float) -> bool:
        """Wait for a picture; True if every slot was idle for ``seconds`` (0: wait without a limit)."""
        before = self._started_batches
        is_woken = self._work.wait(seconds or None)
        return not is_woken and self._running == 0 and self._started_batches == before

    def _probe(self) -> None:
        """Measure the speed of the idle engine: while it seems too slow, no stream is admitted that would measure it.

        The first picture after a pause is not counted: it takes up to twice as long as those of a stream.
        """
        size = self.config.warm_sizes[0]
        try:
            self.engine.detect_timed([blank_picture(size)])
            if self._queue.waiting or self._running:
                return
            begin = self._clock()
            self.engine.detect_timed([blank_picture(size)])
        except Exception as error:
            _log.warning("the idle engine failed on a grey picture: %s", error)
        else:
            seconds = self._clock() - begin
            with self._lock:
                self.costs.observe(
                    self.costs.picture_seconds(size), 1, seconds, 1 + self._running, weight=_PROBE_WEIGHT
                )

    def _run_batch(self, batch: _Batch) -> None:
        begin, running = self._clock(), self._running
        try:
            detected = self._detect_batch([queued.picture for _, queued in batch])
        except Exception as error:
            if len(batch) > 1:  # find the picture that failed: only its stream gets the error
                for one in batch:
                    self._run_batch([one])
                return
            self._deliver(batch, [error], begin)
        else:
            seconds, alone = self._clock() - begin, sum(queued.alone_seconds for _, queued in batch)
            with self._lock:
                self.costs.observe(alone, len(batch), seconds, (running + self._running) / 2)
            self._deliver(batch, detected, begin)

    def _detect_batch(self, pictures: list[Picture]) -> list[TimedDetections]:
        self._metrics.batches.observe(len(pictures))
        detected = self.engine.detect_timed(pictures)
        if len(detected) != len(pictures):
            raise RunnerError(f"the engine returned {len(detected)} results for {len(pictures)} pictures")
        return detected

    def _deliver(self, batch: _Batch, outcomes: Sequence[TimedDetections | Exception], begin: float) -> None:
        with self._lock:
            for (queue, queued), outcome in zip(batch, outcomes, strict=True):
                if not isinstance(outcome, Exception):
                    outcome[1]["queue"] = outcome[1].get("queue", 0.0) + begin - queued.arrived
                queued.outcome = outcome
                queue.running -= 1
                if queue in self._streams:
                    self._streams[queue].changed.notify_all()
            self._add_bytes(-sum(queued.size_bytes for _, queued in batch))

    # With the lock held.

    def _add_bytes(self, change_bytes: int) -> None:
        self.held_bytes += change_bytes
        self._metrics.held_bytes.of(Pool.ENGINE).inc(change_bytes)
        if change_bytes < 0:
            for stream in self._blocked:
                stream.changed.notify_all()

    def _wake_all(self) -> None:
        self._work.notify_all()
        for stream in self._streams.values():
            stream.changed.notify_all()


def _closed() -> RunnerError:
    return RunnerError("this stream's connection to the engine is closed")
