"""As much of CuPy as ``video/device_planes.py`` uses, in host memory. Copies wait in their stream until somebody waits
for them, so that whoever reads, or writes, too early is found out.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np


class CUDARuntimeError(RuntimeError):
    """What CuPy raises."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises."""


class DeviceArray(np.ndarray[Any, Any]):
    """An array that says that it lies on a GPU."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return dict(self.__array_interface__)

    def get(self) -> np.ndarray[Any, Any]:
        return np.array(self, subok=False)


class Memory:
    """Where an array begins; stands in for a MemoryPointer."""

    def __init__(self, array: DeviceArray) -> None:
        self.array, self.ptr = array, array.ctypes.data


class Stream:
    """Work in order, done when it is waited for."""

    null: Stream

    def __init__(self, non_blocking: bool = False) -> None:
        self.is_blocking, self.ptr = not non_blocking, id(self)
        self.work: list[Callable[[], object]] = []
        _STREAMS[self.ptr] = self

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait_event(self, event: Event) -> None:
        self.work.append(event.synchronize)

    def run(self, count: int) -> None:
        work, self.work = self.work[:count], self.work[count:]
        for call in work:
            call()


class Event:
    """A place in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.stream: Stream | None = None

    def record(self, stream: Stream) -> None:
        self.is_done = False
        self.stream = stream
        stream.work.append(self._reached)

    def _reached(self) -> None:
        self.is_done = True

    def synchronize(self) -> None:
        while self.stream is not None and not self.is_done:
            self.stream.run(1)


_STREAMS: dict[int, Stream] = {}
Stream.null = Stream()


class FakeCupy:
    """The module; ``failure`` is raised by the next copies."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.copies = 0
        self._memory: list[Any] = []  # a copy that comes late must not write to what is something else by then
        self.cuda = self
        self.runtime = self.driver = self.memory = self
        self.Stream, self.Event = Stream, Event
        self.CUDARuntimeError = self.CUDADriverError = CUDARuntimeError
        self.OutOfMemoryError = OutOfMemoryError

    def alloc_pinned_memory(self, size: int) -> bytearray:
        self._memory.append(bytearray(size))
        return self._memory[-1]

    def empty(self, size: int, dtype: Any) -> Any:
        array = np.full(size, 0xCD, dtype).view(DeviceArray)  # nothing that a picture of the tests holds
        self._memory.append(array)
        return _WithMemory(array)

    def memcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> None:  # noqa: N802
        if self.failure is not None:
            raise self.failure
        assert kind == 1
        self.copies += 1
        _STREAMS[stream].work.append(lambda kept=self._memory: ctypes.memmove(target, source, size))

    def from_dlpack(self, plane: Any) -> Any:
        return np.from_dlpack(plane).view(DeviceArray)

    def ndarray(self, shape: tuple[int, ...], dtype: Any, memptr: Any, strides: tuple[int, ...]) -> Any:
        begin, size = np.asarray(memptr).ctypes.data, shape[0] * strides[0]
        memory = (ctypes.c_uint8 * size).from_address(begin)  # its frame is held by the test
        array: Any = np.ndarray(shape, dtype, memory, strides=strides)
        return array.view(DeviceArray)


class _WithMemory:
    """A DeviceArray of which ``data`` is CuPy's."""

    def __init__(self, array: DeviceArray) -> None:
        self._array, self.data = array, Memory(array)

    def __getitem__(self, part: slice) -> DeviceArray:
        cut: DeviceArray = self._array[part]
        return cut
