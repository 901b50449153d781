"""Admission control: decides whether the machine can run another stream while all streams keep their objective.

The time that a frame takes on the machine is known: its share of a batch, plus decoding and tracking on the cores. A
set of live streams is admitted if

- together they take at most a configured share of the machine; the share is lower for more than one stream on a machine
  with unsteady speed; and
- in any interval, the frames that are due by its end take no longer than the interval, even if they arrive at the worst
  moments. For frames every T seconds that are due D seconds after arrival and take C seconds, the sum over the streams
  with D <= t is C (1 + (t - D) / T), plus the work that may already be running. Only values of t that equal some D are
  checked, because the sum grows more slowly than t between them.

C is a frame's share of the whole machine. With several slots, the last frame runs alone on one slot: it takes as long
as a frame on a busy machine, and the work that was running is part of the sum. If there are no more frames than slots,
none waits for another. One of the frames is assumed to be as slow as the slowest in twenty.

Source: the second condition is the processor demand test of earliest-deadline-first scheduling (Baruah, Rosier, Howell,
1990), with the usual term for non-preemptive work; on several slots, the bound of list scheduling (Graham, 1969).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from acfd_stream.config import CapacityConfig, SchedulerConfig, available_cores
from acfd_stream.errors import OverloadedError
from acfd_stream.metrics import Metrics, Refusal
from acfd_stream.pipeline.costs import Costs, Size, megapixels
from acfd_stream.pipeline.demand import Demand
from acfd_stream.pipeline.live_input_size import LiveInputSize
from acfd_stream.places import NEWCOMERS, has_place

UPKEEP_SECONDS = 0.003
"""CPU seconds per frame besides decoding and the network, if they were not measured."""
_STEP = 0.05
_DECODE_RANGE = (1e-4, 0.02)  # seconds per megapixel; values outside include a wait
_UPKEEP_RANGE = (0.25, 4.0)  # times the measured value
_REFRESH_FRAMES = 64


@dataclass(frozen=True)
class CapacityAnswer:
    """Whether a stream would be admitted now."""

    fits: bool
    headroom: float  # free share of the load limit, before the stream is added, 0 … 1
    reason: str  # one line for a person
    may_fit_later: bool = True  # it would fit without the other streams
    refusal: Refusal | None = None  # None: it fits


class _RunningMean:
    """A running mean of seconds: starts from a guess and follows observations, within bounds."""

    def __init__(self, guess: float, least: float, most: float) -> None:
        self._guess, self._least, self._most = guess, least, most
        self.value = guess

    def observe(self, seconds: float) -> None:
        """Move the mean towards an observation."""
        self.value += _STEP * (min(max(seconds, self._least), self._most) - self.value)

    def reset(self) -> None:
        """Return to the guess."""
        self.value = self._guess


@dataclass(frozen=True)
class _Load:
    """Load of a stream on the machine."""

    demand: Demand
    alone_seconds: float  # of the engine, for a single frame
    slot_seconds: float  # of a slot, for one frame while the other slots are busy
    around_seconds: float  # of all cores, for a frame without the engine
    busy_seconds: float  # of all cores, for one frame
    rate: float  # frames per second
    due_seconds: float  # from the end of decoding to the latest end of detection

    @property
    def share(self) -> float:
        return self.busy_seconds * self.rate


class Capacity:
    """The admitted streams, and whether another one fits. Thread-safe.

    Args:
        costs: the scheduler's costs of pictures, at the current speed of the engine.
        config: limits.
        scheduler: the scheduler's config for streams in file mode.
        metrics: counts refusals and headroom.
        upkeep_seconds: result of ``measure_cpu_overhead``; corrected by running streams. Unused if the config sets it.
        live_view: input size of live frames, unless their stream sets one.
        newcomers: places in file mode beside the limit for callers who hold few; see ``has_place``.
        load_share: returns the share of the load limit that several live streams of one caller may use together.
    """

    def __init__(
        self,
        costs: Costs,
        config: CapacityConfig | None = None,
        scheduler: SchedulerConfig | None = None,
        metrics: Metrics | None = None,
        upkeep_seconds: float = UPKEEP_SECONDS,
        live_view: LiveInputSize | None = None,
        newcomers: float = NEWCOMERS,
        load_share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.live_view = live_view or LiveInputSize()
        self.config = config or CapacityConfig()
        self._costs = costs
        self._scheduler = scheduler or SchedulerConfig()
        self._metrics = metrics or Metrics.none()
        self._newcomers, self._load_share = newcomers, load_share
        self._cores = self.config.cores or available_cores()
        self._decode = _RunningMean(self.config.decode_seconds, *_DECODE_RANGE)
        least, most = (times * upkeep_seconds for times in _UPKEEP_RANGE)
        self._upkeep = _RunningMean(upkeep_seconds, least, most)
        self._frames_seen = 0
        self._lock = threading.Lock()
        self._admitted: dict[Reservation, Demand] = {}
        self.refused_at = -math.inf
        """When a stream or job was last refused for lack of capacity, on the clock of ``time.monotonic``."""
        self._metrics.headroom.set(1.0)

    @property
    def headroom(self) -> float:
        """Free share of the load limit, 0 … 1: the value for autoscaling."""
        with self._lock:
            return self._headroom()

    @property
    def streams(self) -> int:
        """Number of admitted streams."""
        with self._lock:
            return len(self._admitted)

    def ask(
        self, display_size: Size, frame_rate: float, objective_seconds: float | None = None, caller: str = ""
    ) -> CapacityAnswer:
        """Whether a live stream would be admitted now.

        Args:
            display_size: (height, width) of its frames.
            frame_rate: frames per second, > 0.
            objective_seconds: latency objective; None: the config's.
            caller: who asks.

        Raises:
            ConfigError: a number is outside its range.
        """
        seconds = objective_seconds or self.config.objective_seconds
        demand = Demand(display_size, frame_rate, seconds, self.live_view.of(seconds), caller)
        with self._lock:
            return self._answer(demand)

    def reserve(self, demand: Demand) -> Reservation:
        """Admit a stream, until its reservation is released.

        Raises:
            OverloadedError: it does not fit now; the message says why.
        """
        reservation = Reservation(self)
        self.change(reservation, demand)
        return reservation

    def spare(self, demand: Demand) -> Reservation | None:
        """A reservation for work that can wait, such as a job; None without capacity, which counts no refusal."""
        with self._lock:
            reservation = Reservation(self)
            if self._set(reservation, demand) is not None:
                self.refused_at = time.monotonic()
                return None
            return reservation

    def change(self, reservation: Reservation, demand: Demand) -> None:
        """Set the requirements of a stream; see ``Reservation.change``."""
        with self._lock:
            refused = self._set(reservation, demand)
            if refused is None:
                return
            refusal, reason = refused
            self._metrics.refusals.of(refusal).inc()
            if refusal is not Refusal.QUOTA:
                self.refused_at = time.monotonic()
            raise OverloadedError(reason)

    def adjust(self, reservation: Reservation, demand: Demand) -> bool:
        """Set the requirements of an admitted stream to what was measured; see ``Reservation.adjust``."""
        with self._lock:
            return reservation in self._admitted and self._set(reservation, demand) is None

    def release(self, reservation: Reservation) -> None:
        """Free the capacity of a stream."""
        with self._lock:
            self._admitted.pop(reservation, None)
            if not self._admitted:  # without streams, nothing would measure that frames are fast again
                self._decode.reset()
                self._upkeep.reset()
            self._metrics.headroom.set(self._headroom())

    def observe(self, display_size: Size, decode_seconds: float, upkeep_seconds: float) -> None:
        """Update the means from a frame: CPU time of decoding, and of everything else but the network."""
        with self._lock:
            self._decode.observe(decode_seconds / megapixels(display_size))
            self._upkeep.observe(upkeep_seconds)
            self._frames_seen += 1
            if self._frames_seen % _REFRESH_FRAMES == 0:
                self._metrics.headroom.set(self._headroom())

    # With the lock held.

    def _set(self, reservation: Reservation, demand: Demand) -> tuple[Refusal, str] | None:
        """Set the requirements; why they are refused."""
        others = [self._load(known) for holder, known in self._admitted.items() if holder is not reservation]
        refused = self._refusal(self._load(demand), others)
        if refused is not None and not self._is_less(demand, self._admitted.get(reservation)):
            return refused
        self._admitted[reservation] = demand
        self._metrics.headroom.set(self._headroom())
        return None

    def _is_less(self, demand: Demand, before: Demand | None) -> bool:
        """Whether an admitted stream lowers its demand: that is allowed even if the machine became slower."""
        if before is None or demand.is_live != before.is_live:
            return False
        old, new = self._load(before), self._load(demand)
        return new.share <= old.share and new.due_seconds >= old.due_seconds

    def _headroom(self) -> float:
        return self._free_share(sum(self._load(demand).share for demand in self._admitted.values()))

    def _free_share(self, taken: float) -> float:
        """Free share of the load limit if streams take ``taken`` of the machine."""
        return min(1.0, max(0.0, 1.0 - taken / self.config.load_limit))

    def _answer(self, demand: Demand) -> CapacityAnswer:
        load = self._load(demand)
        others = [self._load(admitted) for admitted in self._admitted.values()]
        taken = sum(other.share for other in others)
        headroom = self._free_share(taken)
        refused = self._refusal(load, others)
        if refused is not None:
            refusal, reason = refused
            return CapacityAnswer(False, headroom, reason, self._refusal(load, []) is None, refusal)
        reason = (
            f"{_name(demand)} frames take {_milliseconds(load.busy_seconds)} of this machine each: the stream adds "
            f"{load.share:.0%} to the {taken:.0%} that are taken, of at most {self.config.load_limit:.0%}"
        )
        return CapacityAnswer(True, headroom, reason)

    def _refusal(self, load: _Load, others: list[_Load]) -> tuple[Refusal, str] | None:
        if not load.demand.is_live:
            files = [other.demand.caller for other in others if not other.demand.is_live]
            own = files.count(load.demand.caller)
            if not has_place(self.config.file_streams, len(files), own, self._newcomers):
                return Refusal.FILE_STREAMS, f"{len(files)} streams in file mode are open, which is the maximum"
        loads = [*others, load]
        views = {view for one in loads for view in self._costs.views_of(one.demand.display_size, one.demand.view_side)}
        if len(views) > self.config.view_sizes:
            shapes = f"streams with {len(views)} different shapes of frames would be open"
            return Refusal.CAPACITY, f"{shapes}; the maximum is {self.config.view_sizes}"
        reason = self._too_slow(load) or self._too_much(load, others) or self._too_slow_together(loads)
        if reason is not None:
            return Refusal.CAPACITY, reason
        reason = self._above_share(load, others)
        return None if reason is None else (Refusal.QUOTA, reason)

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
        """Whether the streams exceed the load limit, which is lower on a machine with unsteady speed."""
        taken, limit = sum(other.share for other in others), self.config.load_limit
        if load.demand.is_live and any(other.demand.is_live for other in others):
            limit /= self._costs.tail
        if taken + load.share <= limit:
            return None
        return (
            f"{taken:.0%} of the machine are taken by {len(others)} streams, and this one of {_name(load.demand)} "
            f"needs {load.share:.0%}: together more than {limit:.0%}"
        )

    def _above_share(self, load: _Load, others: list[_Load]) -> str | None:
        """Whether further live streams of one caller would leave too little to the others."""
        caller, share = load.demand.caller, self._load_share()
        own = [other for other in others if other.demand.is_live and other.demand.caller == caller]
        if not load.demand.is_live or not own or share >= 1:
            return None
        taken, limit = sum(other.share for other in own), share * self.config.load_limit / self._costs.tail
        if taken + load.share <= limit:
            reason = self._too_slow_together([*own, load], share)
            return None if reason is None else f"{reason} to one caller"
        return (
            f"{taken:.0%} of the machine are taken by {len(own)} live streams of this caller, and this one of "
            f"{_name(load.demand)} needs {load.share:.0%}: together more than its share of {limit:.0%}"
        )

    def _too_slow_together(self, loads: list[_Load], share: float = 1.0) -> str | None:
        """Whether frames that arrive at the worst moments miss the objective; see the top of this file."""
        live = [load for load in loads if load.demand.is_live]
        for due in sorted({load.due_seconds for load in live}):
            urgent = [load for load in live if load.due_seconds <= due]
            later = [load for load in loads if load.due_seconds > due]
            running = max((self._running_seconds(load, live) for load in later), default=0.0)
            needed = self._burst_seconds(urgent, due) + running
            if needed > share * due:
                return (
                    f"frames of {len(urgent)} streams that come at once would take {_milliseconds(needed)} "
                    f"of the {_milliseconds(share * due)} that their objective leaves"
                )
        return None

    def _burst_seconds(self, urgent: list[_Load], due: float) -> float:
        """Seconds for frames that arrive together and are due after ``due`` seconds, without other work."""
        counts = [1 + (due - load.due_seconds) * load.rate for load in urgent]
        longest = max(load.slot_seconds for load in urgent)
        delay = (self._costs.tail - 1) * longest
        if 1 < self._costs.slots >= sum(counts):  # no frame waits for another
            around = sum(load.around_seconds * count for load, count in zip(urgent, counts, strict=True))
            return around + longest + delay
        work = sum(load.busy_seconds * count for load, count in zip(urgent, counts, strict=True))
        alone_extra = max(load.slot_seconds - load.busy_seconds for load in urgent)  # the last frame, on one core
        if len(urgent) > 1 and self._costs.slots == 1:  # and a first frame, begun just before the others
            alone_extra *= 2
        return work + max(0.0, alone_extra) + delay

    def _running_seconds(self, load: _Load, live: list[_Load]) -> float:
        """Longest batch of a stream with later deadlines that an urgent frame may have to wait for."""
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
    """Capacity reserved for a stream; a context manager, made by ``Capacity.reserve``."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity

    def change(self, demand: Demand) -> None:
        """Change the requirements, for example when the container is known. If refused, the old ones stay.

        Raises:
            OverloadedError: it does not fit now; the message says why.
        """
        self._capacity.change(self, demand)

    def adjust(self, demand: Demand) -> bool:
        """Change the requirements to what was measured; False: they do not fit, and the old ones stay."""
        return self._capacity.adjust(self, demand)

    def release(self) -> None:
        """Free the capacity; a second call does nothing."""
        self._capacity.release(self)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _name(demand: Demand) -> str:
    height, width = demand.display_size
    return f"{width}×{height}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
