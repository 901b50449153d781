"""Memory of a process that tracks a long file: the curve, its maximum and its growth after minute 2."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import psutil
from measure import RESULTS, Row, row, save

mpl.use("Agg")
from matplotlib import pyplot as plt

SETTLED_SECONDS = 120.0
"""Until here buffers fill and kernels are compiled; growth is counted from here on."""
Curve = list[tuple[float, int]]  # (seconds since the start, bytes)


def watched(command: list[str], interval_seconds: float) -> Curve:
    """Resident memory of ``command`` until it ends, sampled every ``interval_seconds``."""
    start = time.monotonic()
    curve: Curve = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        watch = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                curve.append((time.monotonic() - start, watch.memory_info().rss))
            except psutil.NoSuchProcess:
                break
            time.sleep(interval_seconds)
    if process.returncode != 0:
        sys.exit(f"memory: {' '.join(command)} exited with {process.returncode}; nothing was saved")
    return [sample for sample in curve if sample[1] > 0]


def rows_of(curve: Curve, source: str) -> list[Row]:
    """The maximum, and the slope of a line fitted to all samples after SETTLED_SECONDS."""
    seconds, resident = (np.array(column, np.float64) for column in zip(*curve, strict=True))
    about = {"source": source, "seconds": round(float(seconds[-1]), 1)}
    rows = [row("memory_peak", [float(resident.max())], unit="bytes", **about)]
    late = seconds >= SETTLED_SECONDS
    if late.sum() >= 10:
        slope = float(np.polyfit(seconds[late], resident[late], 1)[0])
        growth = slope * float(seconds[-1] - SETTLED_SECONDS)
        rows.append(row("memory_growth", [growth], unit="bytes", **about, after_seconds=SETTLED_SECONDS))
    return rows


def plot(curve: Curve, source: str, path: Path) -> None:
    """Save the curve as a picture."""
    seconds, resident = zip(*curve, strict=True)
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot([value / 60 for value in seconds], [value / 2**20 for value in resident])
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", title=f"tracking {source}", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Watch one run of the command and write benchmarks/results/memory.{json,png}."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Further options go to acfd-stream track.")
    parser.add_argument("file", type=Path, help="a long video")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between samples")
    arguments, further = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        out = ["-o", str(Path(folder) / "tracks.jsonl")]
        track = [sys.executable, "-m", "acfd_stream.cli", "track", str(arguments.file), *out, "--quiet", *further]
        curve = watched(track, arguments.interval)
    source = arguments.file.name
    save("memory", rows_of(curve, source))
    every = max(1, len(curve) // 600)
    plot(curve[::every], source, RESULTS / "memory.png")


if __name__ == "__main__":
    main()
