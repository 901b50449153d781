"""compute-sanitizer over a run through all kernels: no bad access, no race."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from acfd_stream.ops.anchors import fit
from acfd_stream.types import Picture, PixelFormat, Transfer
from gpu import exact, kernels
from gpu.book import Recorder
from gpu.machine import tool
from gpu.rig import Rig

SUITE = Path(__file__).resolve().parents[1] / "gpu_suite.py"
_ROWS = {"memcheck": "gpu_memcheck_errors", "racecheck": "gpu_racecheck_hazards"}
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)")
_CASES = 12
_LIMIT_SECONDS = 150


def run(rig: Rig, record: Recorder) -> None:
    """One row per tool: the number of its findings."""
    program = tool("compute-sanitizer")
    if program is None and not rig.is_rehearsal:
        raise RuntimeError("there is no compute-sanitizer on this machine")
    for name, row in _ROWS.items():
        command = [sys.executable, str(SUITE), "--exercise", "--device", rig.device]
        if program is not None and not rig.is_rehearsal:
            options = ["--tool", name, "--target-processes", "all", "--print-limit", "20"]
            if name == "memcheck":  # CuPy's failed queries of the runtime are not kernel errors
                options += ["--report-api-errors", "no"]
            command = [program, *options, *command]
        # CuPy's pool would hide writes past the end of an array.
        environment = os.environ | {"ACFD_EXERCISE_WITHOUT_POOL": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS, env=environment
        )
        output = done.stdout + done.stderr
        found = _SUMMARY.findall(output)
        if "exercise: all done" not in output or (not found and not rig.is_rehearsal):
            raise RuntimeError(f"{name} did not come to its end (exit {done.returncode}): {output[-1500:]}")
        count = sum(int(value) for value in found)
        record.row(row, [count], "count", tool=name, said=[] if count == 0 else output.splitlines()[:40])


def exercise(rig: Rig) -> None:
    """Run every kernel at least once, with odd and even sizes, formats and rotations."""
    if not rig.is_rehearsal and os.environ.get("ACFD_EXERCISE_WITHOUT_POOL") == "1":
        rig.cupy.cuda.set_allocator(None)
    rng = np.random.default_rng(7)
    for size in ((33, 47), (90, 160), (270, 480)):
        view = fit(size, 128)
        for dtype in (np.float16, np.float32):
            target = rig.ops.letterboxes(6, view.network_size, dtype, kernels.PAD, kernels.MEAN, kernels.STD)
            target.put(_pictures(rng, size), [view] * 6)
            rig.ops.to_host(target.images)
    for rotation in (90, 180, 270):
        upright = (160, 90) if rotation != 180 else (90, 160)
        view = fit(upright, 128)
        target = rig.ops.letterboxes(1, view.network_size, np.float16, kernels.PAD, kernels.MEAN, kernels.STD)
        target.put([Picture(_pictures(rng, (90, 160))[0].planes, PixelFormat.NV12, upright, rotation=rotation)], [view])
        rig.ops.to_host(target.images)
    for seed in range(rig.scaled(_CASES, 2)):
        fault, _ = exact.compare(rig, exact.drawn_case(seed))
        if fault:
            raise AssertionError(f"case {seed}: {fault}")
    print("exercise: all done", flush=True)


def _pictures(rng: np.random.Generator, size: tuple[int, int]) -> list[Picture]:
    """NV12, YUV 4:2:0 of 8 and 10 bits, RGB, and the first two once more."""
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)

    def plane(*shape: int, top: int = 256) -> np.ndarray:
        return rng.integers(0, top, shape).astype(np.uint8 if top == 256 else np.uint16)

    nv12 = Picture((plane(*size), plane(*half, 2)), PixelFormat.NV12, size)
    planar = Picture((plane(*size), plane(*half), plane(*half)), PixelFormat.YUV420P, size)
    deep = Picture(
        (plane(*size, top=1024), plane(*half, top=1024), plane(*half, top=1024)),
        PixelFormat.YUV420P,
        size,
        10,
        transfer=Transfer.PQ,
    )
    rgb = Picture((plane(*size, 3),), PixelFormat.RGB24, size)
    return [nv12, planar, deep, rgb, nv12, planar]
