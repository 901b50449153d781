"""The context of a GPU that CuPy, ONNX Runtime, TensorRT and FFmpeg share: CUDA's primary context.

FFmpeg takes it only if whoever waits for the GPU sleeps instead of spinning, which costs microseconds and leaves the
cores to others; what CuPy and torch start by themselves spins. So the flag is set before that, or after it: drivers
for CUDA 12 and newer take it then, too.
"""

from __future__ import annotations

import ctypes
from typing import Any

_BLOCKING_SYNC = 4  # CU_CTX_SCHED_BLOCKING_SYNC


def wait_asleep(index: int = 0) -> bool:
    """Make threads that wait for GPU ``index`` sleep; returns whether they do. Takes microseconds, starts no GPU."""
    found = _found(index)
    if found is None:
        return False
    driver, device = found
    if _flags(driver, device) == _BLOCKING_SYNC:
        return True
    # The first version of this call rejects a context that is in use.
    name = "cuDevicePrimaryCtxSetFlags"
    set_flags = getattr(driver, f"{name}_v2", None) or getattr(driver, name)
    return set_flags(device, ctypes.c_uint(_BLOCKING_SYNC)) == 0 and _flags(driver, device) == _BLOCKING_SYNC


def make_current(index: int = 0) -> bool:
    """Make the context of GPU ``index`` current in the calling thread, and start it if needed; returns success."""
    found = _found(index)
    if found is None:
        return False
    driver, device = found
    context = ctypes.c_void_p()
    is_held = driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    return bool(is_held and driver.cuCtxSetCurrent(context) == 0)


def _found(index: int) -> tuple[Any, ctypes.c_int] | None:
    """The driver and the device, or None."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGet(ctypes.byref(device), index) != 0:
        return None
    return driver, device


def _flags(driver: Any, device: ctypes.c_int) -> int | None:
    flags, is_active = ctypes.c_uint(), ctypes.c_int()
    status = driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(is_active))
    return flags.value if status == 0 else None
