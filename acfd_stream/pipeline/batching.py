"""Which pictures form the next batch of the engine: the scheduler's rules, without threads and clocks.

The time is an argument of every call, so tests run the rules in a simulation.

1. The most urgent stream comes first, then the picture with the earliest deadline. The waiting time of a stream counts
   from its last batch, so a stream with many pictures does not delay the others. Waiting increases the urgency. A
   limited number of pictures per stream runs at the same time.
2. A batch is small enough for the earliest deadline that can still be met, and no larger than lowers the cost per
   picture. With live pictures, it is no larger than lowers the mean time until a picture is done.
3. Pictures without a deadline use the capacity that live pictures leave, in short batches while a live stream is open.
   If none is left, each such stream still gets a picture at intervals, in turn.
4. A batch that is not full waits for a live stream whose next picture is expected, at most for as long as running that
   picture alone would cost. A single stream never waits.

An engine with several slots takes the next batch whenever a slot is free.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import count, islice

from acfd_stream.config import SchedulerConfig, StreamQueueConfig
from acfd_stream.detect.detector import StageSeconds
from acfd_stream.pipeline.costs import Costs
from acfd_stream.types import Detections, Picture

TimedDetections = tuple[Detections, StageSeconds]

_GAP_STEP = 0.2
_LATE_SHARE = 0.1
"""A batch does not wait for a picture that is later than this share of the usual gap."""
_FILL_FACTOR = 1.1
"""Pictures without a deadline may make a live batch longer by this factor: they use cores that would be idle."""


@dataclass(eq=False, slots=True)
class QueuedPicture:
    """A picture in the scheduler."""

    picture: Picture
    alone_seconds: float
    size_bytes: int
    arrived: float
    deadline: float  # infinite: none
    number: int = 0  # by order of arrival
    outcome: TimedDetections | Exception | None = None  # of the engine; None: not yet


@dataclass(eq=False, slots=True)
class StreamQueue:
    """The waiting pictures of a stream, and its statistics."""

    config: StreamQueueConfig
    served: float  # when its last picture went to the engine, or the stream was opened
    waiting: deque[QueuedPicture] = field(default_factory=deque)
    running: int = 0
    arrived: float = -math.inf
    gap: float = math.inf  # mean seconds between pictures

    @property
    def is_live(self) -> bool:
        """Whether the pictures have a deadline."""
        return self.config.deadline_seconds is not None

    @property
    def held(self) -> int:
        """Number of its pictures in the scheduler."""
        return len(self.waiting) + self.running

    def waiting_since(self) -> float:
        """When its first waiting picture arrived, or its last batch began; there must be a waiting picture."""
        return max(self.waiting[0].arrived, self.served)

    def add_arrival(self, now: float) -> None:
        """Update the mean gap between pictures."""
        gap = now - self.arrived
        self.arrived = now
        self.gap = gap if math.isinf(self.gap) else self.gap + _GAP_STEP * (gap - self.gap)

    def expected_window(self, now: float) -> tuple[float, float] | None:
        """When its next picture is expected, and the latest time for it; None: not predictable."""
        until = self.arrived + self.gap * (1 + _LATE_SHARE)
        return (self.arrived + self.gap, until) if now < until < math.inf else None


class BatchQueue:
    """The pictures of all streams that wait for the engine. Not thread-safe.

    Args:
        costs: times of batches.
        config: waiting times and shares.
        batch: maximum number of pictures per batch, >= 1.
    """

    def __init__(self, costs: Costs, config: SchedulerConfig, batch: int) -> None:
        self.costs = costs
        self.streams: dict[StreamQueue, None] = {}  # in the order in which they were opened
        self._config = config
        self._batch = batch
        self._numbers = count()
        self._next_starved_turn = -math.inf  # when a stream without deadlines may precede live ones again

    @property
    def most(self) -> int:
        """Number of pictures in a full batch with live ones."""
        return min(self._batch, self.costs.best_batch)

    @property
    def waiting(self) -> int:
        """Number of waiting pictures."""
        return sum(len(stream.waiting) for stream in self.streams)

    def open_stream(self, config: StreamQueueConfig, now: float) -> StreamQueue:
        """Add a stream."""
        stream = StreamQueue(config, served=now)
        self.streams[stream] = None
        return stream

    def close_stream(self, stream: StreamQueue) -> list[QueuedPicture]:
        """Remove a stream; returns its waiting pictures."""
        self.streams.pop(stream, None)
        dropped = list(stream.waiting)
        stream.waiting.clear()
        return dropped

    def add(self, stream: StreamQueue, queued: QueuedPicture) -> None:
        """Append a picture to its stream."""
        queued.number = next(self._numbers)
        stream.add_arrival(queued.arrived)
        stream.waiting.append(queued)

    def next_batch(
        self, now: float, *, is_draining: bool = False
    ) -> tuple[list[tuple[StreamQueue, QueuedPicture]], float]:
        """The next batch.

        Args:
            now: seconds, of the same clock as ``QueuedPicture.arrived``.
            is_draining: no more pictures will come, so the batch does not wait.

        Returns:
            Pictures with their streams, removed from the queue: the caller decrements ``running`` when they are done.
            Without pictures, the time at which to call again unless a picture arrives before (infinite: never).
        """
        starved = self._starved_stream(now)
        picked = self._pick(now, starved)
        if not picked:
            return [], math.inf
        if not is_draining and len(picked) < self.most:
            until = self._wait_until(picked, now)
            if until > now:
                return [], until
        for stream, _ in picked:
            if stream is starved:
                streams = sum(not stream.is_live for stream in self.streams)
                self._next_starved_turn = now + self._config.ageing_seconds / streams
            stream.waiting.popleft()
            stream.running += 1
            stream.served = now
        return picked, now

    def _pick(self, now: float, starved: StreamQueue | None) -> list[tuple[StreamQueue, QueuedPicture]]:
        ordered = sorted(
            (*self._sort_key(stream, queued, now, is_next=position == 0, is_starved=stream is starved), stream, queued)
            for stream in self.streams
            for position, queued in enumerate(
                islice(stream.waiting, max(0, stream.config.batch_share - stream.running))
            )
        )
        picked: list[tuple[StreamQueue, QueuedPicture]] = []
        alone = live_seconds = 0.0
        finish_by = math.inf
        background_seconds = self._background_seconds()
        for *_, stream, queued in ordered:
            alone += queued.alone_seconds
            done = now + self.costs.batch_seconds(alone, len(picked) + 1)
            limit = finish_by
            if not stream.is_live:
                limit = min(limit, now + max(background_seconds, live_seconds * _FILL_FACTOR))
            most = self.most if stream.is_live or live_seconds else min(self._batch, self.costs.file_batch)
            if picked and (done > limit or len(picked) >= most):
                break
            picked.append((stream, queued))
            if stream.is_live:
                live_seconds = done - now
                if now + self.costs.batch_seconds(queued.alone_seconds, 1) <= queued.deadline:
                    finish_by = min(finish_by, queued.deadline)
        return picked

    def _starved_stream(self, now: float) -> StreamQueue | None:
        """The stream without deadlines that has waited longest, if it has waited too long."""
        if now < self._next_starved_turn:
            return None
        waiting = [stream for stream in self.streams if stream.waiting and not stream.is_live]
        longest = min(waiting, key=StreamQueue.waiting_since, default=None)
        return longest if longest and now - longest.waiting_since() >= self._config.ageing_seconds else None

    def _sort_key(
        self, stream: StreamQueue, queued: QueuedPicture, now: float, *, is_next: bool, is_starved: bool
    ) -> tuple[bool, int, float, int]:
        """Sort key of a picture: live first, then urgency, deadline and arrival."""
        config = stream.config
        since = stream.waiting_since() if is_next else now
        if config.deadline_seconds is None:
            is_first = is_starved and is_next
            return not is_first, 0 if is_first else config.priority, since, queued.number
        aged = int((now - since) / self._config.ageing_seconds)
        return False, max(0, config.priority - aged), since + config.deadline_seconds, queued.number

    def _background_seconds(self) -> float:
        """Longest batch of pictures without deadlines: a live picture may arrive just after it began."""
        deadlines = [
            stream.config.deadline_seconds for stream in self.streams if stream.config.deadline_seconds is not None
        ]
        return self._config.background_share * min(deadlines, default=math.inf)

    def _wait_until(self, picked: list[tuple[StreamQueue, QueuedPicture]], now: float) -> float:
        """Until when a partial batch should wait for another live stream; ``now``: no wait."""
        if not all(stream.is_live for stream, _ in picked):
            return now
        taken, pictures = sum(queued.alone_seconds for _, queued in picked), len(picked)
        mean = taken / pictures
        together = self.costs.batch_seconds(taken + mean, pictures + 1)
        gain = self.costs.batch_seconds(taken, pictures) + self.costs.batch_seconds(mean, 1) - together
        until = math.inf
        for _, queued in picked:
            longest = self._config.wait_share * (queued.deadline - queued.arrived)
            until = min(until, queued.arrived + min(longest, gain), queued.deadline - together)
        chosen = {stream for stream, _ in picked}
        others = (stream for stream in self.streams if stream.is_live and not stream.held and stream not in chosen)
        coming = [expected for stream in others if (expected := stream.expected_window(now)) is not None]
        return min(until, max((latest for soonest, latest in coming if soonest <= until), default=now))
