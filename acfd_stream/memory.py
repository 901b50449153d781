"""Memory that this process may use: by the limits of its cgroups, and by what the machine has left for it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemorySize:
    """Memory in bytes; 0: unknown."""

    total: int  # of the machine
    available: int  # of the machine, without what programs use
    limit: int  # of the cgroup with the lowest limit; 0: none is below the total


def memory_size(proc: Path = _PROC, mount: Path = _CGROUPS) -> MemorySize:
    """The memory of the machine, and the part of it that the cgroups of this process allow."""
    values = _numbers(proc / "meminfo")
    total = values.get("MemTotal:", 0) * 1024
    limits = [limit for limit, _ in _of_groups(proc / "self" / "cgroup", mount) if 0 < limit < total]
    return MemorySize(total, values.get("MemAvailable:", 0) * 1024, min(limits, default=0))


def used_memory(proc: Path = _PROC, mount: Path = _CGROUPS) -> float:
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
