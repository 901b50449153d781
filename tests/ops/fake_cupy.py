"""As much of CuPy as ``ops.cuda.device`` calls, to see what it is asked for where there is no GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


class CUDARuntimeError(RuntimeError):
    """What the driver refuses."""


class OutOfMemoryError(MemoryError):
    """What the pool refuses."""


class Context:
    """A device or a stream: notes who is current."""

    def __init__(self, log: list[Any], name: str) -> None:
        self.log, self.name, self.ptr = log, name, 77

    def __enter__(self) -> Context:
        self.log.append(f"enter {self.name}")
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append(f"leave {self.name}")

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def record(self) -> str:
        return "event"

    def wait_event(self, event: Any) -> None:
        self.log.append(("wait", event))

    def begin_capture(self) -> None:
        self.log.append("begin")

    def end_capture(self) -> Any:
        return SimpleNamespace(launch=lambda: self.log.append("graph"))


class FakeCupy:
    """The module. ``log`` is what was done, in order; ``failure`` is raised by the next launch."""

    def __init__(self, count: int | Exception = 1, capability: tuple[int, int] = (9, 0)) -> None:
        self.log: list[Any] = []
        self.failure: Exception | None = None
        self._count, self._capability = count, capability
        self.ndarray = np.ndarray
        self.ascontiguousarray = np.ascontiguousarray
        self.empty, self.array = np.empty, lambda values, **_: np.array(values)
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDeviceCount=self._device_count,
                getDeviceProperties=lambda _: {"name": b"A GPU", "major": capability[0], "minor": capability[1]},
            ),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            nvrtc=SimpleNamespace(
                NVRTCError=RuntimeError,
                getVersion=lambda: (13, 0),
                getSupportedArchs=lambda: (75, 90),
                createProgram=lambda *_: None,
                compileProgram=lambda *_: None,
                getCUBIN=lambda _: b"machine code",
                destroyProgram=lambda _: None,
            ),
            Device=lambda index: Context(self.log, f"device {index}"),
            Stream=lambda non_blocking: Context(self.log, "stream" if non_blocking else "a stream that waits"),
            Module=lambda: SimpleNamespace(load=self.log.append, get_function=self._function),
            alloc_pinned_memory=bytearray,
            get_elapsed_time=lambda begin, end: 1.5,
        )

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(free_all_blocks=lambda: self.log.append("free"))

    def _device_count(self) -> int:
        if isinstance(self._count, Exception):
            raise self._count
        return self._count

    def _function(self, name: str) -> Any:
        self.log.append(f"get {name}")

        def launch(grid: Any, block: Any, arguments: Any, shared_mem: int) -> None:
            if self.failure is not None:
                raise self.failure
            self.log.append((name, grid, block, arguments, shared_mem))

        return launch
