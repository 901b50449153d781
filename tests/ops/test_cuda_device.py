"""A GPU through CuPy: what is refused and in what words, and that everything goes to one stream of its own."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.cuda import device as device_module
from acfd_stream.ops.cuda.device import CupyDevice, load_cupy
from tests.ops.fake_cupy import CUDARuntimeError, FakeCupy, OutOfMemoryError

INSIDE = ["enter device 0", "enter stream"]
OUTSIDE = ["leave stream", "leave device 0"]


@pytest.fixture(autouse=True)
def forgetful():
    """What one test found must not be what the next one gets."""
    load_cupy.cache_clear()
    yield
    load_cupy.cache_clear()


def opened(monkeypatch, cupy, index=0):
    monkeypatch.setattr(device_module, "load_cupy", lambda: cupy)
    device = CupyDevice(index)
    cupy.log.clear()
    return device


@pytest.mark.parametrize(
    ("cupy", "message"),
    [
        (None, r"CUDA cannot be used: CuPy cannot be loaded \(.*\); install it with: pip install 'acfd-stream\[gpu\]'"),
        (FakeCupy(CUDARuntimeError("no driver")), "CUDA cannot be used: no driver"),
        (FakeCupy(0), "CUDA cannot be used: the driver offers no GPU"),
    ],
)
def test_where_there_is_no_gpu_one_line_says_why(monkeypatch, cupy, message):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(BackendUnavailable, match=f"^{message}$"):
        load_cupy()


@pytest.mark.parametrize(
    ("cupy", "index", "message"),
    [
        (FakeCupy(2), 2, "GPU 2 cannot be used: the driver offers 2 GPUs, counted from 0"),
        (
            FakeCupy(1, (7, 0)),
            0,
            r"A GPU cannot be used: its compute capability must be at least 7\.5, got 7\.0",
        ),
    ],
)
def test_a_gpu_that_is_not_there_or_too_old_is_refused(monkeypatch, cupy, index, message):
    with pytest.raises(BackendUnavailable, match=f"^{message}$"):
        opened(monkeypatch, cupy, index)


def test_a_kernel_is_looked_up_once_and_launched_on_the_devices_stream(monkeypatch):
    cupy = FakeCupy()
    device = opened(monkeypatch, cupy)
    for _ in range(2):
        device.launch("nms", (3, 1, 1), 64, [np.int32(5)], 128)
    launched = ("nms", (3, 1, 1), (64, 1, 1), (np.int32(5),), 128)
    assert cupy.log == [*INSIDE, "get nms", launched, *OUTSIDE, *INSIDE, launched, *OUTSIDE]
    assert (device.name, device.compute_capability, device.stream) == ("A GPU", "9.0", 77)


def test_a_capture_a_wait_and_a_clock_are_those_of_the_stream(monkeypatch):
    cupy = FakeCupy()
    device = opened(monkeypatch, cupy)
    device.begin_capture()
    device.end_capture().launch()
    device.wait_for("theirs")
    device.synchronize()
    done = [entry for entry in cupy.log if entry not in INSIDE + OUTSIDE]
    assert done == ["begin", "graph", ("wait", "theirs"), "synchronize"]
    assert device.seconds(device.mark(), device.mark()) == 0.0015


@pytest.mark.parametrize("failure", [CUDARuntimeError("illegal address\nmore"), OutOfMemoryError("illegal address")])
def test_what_fails_on_the_gpu_is_an_error_of_ours_in_one_line(monkeypatch, failure):
    cupy = FakeCupy()
    device = opened(monkeypatch, cupy)
    cupy.failure = failure
    with pytest.raises(RunnerError, match=r"^A GPU failed: illegal address$") as caught:
        device.launch("nms", (1, 1, 1), 32, [])
    assert caught.value.__cause__ is failure


def test_memory_of_the_host_is_zero_and_of_the_shape_that_was_asked_for(monkeypatch):
    device = opened(monkeypatch, FakeCupy())
    pinned = device.pinned((2, 3), np.dtype([("a", "i4"), ("b", "f4", 2)]))
    assert (pinned.shape, pinned["b"].shape, pinned["b"].any()) == ((2, 3), (2, 3, 2), False)
    assert device.pinned((0, 4), np.float32).shape == (0, 4)


def test_a_second_close_does_nothing(monkeypatch):
    cupy = FakeCupy()
    device = opened(monkeypatch, cupy)
    device.close()
    device.close()
    assert [entry for entry in cupy.log if entry in ("synchronize", "free")] == ["synchronize", "free"]
