"""Refuses new work while memory is short: by the limits of its cgroups, and by what the machine has left for it."""

from __future__ import annotations

import logging
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from acfd_stream.metrics import Metrics, Refusal
from acfd_stream.service.status import StatusError

RETRY_SECONDS = 5.0
"""Retry delay of a call that is refused."""
_READ_SECONDS = 0.5  # how long a reading counts
_BACK = 0.95  # new work is accepted again below this part of the share: small changes do not end and begin it
_CGROUPS = Path("/sys/fs/cgroup")
_log = logging.getLogger(__name__)


class MemoryGuard:
    """Whether memory is short; thread-safe.

    Args:
        share: of the memory; above it, memory is short. 1: never.
        metrics: gets the used part and the refusals.
        used: returns the used part of the memory, 0 … 1.
    """

    def __init__(self, share: float, metrics: Metrics, used: Callable[[], float] | None = None) -> None:
        self._share, self._metrics, self._used = share, metrics, used or used_memory
        self._lock = threading.Lock()
        self._is_short = False
        self._read_at = -_READ_SECONDS

    @property
    def is_short(self) -> bool:
        """Whether new work must wait, by the last reading: calls ask on the event loop, and a reading takes long."""
        return self._is_short

    def update(self) -> bool:
        """Read the memory, at most twice a second, and tell log and metrics; whether it is short. Never raises."""
        with self._lock:
            now = time.monotonic()
            if now - self._read_at >= _READ_SECONDS:
                self._read_at = now
                self._note(self._used())
            return self._is_short

    def refusal(self) -> StatusError:
        """The error of a call that is refused."""
        self._metrics.refusals.of(Refusal.MEMORY).inc()
        message = f"the server uses more than {self._share:.0%} of its memory; try again later"
        return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "MEMORY", message, retry_seconds=RETRY_SECONDS)

    def _note(self, used: float) -> None:
        self._metrics.memory_used.set(used)
        was_short = self._is_short
        self._is_short = self._share < 1 and used > self._share * (_BACK if was_short else 1.0)
        if self._is_short and not was_short:
            _log.warning("memory is short: %.0f %% of it is used; new work is refused", 100 * used)
        elif was_short and not self._is_short:
            _log.info("memory is not short any more: %.0f %% of it is used", 100 * used)


def used_memory(proc: Path = Path("/proc"), mount: Path = _CGROUPS) -> float:
    """The used part of the memory, 0 … 1: of a cgroup, or of what the machine has left for this process.

    For the machine, the part is own / (own + available), where own is the memory of this process and its children. What
    other programs use does not count, but makes what is left smaller. For the cgroup that is closest to its limit, and
    those above it, all counts but ``inactive_file``, which the kernel can drop. 0 where nothing of this can be read.

    Source: the working set of a container in Kubernetes, "Node-pressure Eviction".
    """
    values = _numbers(proc / "meminfo")
    own, available = _of_processes(proc / "self"), values.get("MemAvailable:", 0) * 1024
    parts = [own / (own + available)] if own and available else []
    total = values.get("MemTotal:", 0) * 1024
    parts += [used / limit for limit, used in _of_groups(proc / "self" / "cgroup", mount) if 0 < limit < total]
    return max(parts, default=0.0)


def _of_processes(process: Path) -> int:
    """Resident bytes of a process and all below it."""
    words = _text(process / "statm").split()
    own = int(words[1]) * resource.getpagesize() if len(words) > 1 else 0
    children = [child for path in process.glob("task/*/children") for child in _text(path).split()]
    return own + sum(_of_processes(process.parent / child) for child in children)


def _of_groups(groups: Path, mount: Path) -> Iterator[tuple[int, int]]:
    """Limit and used bytes of the process's memory cgroups and those above them, version 2 and 1."""
    for line in _text(groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        root = mount / "memory" if controllers else mount
        folder = root / path.strip("/")
        for place in {root, *(above for above in (folder, *folder.parents) if root in above.parents)}:
            limit, used = (_text(place / name).strip() for name in names)
            if limit.isdecimal() and used.isdecimal():
                stat = _numbers(place / "memory.stat")
                dropped = stat.get("total_inactive_file", stat.get("inactive_file", 0))
                yield int(limit), max(0, int(used) - dropped)


def _numbers(path: Path) -> dict[str, int]:
    """The first number of each line by its name."""
    words = (line.split() for line in _text(path).splitlines())
    return {name: int(value) for name, value, *_ in (line for line in words if len(line) > 1) if value.isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
