"""Data-parallel training: several processes train one network, each on its share of the batch.

``torchrun --nproc-per-node N -m -- acfd_stream.model.train …`` starts them, one per GPU (NCCL) or on CPUs (gloo).
Without torchrun there is one process.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from acfd_stream.errors import ConfigError


@dataclass(frozen=True)
class DataParallelGroup:
    """This process's number and how many processes train the network."""

    rank: int = 0
    size: int = 1

    @classmethod
    def from_torchrun(cls, device: str) -> DataParallelGroup:
        """The group that torchrun started this process in, or a group of one."""
        if not distributed.is_torchelastic_launched():
            return cls()
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        if device.startswith("cuda"):
            torch.cuda.set_device(distributed.get_node_local_rank())
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process logs, saves and evaluates."""
        return self.rank == 0

    def local_batch(self, batch: int) -> int:
        """Pictures of a batch that this process trains on.

        Raises:
            ConfigError: the batch is not a multiple of the number of processes.
        """
        if batch % self.size:
            raise ConfigError(f"schedule.batch must be a multiple of the {self.size} processes, got {batch}")
        return batch // self.size

    def wrap(self, network: nn.Module) -> nn.Module:
        """``network`` with gradients averaged over the group; unchanged for one process or without parameters."""
        is_alone = self.size == 1 or next(network.parameters(), None) is None
        return network if is_alone else DistributedDataParallel(network)

    def broadcast(self, value: float) -> float:
        """The first process's ``value``, in every process."""
        if self.size == 1:
            return value
        backend = distributed.get_backend()
        shared = torch.tensor([value], dtype=torch.float64, device="cuda" if backend == "nccl" else "cpu")
        distributed.broadcast(shared, 0)
        return float(shared)

    def barrier(self) -> None:
        """Return when every process has called this."""
        if self.size > 1:
            distributed.barrier()

    def close(self) -> None:
        """End the communication that ``from_torchrun`` began."""
        if self.size > 1:
            distributed.destroy_process_group()
