"""Which workers record an archive: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.sizing import sizing

if TYPE_CHECKING:
    from acfd_stream.archive.run import StartWorkers
    from acfd_stream.archive.workers import Workers


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
