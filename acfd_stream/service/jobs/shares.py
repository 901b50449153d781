"""Which jobs go when more is kept than fits, and whose turn it is: every caller gets a share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from acfd_stream.service.settings.callers import CallerLimits

_KNOWN_TURNS = 4096


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One job of the store, as far as its room counts."""

    job_id: str
    caller: str
    byte_count: int  # of its results and of what is stored beside them
    is_finished: bool
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class Surplus:
    """What must go."""

    forgotten: list[str]  # finished jobs, which are deleted
    ended: list[str]  # running jobs, which fail: their caller has nothing else to give up


@dataclass(slots=True)
class _Holding:
    finished: deque[StoredJob] = field(default_factory=deque)  # oldest first
    running: list[StoredJob] = field(default_factory=list)  # oldest first
    byte_count: int = 0


def surplus_of(
    jobs: Iterable[StoredJob], most_jobs: int, most_bytes: int, limits_of: Callable[[str], CallerLimits]
) -> Surplus:
    """What must go so that the rest is within the limits of each caller and of all together.

    A caller above its own limits loses its oldest jobs. Beyond the limits of all, whoever holds most loses its oldest;
    a caller whose running jobs alone hold most of the bytes loses the newest of those.

    Args:
        jobs: all jobs, oldest first.
        most_jobs: finished jobs of all callers.
        most_bytes: bytes of all jobs of all callers.
        limits_of: the limits of a caller; 0 is none.
    """
    holdings: dict[str, _Holding] = {}
    for job in jobs:
        holding = holdings.setdefault(job.caller, _Holding())
        holding.byte_count += job.byte_count
        if job.is_finished:
            holding.finished.append(job)
        elif job.is_running:
            holding.running.append(job)
    surplus = Surplus([], [])
    for caller, holding in holdings.items():
        limits = limits_of(caller)
        _shrink({caller: holding}, limits.kept_jobs or most_jobs, limits.kept_bytes or most_bytes, surplus)
    _shrink(holdings, most_jobs, most_bytes, surplus)
    return surplus


def _shrink(holdings: Mapping[str, _Holding], most_jobs: int, most_bytes: int, surplus: Surplus) -> None:
    while sum(len(holding.finished) for holding in holdings.values()) > most_jobs:
        _forget_oldest(max(holdings.values(), key=lambda holding: len(holding.finished)), surplus)
    while sum(holding.byte_count for holding in holdings.values()) > most_bytes:
        largest = max(holdings.values(), key=lambda holding: holding.byte_count)
        if largest.finished:
            _forget_oldest(largest, surplus)
        elif largest.running:
            job = largest.running.pop()
            largest.byte_count -= job.byte_count
            surplus.ended.append(job.job_id)
        else:
            return  # jobs that wait keep what they have


def _forget_oldest(holding: _Holding, surplus: Surplus) -> None:
    job = holding.finished.popleft()
    holding.byte_count -= job.byte_count
    surplus.forgotten.append(job.job_id)


class Turns:
    """Whose job runs next: callers take turns. Not thread-safe."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # caller → number of its last turn; those that had theirs last come last
        self._count = 0

    def next(self, waiting: Mapping[str, int], running: Mapping[str, int]) -> str | None:
        """The caller whose job runs next: who runs fewest, then who had no turn for longest, then who asked first.

        Args:
            waiting: caller → when its oldest waiting job was submitted, as a rising number.
            running: caller → its running jobs.
        """
        if not waiting:
            return None
        return min(waiting, key=lambda caller: (running.get(caller, 0), self._last.get(caller, 0), waiting[caller]))

    def note(self, caller: str) -> None:
        """``caller`` has its turn."""
        self._count += 1
        self._last.pop(caller, None)
        self._last[caller] = self._count
        if len(self._last) > _KNOWN_TURNS:
            del self._last[next(iter(self._last))]
