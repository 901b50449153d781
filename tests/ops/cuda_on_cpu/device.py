"""A stand-in for a GPU: the ops' host code and the kernels' very sources run, on the CPU, as in ``cuda.h``.

Memory is NumPy's between two guards; it begins as noise, and a launch that writes past its end is an error.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[2] / "csrc"
FLAGS = "-std=c++17 -O2 -fPIC -shared -ffp-contract=off -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0 -Wno-unknown-pragmas"
LETTERS = {np.dtype(np.uint64): "p", np.dtype(np.int32): "i", np.dtype(np.float32): "f"}
GUARD = np.frombuffer(bytes(range(64)), np.uint8)


@cache
def library() -> ctypes.CDLL:
    """The kernels, compiled once a run."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernels.so"
        command = ["c++", *FLAGS.split(), f"-I{CSRC}", f"-I{HERE}", str(HERE / "kernels.cpp"), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        loaded = ctypes.CDLL(str(target))
    loaded.acfd_parameters.restype = loaded.acfd_launch.restype = ctypes.c_char_p
    return loaded


class OnDevice(np.ndarray):
    """An array that says it lies on a GPU."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.__array_interface__

    def get(self) -> np.ndarray:
        """A copy on the host."""
        return np.array(self)


class Moment:
    """An event of a stream on which everything is done at once."""

    def __init__(self) -> None:
        self.seconds = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing is ever under way."""


class CpuGraph:
    """Launches that were captured."""

    def __init__(self, steps: list[Callable[[], None]]) -> None:
        self._steps = steps

    def launch(self) -> None:
        """Do them again."""
        for step in self._steps:
            step()


class CpuDevice:
    """``ops.cuda.device.Device`` over the CPU.

    Args:
        seed: decides the order of blocks and threads, and the noise in memory.
        block_threads: threads of the blocks whose kernels take any number of whole warps.
    """

    name = "CPU instead of a GPU"
    compute_capability = "9.0"
    stream = 0

    def __init__(self, seed: int = 0, block_threads: int = 1024) -> None:
        self._noise = np.random.default_rng(seed)
        self._seed = seed
        self._block_threads = block_threads
        self._memory: list[weakref.ref[np.ndarray]] = []
        self._recorded: list[Callable[[], None]] | None = None
        self.launches: list[str] = []

    def empty(self, shape: Sequence[int], dtype: Any) -> OnDevice:
        """Noise between two guards."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        assert kind.fields is None, "CuPy has no arrays of records"
        raw = np.concatenate([GUARD, self._noise.integers(0, 256, size, np.uint8), GUARD])
        self._memory.append(weakref.ref(raw))
        return raw[64 : 64 + size].view(kind).reshape(tuple(shape)).view(OnDevice)

    def pinned(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """Zeros."""
        return np.zeros(tuple(shape), dtype)

    def address(self, array: OnDevice) -> int:
        """Where its first element lies."""
        assert hasattr(array, "__cuda_array_interface__"), "a kernel cannot read the host's memory"
        return int(array.__cuda_array_interface__["data"][0])

    def upload(self, values: np.ndarray) -> OnDevice:
        """A contiguous copy between guards."""
        target = self.empty(values.shape, values.dtype)
        target[...] = values
        return target

    def contiguous(self, array: OnDevice) -> OnDevice:
        """The array or a contiguous copy."""
        return array if array.flags.c_contiguous else self.upload(array)

    def copy_in(self, target: OnDevice, source: np.ndarray) -> None:
        """Copy."""
        assert target.nbytes == source.nbytes
        self._do(lambda: target.reshape(-1).view(np.uint8).__setitem__(slice(None), source.reshape(-1).view(np.uint8)))

    def copy_out(self, target: np.ndarray, source: OnDevice) -> None:
        """Copy."""
        assert target.nbytes == source.nbytes
        self._do(lambda: target.reshape(-1).view(np.uint8).__setitem__(slice(None), source.reshape(-1).view(np.uint8)))

    def launch(
        self, kernel: str, grid: tuple[int, int, int], threads: int, arguments: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        """Run a kernel, after a look at what it is given."""
        wanted = library().acfd_parameters(kernel.encode())
        given = "".join(LETTERS[argument.dtype] for argument in arguments)
        assert wanted is not None, f"there is no kernel {kernel}"
        assert wanted.decode() == given, f"{kernel} takes {wanted.decode()}, got {given}"
        assert shared_bytes <= 48 * 1024 - 9 * 1024, f"{kernel} asks for more shared memory than every GPU has"
        if kernel in ("decode_anchors", "nms"):
            threads = min(threads, self._block_threads)
        self._do(lambda: self._run(kernel, grid, threads, list(arguments), shared_bytes))

    def wait_for(self, event: Any) -> None:
        """Wait."""
        event.synchronize()

    def synchronize(self) -> None:
        """Nothing is ever under way, but a capture would be broken by this."""
        assert self._recorded is None, "a capture does not allow to wait"

    def mark(self) -> Moment:
        """Now."""
        return Moment()

    def seconds(self, begin: Moment, end: Moment) -> float:
        """Time between two marks."""
        return end.seconds - begin.seconds

    def begin_capture(self) -> None:
        """From here on record."""
        assert self._recorded is None
        self._recorded = []

    def end_capture(self) -> CpuGraph:
        """What was recorded."""
        assert self._recorded is not None
        steps, self._recorded = self._recorded, None
        return CpuGraph(steps)

    def close(self) -> None:
        """Nothing to give back."""

    def _do(self, step: Callable[[], None]) -> None:
        if self._recorded is None:
            step()
        else:
            self._recorded.append(step)

    def _run(
        self, kernel: str, grid: tuple[int, int, int], threads: int, arguments: list[Any], shared_bytes: int
    ) -> None:
        self.launches.append(kernel)
        self._seed += 1
        cells = [np.array(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        failure = library().acfd_launch(
            kernel.encode(), (ctypes.c_uint * 3)(*grid), threads, shared_bytes, pointers, self._seed
        )
        assert failure is None, f"{kernel}: {failure.decode()}"
        self._memory = [reference for reference in self._memory if reference() is not None]
        for reference in self._memory:
            raw = reference()
            is_whole = np.array_equal(raw[:64], GUARD) and np.array_equal(raw[-64:], GUARD)
            assert is_whole, f"{kernel} wrote past an end of an array"
