"""How fast one model file runs against another, each with its int8 variant, on one CPU thread and on two.

    python -m benchmarks.bench_weights NEW.onnx OLD.onnx [--size 512] [--rounds 60]    writes results/weights.json

Both networks get the same picture in turn. The ratio is NEW's time over OLD's: above 1, NEW is slower.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from acfd_stream.config import DetectConfig
from acfd_stream.detect.openvino_runner import OpenVinoRunner
from acfd_stream.detect.runner import read_spec
from acfd_stream.networks.precision import int8_path_of
from benchmarks.bench_detector import LEAST_SCORE, Run, drawn, views
from benchmarks.measure import Row, in_turn, ratio_row, row, save

FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
"""CPU flags that decide how fast each arithmetic is."""


def cpu_flags() -> list[str]:
    """Those of FLAGS that the CPU has."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = next((line.split() for line in lines if line.startswith("flags")), [])
    return [flag for flag in FLAGS if flag in found]


def opened(path: Path, precision: str, threads: int) -> Run:
    """The network of a model file, or of its int8 variant."""
    path = int8_path_of(path) if precision == "int8" else path
    runner = OpenVinoRunner(path, read_spec(path), DetectConfig(precision=precision, threads=threads))
    return lambda images: runner.run(images)[0]


def bench(new: Path, old: Path, size: int, rounds: int) -> list[Row]:
    """Seconds of both files and their ratio, in each precision and number of threads."""
    image, rows = drawn(1), []
    for precision in ("f32", "int8"):
        for threads in (1, 2):
            runs = {name: opened(path, precision, threads) for name, path in (("new", new), ("old", old))}
            images = {name: views(image, size, read_spec(path).pad) for name, path in (("new", new), ("old", old))}
            if min(float(run(images[name]).max()) for name, run in runs.items()) < LEAST_SCORE:
                sys.exit(f"bench_weights: a network finds no face in {precision}; nothing was timed")
            samples = in_turn({name: partial(run, images[name]) for name, run in runs.items()}, rounds)
            shared: dict[str, Any] = {
                "precision": precision,
                "threads": threads,
                "size": size,
                "cpu_flags": " ".join(cpu_flags()),
            }
            for name, path in (("new", new), ("old", old)):
                rows.append(row(f"weights_{name}", samples[name], file=path.name, **shared))
            rows.append(ratio_row("weights_ratio", samples["new"], samples["old"], **shared))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/weights.json."""
    parser = argparse.ArgumentParser(prog="bench_weights", description=__doc__.splitlines()[0])
    parser.add_argument("new", type=Path, help="model file, with its int8 variant next to it")
    parser.add_argument("old", type=Path, help="the model file that it is compared with, and its int8 variant")
    parser.add_argument("--size", type=int, default=DetectConfig().size, help="longer side of the input, pixels")
    parser.add_argument("--rounds", type=int, default=60, help="samples of each")
    parser.add_argument("--name", default="weights", help="of the result file")
    options = parser.parse_args(arguments)
    save(options.name, bench(options.new, options.old, options.size, options.rounds))


if __name__ == "__main__":
    main()
