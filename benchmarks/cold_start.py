"""Measures how long a command takes from the shell: importing the package, and ``acfd-stream detect`` on one picture.

The network for the drawn picture is compiled and cached before the measurement, as after the first call on a machine.
Every sample is a new process, and the commands run in turn. Run as ``python -m benchmarks.cold_start``; exits with 1 if
a limit is exceeded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from acfd_stream.config import PRECISIONS
from acfd_stream.model.toon.sets import draw_set
from benchmarks.measure import in_turn, row, save

MOST_SECONDS = {"import_package": 0.2, "detect_auto": 1.5}


def run(command: Sequence[str], cache: Path) -> None:
    """Run a command to its end, with compiled models in ``cache``."""
    environment = {**os.environ, "ACFD_CACHE_DIR": str(cache)}
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)


def commands(picture: Path, precisions: Sequence[str]) -> dict[str, list[str]]:
    """Commands to time, by name."""
    python, program = sys.executable, str(Path(sys.executable).with_name("acfd-stream"))
    detect = {f"detect_{name}": [program, "detect", str(picture), "--precision", name] for name in precisions}
    return {
        "python": [python, "-c", "pass"],
        "import_package": [python, "-c", "import acfd_stream"],
        "import_detector": [python, "-c", "from acfd_stream import Detector"],
        "version": [program, "--version"],
    } | detect


def main() -> int:
    """Measure; 1 if a figure is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--precisions", nargs="+", default=["auto", "f32"], choices=PRECISIONS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture, cache = Path(folder) / "picture.png", Path(folder) / "cache"
        pixels = next(iter(draw_set("crowds", 1)))[0]
        cv2.imwrite(str(picture), np.ascontiguousarray(pixels[..., ::-1]))
        calls = {name: partial(run, call, cache) for name, call in commands(picture, options.precisions).items()}
        samples = in_turn(calls, options.rounds, warmup=1)
    size = f"{pixels.shape[1]}×{pixels.shape[0]}"
    rows = [row(name, values, picture=size, cache="warm") for name, values in samples.items()]
    save("cold_start", rows)
    late = [entry for entry in rows if entry["median"] >= MOST_SECONDS.get(entry["name"], float("inf"))]
    for entry in late:
        print(f"{entry['name']} takes {entry['median']} s, more than {MOST_SECONDS[entry['name']]}", file=sys.stderr)
    return int(bool(late))


if __name__ == "__main__":
    raise SystemExit(main())
