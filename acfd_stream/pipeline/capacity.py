"""How many streams fit on the machine: asked before a stream is let in, so that those inside keep their objective.

Every frame keeps the machine busy for a known time: its share of a batch, and what decoding and tracking take of the
cores. A set of live streams is let in when

- together they take no more than a stated share of the machine, less for more than one on a machine that falters, and
- in any span of time the frames that must be done by its end, however unluckily they come together, take no longer than
  the span. With frames every T seconds, each to be done D seconds after it came and taking C, these are
  C (1 + (t - D) / T) of a stream with D <= t, summed over the streams, and once what may already be running then. It is
  enough to look at every t that is some stream's D: between them the sum grows more slowly than t.

C is a frame's share of the whole machine. With several slots the last frame has one of them to itself, while the others
may be idle: it takes as long as one does on a busy machine, and what was running then is part of the sum. Frames that
are no more than there are slots wait for no other one. One of the frames may take as long as only one in twenty does.

Source: the second is the processor demand test of earliest-deadline-first scheduling (Baruah, Rosier, Howell, 1990),
with the usual term for work that is not interrupted; on several slots, the bound of list scheduling (Graham, 1969).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from types import TracebackType

from acfd_stream.config import CapacityConfig, SchedulerConfig, available_cores, require
from acfd_stream.errors import OverloadedError
from acfd_stream.metrics import Metrics, Refusal
from acfd_stream.pipeline.costs import Costs, Size, megapixels
from acfd_stream.pipeline.live_input_size import LiveInputSize

UPKEEP_SECONDS = 0.003
"""Of a frame, where nobody has measured it."""
_STEP = 0.05
_DECODE_RANGE = (1e-4, 0.02)  # seconds a megapixel; what lies outside waited for something else
_UPKEEP_RANGE = (0.25, 4.0)  # times what was measured
_REFRESH_FRAMES = 64


@dataclass(frozen=True)
class Demand:
    """What a stream will ask for."""

    display_size: Size  # (height, width)
    frame_rate: float = 0.0  # frames a second; of a file nobody asks
    objective_seconds: float | None = None  # None: a file, which takes what is left
    view_side: int = 0  # of its pictures; see Picture

    def __post_init__(self) -> None:
        require(min(self.display_size) >= 1, "display_size", self.display_size, "at least 1×1")
        require(0 <= self.frame_rate <= 1000, "frame_rate", self.frame_rate, "in 0 … 1000")
        if self.objective_seconds is not None:
            require(self.frame_rate > 0, "frame_rate", self.frame_rate, "above 0 for a live stream")
            require(0 < self.objective_seconds < math.inf, "objective_seconds", self.objective_seconds, "> 0")

    @property
    def is_live(self) -> bool:
        """Whether its frames have an objective."""
        return self.objective_seconds is not None


@dataclass(frozen=True)
class CapacityAnswer:
    """Whether a stream would fit now."""

    fits: bool
    headroom: float  # share of what may be taken that is free, before the stream is added, 0 … 1
    reason: str  # one line for a person
    may_fit_later: bool = True  # it would fit if nobody else were there
    refusal: Refusal | None = None  # None where it fits


class _Learned:
    """Seconds that are guessed first, and follow what is seen, within bounds."""

    def __init__(self, guess: float, least: float, most: float) -> None:
        self._guess, self._least, self._most = guess, least, most
        self.value = guess

    def observe(self, seen: float) -> None:
        """Come a little nearer to what was seen."""
        self.value += _STEP * (min(max(seen, self._least), self._most) - self.value)

    def forget(self) -> None:
        """Go back to the guess."""
        self.value = self._guess


@dataclass(frozen=True)
class _Load:
    """What a stream does to the machine."""

    demand: Demand
    alone_seconds: float  # the engine, for one frame by itself
    slot_seconds: float  # a slot of the engine, for one frame while the others are busy
    around_seconds: float  # all cores, for what a frame needs besides the engine
    busy_seconds: float  # all cores, for one frame
    rate: float  # frames a second
    due_seconds: float  # from a frame being decoded to when it must leave the engine

    @property
    def share(self) -> float:
        return self.busy_seconds * self.rate


class Capacity:
    """The streams that are inside, and whether another one fits. May be used from any thread.

    Args:
        costs: the scheduler's: what pictures cost the engine, as slow as it is now.
        config: limits.
        scheduler: how it treats streams in file mode.
        metrics: where refusals and headroom are counted.
        upkeep_seconds: what ``measure_cpu_overhead`` says; streams correct it. Not asked where the config has a number.
        live_view: how large live frames are shown to the network where their stream asks for nothing else.
    """

    def __init__(
        self,
        costs: Costs,
        config: CapacityConfig | None = None,
        scheduler: SchedulerConfig | None = None,
        metrics: Metrics | None = None,
        upkeep_seconds: float = UPKEEP_SECONDS,
        live_view: LiveInputSize | None = None,
    ) -> None:
        self.live_view = live_view or LiveInputSize()
        self.config = config or CapacityConfig()
        self._costs = costs
        self._scheduler = scheduler or SchedulerConfig()
        self._metrics = metrics or Metrics.none()
        self._cores = self.config.cores or available_cores()
        self._decode = _Learned(self.config.decode_seconds, *_DECODE_RANGE)
        least, most = (times * upkeep_seconds for times in _UPKEEP_RANGE)
        self._upkeep = _Learned(upkeep_seconds, least, most)
        self._frames_seen = 0
        self._lock = threading.Lock()
        self._inside: dict[Reservation, Demand] = {}
        self._metrics.headroom(1.0)

    @property
    def headroom(self) -> float:
        """Share of what streams may take that is free, 0 … 1: what to scale on."""
        with self._lock:
            return self._headroom()

    @property
    def streams(self) -> int:
        """Streams inside."""
        with self._lock:
            return len(self._inside)

    def ask(self, display_size: Size, frame_rate: float, objective_seconds: float | None = None) -> CapacityAnswer:
        """Whether a live stream would fit now.

        Args:
            display_size: (height, width) of its frames.
            frame_rate: frames a second, > 0.
            objective_seconds: longest time of a frame; None: the config's.

        Raises:
            ConfigError: a number is outside its range.
        """
        seconds = objective_seconds or self.config.objective_seconds
        demand = Demand(display_size, frame_rate, seconds, self.live_view.of(seconds))
        with self._lock:
            return self._answer(demand, list(self._inside.values()))

    def reserve(self, demand: Demand) -> Reservation:
        """Let a stream in, until its reservation is released.

        Raises:
            OverloadedError: it does not fit now; the message says why.
        """
        reservation = Reservation(self)
        self.change(reservation, demand)
        return reservation

    def spare(self, demand: Demand) -> Reservation | None:
        """A place for what can wait for one, such as a job; None, and nobody counts as refused, where there is none."""
        with self._lock:
            if self._answer(demand, list(self._inside.values())).refusal is not None:
                return None
            reservation = Reservation(self)
            self._inside[reservation] = demand
            self._metrics.headroom(self._headroom())
            return reservation

    def change(self, reservation: Reservation, demand: Demand) -> None:
        """Set what a stream that is being let in, or is inside, asks for. See ``Reservation.change``."""
        with self._lock:
            others = [known for holder, known in self._inside.items() if holder is not reservation]
            answer = self._answer(demand, others)
            if answer.refusal is not None and not self._is_less(demand, self._inside.get(reservation)):
                self._metrics.refused(answer.refusal)
                raise OverloadedError(answer.reason)
            self._inside[reservation] = demand
            self._metrics.headroom(self._headroom())

    def release(self, reservation: Reservation) -> None:
        """Give back what a stream had."""
        with self._lock:
            self._inside.pop(reservation, None)
            if not self._inside:  # what slowed frames may be over, and while nobody is let in nobody would see
                self._decode.forget()
                self._upkeep.forget()
            self._metrics.headroom(self._headroom())

    def observe(self, display_size: Size, decode_seconds: float, upkeep_seconds: float) -> None:
        """Learn from a frame what a core took to decode it, and for all the rest but the network."""
        with self._lock:
            self._decode.observe(decode_seconds / megapixels(display_size))
            self._upkeep.observe(upkeep_seconds)
            self._frames_seen += 1
            if self._frames_seen % _REFRESH_FRAMES == 0:
                self._metrics.headroom(self._headroom())

    # With the lock held.

    def _is_less(self, demand: Demand, before: Demand | None) -> bool:
        """Whether a stream that is inside wants no more than it has: it stays, even on a machine that has slowed."""
        if before is None or demand.is_live != before.is_live:
            return False
        old, new = self._load(before), self._load(demand)
        return new.share <= old.share and new.due_seconds >= old.due_seconds

    def _headroom(self) -> float:
        return self._free_share(sum(self._load(demand).share for demand in self._inside.values()))

    def _free_share(self, taken: float) -> float:
        """Share of what streams may take that is left where they take ``taken`` of the machine."""
        return min(1.0, max(0.0, 1.0 - taken / self.config.load_limit))

    def _answer(self, demand: Demand, others: list[Demand]) -> CapacityAnswer:
        load = self._load(demand)
        loads = [self._load(other) for other in others]
        taken = sum(other.share for other in loads)
        headroom = self._free_share(taken)
        refused = self._refusal(load, loads)
        if refused is not None:
            refusal, reason = refused
            return CapacityAnswer(False, headroom, reason, self._refusal(load, []) is None, refusal)
        reason = (
            f"{_name(demand)} frames take {_milliseconds(load.busy_seconds)} of this machine each: the stream adds "
            f"{load.share:.0%} to the {taken:.0%} that are taken, of at most {self.config.load_limit:.0%}"
        )
        return CapacityAnswer(True, headroom, reason)

    def _refusal(self, load: _Load, others: list[_Load]) -> tuple[Refusal, str] | None:
        files = sum(not other.demand.is_live for other in others)
        if not load.demand.is_live and files >= self.config.file_streams:
            return Refusal.FILE_STREAMS, f"{files} streams in file mode are open, the most at once"
        loads = [*others, load]
        views = {view for one in loads for view in self._costs.views_of(one.demand.display_size, one.demand.view_side)}
        if len(views) > self.config.view_sizes:
            seen = f"frames of {len(views)} different shapes would be open, the most at once are"
            return Refusal.CAPACITY, f"{seen} {self.config.view_sizes}"
        fault = self._too_slow(load) or self._too_much(load, others) or self._too_bunched(loads)
        return None if fault is None else (Refusal.CAPACITY, fault)

    def _too_slow(self, load: _Load) -> str | None:
        objective = load.demand.objective_seconds
        slow_seconds = load.alone_seconds * self._costs.tail
        if objective is None or slow_seconds <= load.due_seconds:
            return None
        needed = objective - load.due_seconds + slow_seconds
        return (
            f"one {_name(load.demand)} frame takes {_milliseconds(needed)} on this machine by itself, "
            f"and the objective is {_milliseconds(objective)}"
        )

    def _too_much(self, load: _Load, others: list[_Load]) -> str | None:
        """The share that is left for others is the larger, the more unsteadily the machine runs."""
        taken, limit = sum(other.share for other in others), self.config.load_limit
        if load.demand.is_live and any(other.demand.is_live for other in others):
            limit /= self._costs.tail
        if taken + load.share <= limit:
            return None
        return (
            f"{taken:.0%} of the machine are taken by {len(others)} streams, and this one of {_name(load.demand)} "
            f"needs {load.share:.0%}: together more than {limit:.0%}"
        )

    def _too_bunched(self, loads: list[_Load]) -> str | None:
        """Frames that come at the worst moments; see the top of this file."""
        live = [load for load in loads if load.demand.is_live]
        for due in sorted({load.due_seconds for load in live}):
            hurried = [load for load in live if load.due_seconds <= due]
            patient = [load for load in loads if load.due_seconds > due]
            running = max((self._running_seconds(load, live) for load in patient), default=0.0)
            needed = self._bunched_seconds(hurried, due) + running
            if needed > due:
                return (
                    f"frames of {len(hurried)} streams that come at once would take {_milliseconds(needed)} "
                    f"of the {_milliseconds(due)} that their objective leaves"
                )
        return None

    def _bunched_seconds(self, hurried: list[_Load], due: float) -> float:
        """What frames take that come together and are due after ``due`` seconds, where nothing else is running."""
        counts = [1 + (due - load.due_seconds) * load.rate for load in hurried]
        longest = max(load.slot_seconds for load in hurried)
        delay = (self._costs.tail - 1) * longest
        if 1 < self._costs.slots >= sum(counts):  # none is behind another one
            around = sum(load.around_seconds * count for load, count in zip(hurried, counts, strict=True))
            return around + longest + delay
        work = sum(load.busy_seconds * count for load, count in zip(hurried, counts, strict=True))
        lonely = max(load.slot_seconds - load.busy_seconds for load in hurried)  # a last one, on one core
        if len(hurried) > 1 and self._costs.slots == 1:  # and a first one, taken up just before the others come
            lonely *= 2
        return work + max(0.0, lonely) + delay

    def _running_seconds(self, load: _Load, live: list[_Load]) -> float:
        """Longest batch of a patient stream that a frame in a hurry may have to wait for."""
        if load.demand.is_live:
            return load.slot_seconds
        shortest = min(one.due_seconds for one in live)
        return max(load.slot_seconds, self._scheduler.background_share * shortest)

    def _load(self, demand: Demand) -> _Load:
        alone = self._costs.picture_seconds(demand.display_size, demand.view_side)
        apart = self._decode.value * megapixels(demand.display_size)
        apart += self.config.frame_seconds or self._upkeep.value
        around = apart / self._cores
        busy = self._costs.busy_seconds(alone) + around
        slot = self._costs.batch_seconds(alone, 1, self._costs.slots)
        alone = self._costs.batch_seconds(alone, 1)
        if demand.objective_seconds is None:
            return _Load(demand, alone, slot, around, busy, 1 / self._scheduler.ageing_seconds, math.inf)
        due = demand.objective_seconds - apart
        return _Load(demand, alone, slot, around, busy, demand.frame_rate, due)


class Reservation:
    """A stream's place; a context manager. Made by ``Capacity.reserve``."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity

    def change(self, demand: Demand) -> None:
        """Ask for something else: what the container says, where a guess was reserved. Refused, it keeps what it had.

        Raises:
            OverloadedError: it does not fit now; the message says why.
        """
        self._capacity.change(self, demand)

    def release(self) -> None:
        """Give the place back; a second call does nothing."""
        self._capacity.release(self)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def _name(demand: Demand) -> str:
    height, width = demand.display_size
    return f"{width}×{height}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
