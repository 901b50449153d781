"""For rehearsals: runs the kernels' sources on the CPU, as in the tests."""

from __future__ import annotations

from typing import Any


def host_ops() -> Any:
    """``CudaOps`` over the CPU."""
    from acfd_stream.ops.cuda.batch import CudaOps
    from tests.ops.cuda_on_cpu.device import CpuDevice

    return CudaOps(CpuDevice(block_threads=128))
