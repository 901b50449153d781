"""One engine for many streams: each has a stream, a thread a slot of the engine takes batches from all of them.

A stream has a detector's face, so a TrackSession runs over it as over a detector of its own. The rules of who is next
stand in ``batching``; here are the threads: callers that wait in their stream, and those that run the engine. A device
that wants batches has one slot; a CPU has one for every core it may use, and gets single pictures, so that a frame
which comes while another stream's is looked at begins at once on a core that is idle.
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
from acfd_stream.pipeline.batching import BatchQueue, QueuedPicture, Seen, StreamQueue
from acfd_stream.pipeline.costs import Costs, Size, blank_picture, measure_costs
from acfd_stream.pipeline.engine import Engine
from acfd_stream.pipeline.shared_engine import SharedEngine
from acfd_stream.types import Picture
from acfd_stream.video.picture import picture_bytes

_log = logging.getLogger(__name__)

_PROBE_WEIGHT = 0.3  # a few of them must do, to take streams in again after the machine was busy with something else
_Batch = list[tuple[StreamQueue, QueuedPicture]]


class Scheduler:
    """Batches across streams on one engine, which stays the caller's to close.

    Args:
        engine: a Detector.
        config: batch, waits and bounds.
        costs: what pictures cost, of an engine that is warm; None: measured now, on every size of ``warm_sizes`` and
            every batch size, so that nothing has to be compiled for them afterwards.
        metrics: where batches, waiting pictures and bytes are counted.
        clock: seconds.

    Raises:
        RunnerError: the engine failed on the pictures that warm it up.
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
        self._backlog = BatchQueue(self.costs, self.config, batch)
        self._streams: dict[StreamQueue, SharedEngine] = {}
        self._short_of_room: set[SharedEngine] = set()
        self._held_bytes = 0
        self._ready: LRUCache[Size, None] = LRUCache(COMPILED_SHAPES)
        self._is_draining = self._is_stopped = False
        self._fault: BaseException | None = None
        self._ready.update((view, None) for size in self.config.warm_sizes for view in self.costs.views_of(size))
        self._running = self._taken_batches = 0
        self._threads = [
            threading.Thread(target=self._run, args=(slot == 0,), name=f"acfd-engine-{slot}", daemon=True)
            for slot in range(self.costs.slots)
        ]
        self._working = len(self._threads)
        for thread in self._threads:
            thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it takes pictures: it is not closed, and none of its threads has died of a fault."""
        return not (self._is_draining or self._is_stopped)

    @property
    def held_bytes(self) -> int:
        """Bytes of pictures that wait or are looked at."""
        return self._held_bytes

    def open_shared(self, config: StreamQueueConfig | None = None, view_side: int = 0) -> SharedEngine:
        """A stream's own way to the engine; close it when the stream ends.

        Args:
            config: what it may ask for.
            view_side: of all its pictures; see ``Picture``.

        Raises:
            RunnerError: the scheduler is closed.
        """
        with self._lock:
            if not self.is_running:
                raise self._why_stopped()
            queue = self._backlog.open_shared(config or StreamQueueConfig(), self._clock())
            stream = self._streams[queue] = SharedEngine(
                self.engine, queue, self._lock, self._detect, self._leave, view_side
            )
            return stream

    def prepare(self, display_size: Size, view_side: int = 0) -> None:
        """Have the network ready for pictures of this size: the caller waits for what must be compiled, nobody else.

        Args:
            display_size: (height, width) of the pictures.
            view_side: of theirs; see ``Picture``.

        Raises:
            RunnerError: the engine failed.
        """
        views = self.costs.views_of(display_size, view_side)
        with self._lock:
            is_ready = all(view in self._ready for view in views)
        if not is_ready:
            for count in sorted({1, self.costs.file_batch}):  # what is alone may be compiled apart
                self.engine.detect_timed([blank_picture(display_size, view_side)] * count)
        with self._lock:
            self._ready.update(dict.fromkeys(views))

    def close(self, *, drain: bool = True, timeout_seconds: float = 10.0) -> None:
        """Take no more pictures and end the threads. May be called again, to break off what drains.

        Args:
            drain: look at the pictures that wait first; else whoever waits for one gets a RunnerError at once.
            timeout_seconds: after so long the rest is broken off as well.
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
            _log.error("the engine has not answered for %.1f s while the scheduler closes", timeout_seconds)

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)

    # What streams call, in the threads of the streams.

    def _detect(self, stream: SharedEngine, pictures: Sequence[Picture]) -> list[Seen]:
        """See ``SharedEngine.detect_timed``."""
        for sizes in {(picture.display_size, picture.view_side) for picture in pictures}:
            self.prepare(*sizes)
        with self._lock:
            tickets = [self._admitted(stream, picture) for picture in pictures]
            stream.changed.wait_for(
                lambda: self._is_over(stream) or all(ticket.outcome is not None for ticket in tickets)
            )
            return [self._outcome(ticket) for ticket in tickets]

    def _leave(self, stream: SharedEngine) -> None:
        """See ``SharedEngine.close``."""
        with self._lock:
            if self._streams.pop(stream.queue, None) is None:
                return
            stream.is_closed = True
            dropped = self._backlog.close_stream(stream.queue)
            self._metrics.queued(QueueStage.INFER, -len(dropped))
            self._hold(-sum(ticket.size_bytes for ticket in dropped))
            stream.changed.notify_all()
            self._work.notify()

    def _admitted(self, stream: SharedEngine, picture: Picture) -> QueuedPicture:
        """A picture that has found room in its stream."""
        size_bytes = picture_bytes(picture)
        if not self._has_room(stream, size_bytes):
            self._short_of_room.add(stream)
            stream.changed.wait_for(
                lambda: self._is_over(stream) or not self.is_running or self._has_room(stream, size_bytes)
            )
            self._short_of_room.discard(stream)
        if stream.is_closed:
            raise RunnerError("this stream's way to the engine is closed")
        if not self.is_running:
            raise self._why_stopped()
        now = self._clock()
        seconds = stream.queue.config.deadline_seconds
        deadline = math.inf if seconds is None else now + seconds
        alone_seconds = self.costs.picture_seconds(picture.display_size, picture.view_side)
        ticket = QueuedPicture(picture, alone_seconds, size_bytes, now, deadline)
        self._backlog.add(stream.queue, ticket)
        self._metrics.queued(QueueStage.INFER, 1)
        self._hold(size_bytes)
        self._work.notify()
        return ticket

    def _has_room(self, stream: SharedEngine, size_bytes: int) -> bool:
        held = stream.queue.held
        if held == 0:
            return True
        return held < stream.queue.config.in_flight and self._held_bytes + size_bytes <= self.config.queue_bytes

    def _is_over(self, stream: SharedEngine) -> bool:
        return stream.is_closed or self._is_stopped

    def _outcome(self, ticket: QueuedPicture) -> Seen:
        if isinstance(ticket.outcome, Exception):
            raise ticket.outcome
        if ticket.outcome is None:
            raise self._why_stopped() if self._is_stopped else RunnerError("this stream's way to the engine is closed")
        return ticket.outcome

    def _why_stopped(self) -> RunnerError:
        if self._fault is None:
            return RunnerError("the scheduler is closed")
        error = RunnerError(f"a thread of the engine has died: {type(self._fault).__name__}: {self._fault}")
        error.__cause__ = self._fault
        return error

    # The engine's threads.

    def _run(self, is_prober: bool) -> None:
        """What the thread of a slot does; one of them looks how fast the engine is when it is idle."""
        try:
            while (batch := self._taken(is_prober)) != []:
                if batch is None:
                    self._probe()
                else:
                    self._serve(batch)
                    with self._lock:
                        self._running -= 1
        except BaseException as error:  # nobody may wait for ever, whatever it is
            _log.exception("a thread of the engine has died")
            self._fault = error
        with self._lock:
            self._working -= 1
            self._is_stopped |= self._fault is not None or self._working == 0
            self._wake_all()

    def _taken(self, is_prober: bool) -> _Batch | None:
        """The next batch, waiting for it; empty when there will be none, None when there was none for long."""
        with self._lock:
            while not self._is_stopped:
                now = self._clock()
                batch, ask_again = self._backlog.next_batch(now, is_draining=self._is_draining)
                if batch:
                    return self._begun(batch)
                if self._is_draining:
                    return []
                if ask_again < math.inf:
                    self._work.wait(ask_again - now)
                elif self._waited_in_vain(self.config.probe_seconds if is_prober else 0.0):
                    return None
            return []

    def _begun(self, batch: _Batch) -> _Batch:
        self._metrics.queued(QueueStage.INFER, -len(batch))
        self._running += 1
        self._taken_batches += 1
        if self._backlog.waiting:
            self._work.notify()  # for another slot
        return batch

    def _waited_in_vain(self, seconds: float) -> bool:
        """Wait until there is something to do; whether no slot had anything for so long (0: it does not matter)."""
        before = self._taken_batches
        is_woken = self._work.wait(seconds or None)
        return not is_woken and self._running == 0 and self._taken_batches == before

    def _probe(self) -> None:
        """See how fast the engine is: nobody is let in, and so it would never be noticed, while it seems too slow.

        The first picture behind a rest is not counted: it takes up to twice as long as those of a stream do.
        """
        size = self.config.warm_sizes[0]
        try:
            self.engine.detect_timed([blank_picture(size)])
            if self._backlog.waiting or self._running:
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

    def _serve(self, batch: _Batch) -> None:
        begin, running = self._clock(), self._running
        try:
            seen = self._looked_at([ticket.picture for _, ticket in batch])
        except Exception as error:
            if len(batch) > 1:  # whose fault was it? only that stream shall have it
                for one in batch:
                    self._serve([one])
                return
            self._deliver(batch, [error], begin)
        else:
            seconds, alone = self._clock() - begin, sum(ticket.alone_seconds for _, ticket in batch)
            with self._lock:
                self.costs.observe(alone, len(batch), seconds, (running + self._running) / 2)
            self._deliver(batch, seen, begin)

    def _looked_at(self, pictures: list[Picture]) -> list[Seen]:
        self._metrics.batch(len(pictures))
        seen = self.engine.detect_timed(pictures)
        if len(seen) != len(pictures):
            raise RunnerError(f"the engine answered {len(seen)} of {len(pictures)} pictures")
        return seen

    def _deliver(self, batch: _Batch, outcomes: Sequence[Seen | Exception], begin: float) -> None:
        with self._lock:
            for (queue, ticket), outcome in zip(batch, outcomes, strict=True):
                if not isinstance(outcome, Exception):
                    outcome[1]["queue"] = outcome[1].get("queue", 0.0) + begin - ticket.arrived
                ticket.outcome = outcome
                queue.running -= 1
                if queue in self._streams:
                    self._streams[queue].changed.notify_all()
            self._hold(-sum(ticket.size_bytes for _, ticket in batch))

    # With the lock held.

    def _hold(self, change_bytes: int) -> None:
        self._held_bytes += change_bytes
        self._metrics.held(Pool.ENGINE, change_bytes)
        if change_bytes < 0:
            for stream in self._short_of_room:
                stream.changed.notify_all()

    def _wake_all(self) -> None:
        self._work.notify_all()
        for stream in self._streams.values():
            stream.changed.notify_all()
