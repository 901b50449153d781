"""Measures on the GPU with device times; in a rehearsal, on the CPU with smaller sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from gpu.machine import gpu_state

T = TypeVar("T")
_PLUG_BYTES = 2**31
_PLUG_COPIES = 16
_DEVICE_TO_DEVICE = 3  # cudaMemcpyDeviceToDevice


class GpuRig:
    """A GPU. Times are device times between two events."""

    is_rehearsal = False
    device = "cuda"

    @cached_property
    def cupy(self) -> Any:
        """The CuPy module."""
        from acfd_stream.ops.cuda import load_cupy

        return load_cupy()

    @cached_property
    def ops(self) -> Any:
        """The ops on the first GPU."""
        from acfd_stream.ops.cuda import open_ops

        return open_ops()

    @cached_property
    def _plug(self) -> tuple[Any, Any]:
        return self.cupy.empty(_PLUG_BYTES, np.uint8), self.cupy.empty(_PLUG_BYTES, np.uint8)

    def scaled(self, full: T, small: T) -> T:
        """``full`` on a GPU, ``small`` in a rehearsal."""
        return full

    def name(self) -> str:
        """The driver's name of the GPU, for rows."""
        state = gpu_state()
        return state.get("name", "a GPU") if isinstance(state, dict) else "a GPU"

    def synchronize(self) -> None:
        """Wait for all that is queued on the ops' stream."""
        self.cupy.cuda.runtime.streamSynchronize(self.ops.stream)

    def plug(self) -> None:
        """Keep the stream busy for about 15 ms, so that later work runs without gaps."""
        target, source = self._plug
        for _ in range(_PLUG_COPIES):
            self.cupy.cuda.runtime.memcpyAsync(
                target.data.ptr, source.data.ptr, _PLUG_BYTES, _DEVICE_TO_DEVICE, self.ops.stream
            )

    def seconds(self, call: Callable[[], object]) -> float:
        """Device time of what ``call`` queues, without gaps from a slow host."""
        self.synchronize()
        self.plug()
        begin = self.ops.mark()
        call()
        end = self.ops.mark()
        self.synchronize()
        return float(self.ops.seconds(begin, end))

    def samples(self, call: Callable[[int], object], rounds: int, warmup: int = 3) -> list[float]:
        """``seconds`` of ``call(0)``, ``call(1)`` …, so that inputs may differ from one to the next."""
        for index in range(warmup):
            call(index)
        return [self.seconds(lambda at=index: call(at)) for index in range(rounds)]


class CpuRig:
    """The CPU instead of a GPU: tests the suite's logic; its figures are not valid."""

    is_rehearsal = True
    device = "cpu"

    @cached_property
    def ops(self) -> Any:
        """The same kernels on the CPU, as in the tests."""
        from gpu.stand_in import host_ops

        return host_ops()

    def scaled(self, full: T, small: T) -> T:
        """``small``."""
        return small

    def name(self) -> str:
        """For rows."""
        return "no GPU: a rehearsal on the CPU"

    def synchronize(self) -> None:
        """Nothing is queued."""

    def seconds(self, call: Callable[[], object]) -> float:
        """Wall time of ``call``."""
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    def samples(self, call: Callable[[int], object], rounds: int, warmup: int = 1) -> list[float]:
        """As ``GpuRig.samples``, three of them."""
        return [self.seconds(lambda at=index: call(at)) for index in range(min(rounds, 3))]


Rig = GpuRig | CpuRig
