"""Measures the two ceilings of a GPU: memory bandwidth, and operations per second of its matrix units."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from gpu.book import Recorder
from gpu.rig import Rig

_COPY_BYTES = 4 * 2**30
_UPLOAD_BYTES = 256 * 2**20
_SIDE = 8192
_ROUNDS = 20


def run(rig: Rig, record: Recorder) -> None:
    """Rows of both ceilings, and of the upload from pinned memory."""
    record.row("gpu_copy_rate", _copy_rates(rig), "bytes/s", bytes=_COPY_BYTES)
    record.row("gpu_matrix_rate", _matrix_rates(rig), "flop/s", side=_SIDE, dtype="float16", inputs="random")
    if not rig.is_rehearsal:
        record.row("gpu_upload_rate", _upload_rates(rig), "bytes/s", bytes=_UPLOAD_BYTES)


@cache
def copy_rate(rig: Rig) -> float:
    """Bytes per second, read and written; measured once per process."""
    return float(np.median(_copy_rates(rig)))


@cache
def matrix_rate(rig: Rig) -> float:
    """Operations per second of an fp16 product; measured once per process."""
    return float(np.median(_matrix_rates(rig)))


def _copy_rates(rig: Rig) -> list[float]:
    if rig.is_rehearsal:
        source = np.ones(2**22, np.uint8)
        return [2 * source.nbytes / max(rig.seconds(source.copy), 1e-9) for _ in range(3)]
    source, target = (rig.cupy.empty(_COPY_BYTES, np.uint8) for _ in range(2))
    stream, copy = rig.ops.stream, rig.cupy.cuda.runtime.memcpyAsync
    seconds = rig.samples(lambda _: copy(target.data.ptr, source.data.ptr, _COPY_BYTES, 3, stream), _ROUNDS)
    return [2 * _COPY_BYTES / value for value in seconds]


def _upload_rates(rig: Rig) -> list[float]:
    pinned = rig.cupy.cuda.alloc_pinned_memory(_UPLOAD_BYTES)
    target = rig.cupy.empty(_UPLOAD_BYTES, np.uint8)
    stream, copy = rig.ops.stream, rig.cupy.cuda.runtime.memcpyAsync
    seconds = rig.samples(lambda _: copy(target.data.ptr, pinned.ptr, _UPLOAD_BYTES, 1, stream), _ROUNDS)
    return [_UPLOAD_BYTES / value for value in seconds]


def _matrix_rates(rig: Rig) -> list[float]:
    import torch

    side = rig.scaled(_SIDE, 128)
    dtype = torch.float16 if not rig.is_rehearsal else torch.float32
    a, b = (torch.randn(side, side, device=rig.device, dtype=dtype) for _ in range(2))
    rates = []
    for _ in range(rig.scaled(_ROUNDS, 2)):
        rates.append(2 * side**3 / _torch_seconds(rig, lambda: torch.mm(a, b)))
    return rates


def _torch_seconds(rig: Rig, call: object, repeats: int = 3) -> float:
    """Seconds of one call by torch's events, after warm-up calls."""
    import torch

    assert callable(call)
    if rig.is_rehearsal:
        begin = time.perf_counter()
        call()
        return max(time.perf_counter() - begin, 1e-9)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    call()
    marks[0].record()
    for _ in range(repeats):
        call()
    marks[1].record()
    torch.cuda.synchronize()
    return float(marks[0].elapsed_time(marks[1])) / 1e3 / repeats
