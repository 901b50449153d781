"""The flag that FFmpeg asks of the context all libraries share; the driver is played."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from acfd_stream.ops.cuda.context import make_current, wait_asleep


class Driver:
    """libcuda, as far as it is asked."""

    def __init__(self, *, flags: int = 0, is_old: bool = False, devices: int = 1) -> None:
        self.flags, self.devices, self.calls = flags, devices, list[str]()
        if not is_old:
            self.cuDevicePrimaryCtxSetFlags_v2 = self._set

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0 if index < self.devices else 101

    def cuDevicePrimaryCtxGetState(self, device: Any, flags: Any, active: Any) -> int:  # noqa: N802
        flags._obj.value, active._obj.value = self.flags, 1
        return 0

    def cuDevicePrimaryCtxSetFlags(self, device: Any, flags: Any) -> int:  # noqa: N802
        self.calls.append("refused")
        return 708  # CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE

    def _set(self, device: Any, flags: Any) -> int:
        self.calls.append("set")
        self.flags = flags.value
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        context._obj.value = 0xC0
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:  # noqa: N802
        self.calls.append(f"current {context.value:#x}")
        return 0


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    def played(driver: Any) -> Any:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
        return driver

    return played


@pytest.mark.parametrize(
    ("driver", "is_asleep", "calls"),
    [
        (Driver(), True, ["set"]),
        (Driver(flags=4), True, []),  # as FFmpeg wants it already
        (Driver(is_old=True), False, ["refused"]),
        (Driver(devices=0), False, []),
    ],
)
def test_the_flag_is_set_where_it_can_be(play: Any, driver: Driver, is_asleep: bool, calls: list[str]) -> None:
    play(driver)
    assert wait_asleep() is is_asleep
    assert driver.calls == calls
    assert (driver.flags == 4) is is_asleep


def test_the_context_becomes_the_threads(play: Any) -> None:
    driver = play(Driver())
    assert make_current()
    assert driver.calls == ["current 0xc0"]
    assert not make_current(index=3)


def test_without_a_driver_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> SimpleNamespace:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert not wait_asleep()
    assert not make_current()
