"""Several processes that train one network, each on its share of the batch; one process where nobody says otherwise.

``torchrun --nproc-per-node N -m -- acfd_stream.model.train …`` starts them: a GPU each (NCCL), or CPUs (gloo).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from acfd_stream.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: str) -> Team:
        """The team that torchrun has started this process in, or a team of one."""
        if not distributed.is_torchelastic_launched():
            return cls()
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        if device.startswith("cuda"):
            torch.cuda.set_device(distributed.get_node_local_rank())
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process writes, says and validates."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Pictures of a batch for this process.

        Raises:
            ConfigError: the batch cannot be shared evenly.
        """
        if batch % self.size:
            raise ConfigError(f"schedule.batch must be a multiple of the {self.size} processes, got {batch}")
        return batch // self.size

    def wrap(self, network: nn.Module) -> nn.Module:
        """``network`` with gradients averaged over the team; one without parameters stays as it is."""
        is_alone = self.size == 1 or next(network.parameters(), None) is None
        return network if is_alone else DistributedDataParallel(network)

    def agree(self, value: float) -> float:
        """The first process's ``value``, in all of them: clocks differ."""
        if self.size == 1:
            return value
        backend = distributed.get_backend()
        shared = torch.tensor([value], dtype=torch.float64, device="cuda" if backend == "nccl" else "cpu")
        distributed.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """End what ``join`` began."""
        if self.size > 1:
            distributed.destroy_process_group()
