"""Which workers record an archive, processes of this machine or actors of a Ray cluster, and what each may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.config import available_cores, cuda_visible_devices

if TYPE_CHECKING:
    from acfd_stream.archive.run import StartWorkers
    from acfd_stream.archive.workers import Workers

_CORES_A_WORKER = 4
"""One process decodes, tracks and writes about as fast as four cores run the network."""


def workers_for(call: ArchiveOptions) -> StartWorkers:
    """Starts the workers that ``call`` asks for, when there is something to do."""

    def start_workers(episodes: int) -> tuple[Workers[Any], int]:
        if call.engine == "ray":
            from acfd_stream.archive.ray_workers import RayWorkers

            workers = RayWorkers(
                call.workers,
                address=call.ray_address,
                device=call.device,
                stall_seconds=call.archive.stall_seconds,
            )
            return workers, 0  # each uses the cores that Ray gives it
        from acfd_stream.archive.local_workers import LocalWorkers

        size = sizing(call.workers, episodes, call.device)
        local = LocalWorkers(size.workers, environments=size.environments, stall_seconds=call.archive.stall_seconds)
        return local, size.threads

    return start_workers


@dataclass(frozen=True)
class Sizing:
    """Workers of one machine."""

    workers: int
    threads: int  # of each one's network and decoder; 0: they choose, because the worker has the machine to itself
    environments: tuple[dict[str, str], ...] = ({},)  # in turn


def sizing(asked: int, episodes: int, device: str) -> Sizing:
    """How to divide this machine between workers.

    Args:
        asked: how many workers the caller wants; 0: a worker a GPU, else one for every four cores, for a video alone
            keeps those busy; never more than there are videos.
        episodes: how many videos there are to work on, >= 1.
        device: "auto", "cpu" or "cuda".
    """
    gpus = [] if device == "cpu" else visible_gpus()
    cores = available_cores()
    workers = asked or min(len(gpus) or max(1, cores // _CORES_A_WORKER), max(1, episodes))
    environments = tuple({"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus) if len(gpus) > 1 else ({},)
    return Sizing(workers, 0 if workers == 1 else max(1, cores // workers), environments)


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` would call the GPUs that this process may use; the driver is asked how many."""
    from acfd_stream.detect.device_choice import driver_gpus

    count = driver_gpus()[0]
    named = [name.strip() for name in cuda_visible_devices().split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]
