"""Which pictures of which streams the engine looks at next: the scheduler's rules, without threads or clocks.

Every call is told the time, so the rules can be tried in a simulation as they are.

1. Most urgent stream first, then the picture that is due first. A stream's turn counts from when it was last served, so
   one that asks for more than the others does not get it at their expense; one that has waited long gains urgency.
   Of one stream's pictures only so many are looked at at once.
2. A batch stays small enough for its earliest deadline that can still be met, and no larger than makes it cheaper; with
   live pictures, no larger than has them sooner done on average than one by one.
3. Pictures without a deadline fill what live ones leave, in short batches while a live stream is open. Where
   those leave nothing, each such stream still gets a picture now and then, one stream after the other.
4. A batch that is not full waits for a live stream whose next picture is about to come, and only for as long as running
   that picture apart would cost; a lone stream waits for nobody.

An engine with several slots asks for the next batch whenever one of them is free.
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

Seen = tuple[Detections, StageSeconds]

_GAP_STEP = 0.2
_LATE_SHARE = 0.1
"""A picture that is later than this share of the usual gap is not waited for."""
_JOINED = 1.1
"""Pictures without a deadline may make a live batch this much longer: they fill cores that would be idle."""


@dataclass(eq=False, slots=True)
class QueuedPicture:
    """A picture on its way through the engine."""

    picture: Picture
    alone_seconds: float
    size_bytes: int
    arrived: float
    deadline: float  # infinite where there is none
    number: int = 0  # in order of arrival
    outcome: Seen | Exception | None = None  # what the engine made of it


@dataclass(eq=False, slots=True)
class StreamQueue:
    """What the rules know of a stream."""

    config: StreamQueueConfig
    served: float  # when a picture of it last went to the engine, or the stream was opened
    waiting: deque[QueuedPicture] = field(default_factory=deque)
    running: int = 0
    arrived: float = -math.inf
    gap: float = math.inf  # usual seconds between pictures

    @property
    def is_live(self) -> bool:
        """Whether its pictures have a deadline."""
        return self.config.deadline_seconds is not None

    @property
    def held(self) -> int:
        """Its pictures in the scheduler."""
        return len(self.waiting) + self.running

    def since(self) -> float:
        """Since when its next picture has been waiting for its turn; there must be one."""
        return max(self.waiting[0].arrived, self.served)

    def note_arrival(self, now: float) -> None:
        """Learn how often pictures come."""
        gap = now - self.arrived
        self.arrived = now
        self.gap = gap if math.isinf(self.gap) else self.gap + _GAP_STEP * (gap - self.gap)

    def expected(self, now: float) -> tuple[float, float] | None:
        """When its next picture should come and until when it may; None where there is no reason to think so."""
        until = self.arrived + self.gap * (1 + _LATE_SHARE)
        return (self.arrived + self.gap, until) if now < until < math.inf else None


class BatchQueue:
    """The pictures of all streams that wait for the engine. For one thread at a time.

    Args:
        costs: what batches take.
        config: waits and shares.
        batch: most pictures of a batch, >= 1.
    """

    def __init__(self, costs: Costs, config: SchedulerConfig, batch: int) -> None:
        self.costs = costs
        self.streams: dict[StreamQueue, None] = {}  # in the order in which they were opened
        self._config = config
        self._batch = batch
        self._numbers = count()
        self._next_favour = -math.inf  # when a stream without deadlines may go before live ones again

    @property
    def most(self) -> int:
        """Pictures of a full batch with a live one in it."""
        return min(self._batch, self.costs.best_batch)

    @property
    def waiting(self) -> int:
        """Pictures that wait."""
        return sum(len(stream.waiting) for stream in self.streams)

    def open_shared(self, config: StreamQueueConfig, now: float) -> StreamQueue:
        """A new stream."""
        stream = StreamQueue(config, served=now)
        self.streams[stream] = None
        return stream

    def close_stream(self, stream: StreamQueue) -> list[QueuedPicture]:
        """Forget a stream; its pictures that were still waiting."""
        self.streams.pop(stream, None)
        dropped = list(stream.waiting)
        stream.waiting.clear()
        return dropped

    def add(self, stream: StreamQueue, ticket: QueuedPicture) -> None:
        """Put a picture at the end of its stream."""
        ticket.number = next(self._numbers)
        stream.note_arrival(ticket.arrived)
        stream.waiting.append(ticket)

    def next_batch(
        self, now: float, *, is_draining: bool = False
    ) -> tuple[list[tuple[StreamQueue, QueuedPicture]], float]:
        """What to run now.

        Args:
            now: seconds, of the same clock as ``QueuedPicture.arrived``.
            is_draining: nothing more will come, so nothing is waited for.

        Returns:
            Pictures with their streams, taken out of the backlog: whoever has run them counts ``running`` down. And,
            where there are none, when to ask again if nothing has come before (infinite: not at all).
        """
        favoured = self._favoured(now)
        picked = self._picked(now, favoured)
        if not picked:
            return [], math.inf
        if not is_draining and len(picked) < self.most:
            until = self._worth_waiting(picked, now)
            if until > now:
                return [], until
        for stream, _ in picked:
            if stream is favoured:
                streams = sum(not stream.is_live for stream in self.streams)
                self._next_favour = now + self._config.ageing_seconds / streams
            stream.waiting.popleft()
            stream.running += 1
            stream.served = now
        return picked, now

    def _picked(self, now: float, favoured: StreamQueue | None) -> list[tuple[StreamQueue, QueuedPicture]]:
        ordered = sorted(
            (*self._turn(stream, ticket, now, is_next=place == 0, is_favoured=stream is favoured), stream, ticket)
            for stream in self.streams
            for place, ticket in enumerate(islice(stream.waiting, max(0, stream.config.batch_share - stream.running)))
        )
        picked: list[tuple[StreamQueue, QueuedPicture]] = []
        alone = live_seconds = 0.0
        finish_by = math.inf
        background_seconds = self._background_seconds()
        for *_, stream, ticket in ordered:
            alone += ticket.alone_seconds
            done = now + self.costs.batch_seconds(alone, len(picked) + 1)
            limit = (
                finish_by if stream.is_live else min(finish_by, now + max(background_seconds, live_seconds * _JOINED))
            )
            most = self.most if stream.is_live or live_seconds else min(self._batch, self.costs.file_batch)
            if picked and (done > limit or len(picked) >= most):
                break
            picked.append((stream, ticket))
            if stream.is_live:
                live_seconds = done - now
                if now + self.costs.batch_seconds(ticket.alone_seconds, 1) <= ticket.deadline:
                    finish_by = min(finish_by, ticket.deadline)
        return picked

    def _favoured(self, now: float) -> StreamQueue | None:
        """The stream without deadlines that has waited longest, if that is too long."""
        if now < self._next_favour:
            return None
        waiting = [stream for stream in self.streams if stream.waiting and not stream.is_live]
        longest = min(waiting, key=StreamQueue.since, default=None)
        return longest if longest and now - longest.since() >= self._config.ageing_seconds else None

    def _turn(
        self, stream: StreamQueue, ticket: QueuedPicture, now: float, *, is_next: bool, is_favoured: bool
    ) -> tuple[bool, int, float, int]:
        """What streams' pictures are ordered by: live ones first, urgency, when it is due, when it came."""
        config = stream.config
        since = stream.since() if is_next else now
        if config.deadline_seconds is None:
            is_first = is_favoured and is_next
            return not is_first, 0 if is_first else config.priority, since, ticket.number
        aged = int((now - since) / self._config.ageing_seconds)
        return False, max(0, config.priority - aged), since + config.deadline_seconds, ticket.number

    def _background_seconds(self) -> float:
        """Longest batch that holds up a live picture which comes just after it began."""
        deadlines = [
            stream.config.deadline_seconds for stream in self.streams if stream.config.deadline_seconds is not None
        ]
        return self._config.background_share * min(deadlines, default=math.inf)

    def _worth_waiting(self, picked: list[tuple[StreamQueue, QueuedPicture]], now: float) -> float:
        """Until when a batch that is not full should wait for another live stream; not after ``now``: not at all."""
        if not all(stream.is_live for stream, _ in picked):
            return now
        taken, pictures = sum(ticket.alone_seconds for _, ticket in picked), len(picked)
        mean = taken / pictures
        together = self.costs.batch_seconds(taken + mean, pictures + 1)
        gain = self.costs.batch_seconds(taken, pictures) + self.costs.batch_seconds(mean, 1) - together
        until = math.inf
        for _, ticket in picked:
            longest = self._config.wait_share * (ticket.deadline - ticket.arrived)
            until = min(until, ticket.arrived + min(longest, gain), ticket.deadline - together)
        chosen = {stream for stream, _ in picked}
        others = (stream for stream in self.streams if stream.is_live and not stream.held and stream not in chosen)
        coming = [expected for stream in others if (expected := stream.expected(now)) is not None]
        return min(until, max((latest for soonest, latest in coming if soonest <= until), default=now))
