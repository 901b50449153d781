"""Which crew works on an archive: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acfd_stream.archive.options import ArchiveCall
from acfd_stream.archive.sizing import sizing

if TYPE_CHECKING:
    from acfd_stream.archive.run import Enlist
    from acfd_stream.archive.workers import Crew


def enlist_for(call: ArchiveCall) -> Enlist:
    """What makes the crew that ``call`` asks for, when there is something to do."""

    def enlist(episodes: int) -> tuple[Crew, int]:
        if call.engine == "ray":
            from acfd_stream.archive.ray_workers import RayCrew

            crew = RayCrew(
                call.workers,
                address=call.ray_address,
                device=call.device,
                stall_seconds=call.archive.stall_seconds,
            )
            return crew, 0  # it gives every worker the cores that it has asked the cluster for
        from acfd_stream.archive.local_workers import LocalCrew

        size = sizing(call.workers, episodes, call.device)
        local = LocalCrew(size.workers, environments=size.environments, stall_seconds=call.archive.stall_seconds)
        return local, size.threads

    return enlist
