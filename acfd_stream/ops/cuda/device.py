"""A GPU for the ops: memory, copies, launches, marks and graphs, all on one stream.

The only file that imports CuPy. Errors of the driver, the compiler and the memory pool are RunnerErrors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.cuda.context import wait_asleep
from acfd_stream.ops.cuda.kernels import machine_code

Array = Any
"""Memory on the device with ``shape``, ``dtype`` and ``strides``: CuPy's, or NumPy's where tests stand in for a GPU."""
OLDEST = (7, 5)
"""Least compute capability for which the kernels are compiled and tested: Turing."""


@cache
def load_cupy() -> Any:
    """The module ``cupy``, if it can use a GPU.

    Raises:
        BackendUnavailable: CuPy is not installed, or it finds no driver or no GPU.
    """
    try:
        import cupy
    except ImportError as error:
        raise BackendUnavailable(
            f"CUDA cannot be used: CuPy cannot be loaded ({error}); install it with: pip install 'acfd-stream[gpu]'"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendUnavailable(f"CUDA cannot be used: {error}") from error
    if count < 1:
        raise BackendUnavailable("CUDA cannot be used: the driver offers no GPU")
    wait_asleep()  # before anything starts the context
    return cupy


class CupyDevice:
    """A GPU by CuPy, for one thread at a time; in tests the CPU stands in for it and runs the same kernels."""

    def __init__(self, index: int = 0) -> None:
        self._cupy = load_cupy()
        cuda = self._cupy.cuda
        if not 0 <= index < cuda.runtime.getDeviceCount():
            raise BackendUnavailable(
                f"GPU {index} cannot be used: the driver offers {cuda.runtime.getDeviceCount()} GPUs, counted from 0"
            )
        # CuPy raises RuntimeErrors, also for a CUDA library that it cannot load.
        self._errors = (RuntimeError, cuda.memory.OutOfMemoryError)
        self._device = cuda.Device(index)
        properties = cuda.runtime.getDeviceProperties(index)
        self.name: str = properties["name"].decode()
        capability = (properties["major"], properties["minor"])
        self.compute_capability = f"{capability[0]}.{capability[1]}"
        if capability < OLDEST:
            raise BackendUnavailable(
                f"{self.name} cannot be used: its compute capability must be at least {OLDEST[0]}.{OLDEST[1]}, "
                f"got {self.compute_capability}"
            )
        with self._device:
            # This stream does not wait for the default stream, which other libraries may use.
            self._stream = cuda.Stream(non_blocking=True)
        self._kernels: dict[str, Any] = {}
        with self._translated():
            self._module = cuda.Module()
            self._module.load(machine_code(cuda.nvrtc, capability))
        self._is_closed = False

    @property
    def stream(self) -> int:
        """The driver's handle of the stream of all work."""
        return int(self._stream.ptr)

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        """Uninitialised memory, C-contiguous."""
        with self._translated():
            return self._cupy.empty(tuple(shape), dtype)

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Pinned host memory, zeros."""
        count, kind = int(np.prod(shape)), np.dtype(dtype)
        with self._translated():
            memory = self._cupy.cuda.alloc_pinned_memory(max(count * kind.itemsize, 1))
        values: NDArray[Any] = np.frombuffer(memory, kind, count).reshape(tuple(shape))
        values[...] = np.zeros((), kind)
        return values

    def address(self, array: Array) -> int:
        """The address of its first element."""
        if isinstance(array, self._cupy.ndarray):  # much faster than the interface below
            return int(array.data.ptr)
        return int(array.__cuda_array_interface__["data"][0])

    def upload(self, values: NDArray[Any]) -> Array:
        """A contiguous copy on the device, queued; ``values`` may change when this returns."""
        with self._translated():
            return self._cupy.array(np.ascontiguousarray(values), order="C", blocking=False)

    def contiguous(self, array: Array) -> Array:
        """The array itself or a contiguous copy of it, queued."""
        with self._translated():
            return self._cupy.ascontiguousarray(array)

    def copy_in(self, target: Array, source: NDArray[Any]) -> None:
        """Queue a copy from ``pinned`` memory, which must stay as it is until the copy is done."""
        with self._translated():
            target.data.copy_from_host_async(source.ctypes.data, source.nbytes, self._stream)

    def copy_out(self, target: NDArray[Any], source: Array) -> None:
        """Queue a copy to ``pinned`` memory."""
        with self._translated():
            source.data.copy_to_host_async(target.ctypes.data, target.nbytes, self._stream)

    def launch(
        self, kernel: str, grid: tuple[int, int, int], threads: int, arguments: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        """Queue a kernel of ``csrc``; CuPy checks the launch.

        Args:
            kernel: its name.
            grid: blocks along x, y and z.
            threads: of a block, along x.
            arguments: NumPy scalars of exactly the parameters' types; pointers as uint64.
            shared_bytes: dynamic shared memory of a block.
        """
        with self._translated():
            if kernel not in self._kernels:
                self._kernels[kernel] = self._module.get_function(kernel)
            self._kernels[kernel](grid, (threads, 1, 1), tuple(arguments), shared_mem=shared_bytes)

    def wait_for(self, event: Any) -> None:
        """Make later work wait for an event of another stream."""
        with self._translated():
            self._stream.wait_event(event)

    def synchronize(self) -> None:
        """Wait for the queue."""
        with self._translated():
            self._stream.synchronize()

    def mark(self) -> Any:
        """A mark at the current end of the stream."""
        with self._translated():
            return self._stream.record()

    def seconds(self, begin: Any, end: Any) -> float:
        """Time between two marks that the stream has passed."""
        with self._translated():
            return float(self._cupy.cuda.get_elapsed_time(begin, end)) / 1e3

    def begin_capture(self) -> None:
        """Record launches from here on instead of running them."""
        with self._translated():
            self._stream.begin_capture()

    def end_capture(self) -> CupyGraph:
        """The recorded launches."""
        with self._translated():
            return CupyGraph(self, self._stream.end_capture())

    def close(self) -> None:
        """Wait, then free the memory; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self.synchronize()
        with self._translated():
            self._cupy.get_default_memory_pool().free_all_blocks()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Make this GPU and its stream current, and translate CuPy's errors into RunnerErrors."""
        try:
            with self._device, self._stream:
                yield
        except self._errors as error:
            raise RunnerError(f"{self.name} failed: {str(error).splitlines()[0]}") from error


class CupyGraph:
    """Launches that were captured."""

    def __init__(self, device: CupyDevice, graph: Any) -> None:
        self._device = device
        self._graph = graph

    def launch(self) -> None:
        """Queue them on the stream from which they were captured."""
        with self._device._translated():
            self._graph.launch()
