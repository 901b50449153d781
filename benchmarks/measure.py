"""Measures and saves figures: rows with their spread, the machine and the commit.

Every bench script writes ``benchmarks/results/NAME.json``; ``readme_table.py`` reads only that folder.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.config import available_cores

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
DIGITS = 5  # significant digits kept

Row = dict[str, Any]


def seconds_of(call: Callable[[], object]) -> float:
    """Wall time of one call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2) -> dict[str, list[float]]:
    """Seconds of every call, measured in turn, so that a slow moment of the machine affects all of them.

    Args:
        calls: name → what to time.
        rounds: samples of each.
        warmup: rounds to discard first.

    Returns:
        name → ``rounds`` seconds, the i-th of each from the same round.
    """
    for _ in range(warmup):
        for call in calls.values():
            call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            samples[name].append(seconds_of(call))
    return samples


def row(name: str, samples: Sequence[float], unit: str = "s", **parameters: Any) -> Row:
    """One figure: median and spread, with everything needed to repeat it."""
    values = np.asarray(samples, np.float64)
    low, median, high, highest = np.percentile(values, [5, 50, 95, 99])
    return {
        "name": name,
        "unit": unit,
        "n": len(values),
        "median": rounded(median),
        "p5": rounded(low),
        "p95": rounded(high),
        "p99": rounded(highest),
        "parameters": parameters,
        "device": device(),
        "commit": commit(),
    }


def ratio_row(name: str, slower: Sequence[float], faster: Sequence[float], **parameters: Any) -> Row:
    """Ratio of ``slower`` to ``faster`` by round; both come from one ``in_turn``."""
    ratios = np.asarray(slower, np.float64) / np.asarray(faster, np.float64)
    return row(name, ratios.tolist(), unit="ratio", **parameters)


def rounded(value: float) -> float:
    """``value`` with DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def device() -> str:
    """CPU model and the number of cores this process may use."""
    return f"{_cpu_model()}, {available_cores()} cores"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """Short hash of the checkout; ``-dirty`` if anything but result files differs from it."""
    figures = [":!benchmarks/results", ":!README.md", ":!docs"]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *figures)
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def write(name: str, rows: Sequence[Row]) -> Path:
    """Write ``rows`` to ``benchmarks/results/NAME.json``, and return the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"rows": list(rows)}, indent=1, ensure_ascii=False) + "\n")
    return path


def save(name: str, rows: Sequence[Row]) -> Path:
    """``write`` the rows and print them."""
    path = write(name, rows)
    for entry in rows:
        spread = f"{entry['p5']:g} … {entry['p95']:g}"
        parameters = " ".join(f"{key}={value}" for key, value in entry["parameters"].items())
        print(f"{entry['name']:<40} {entry['median']:>12g} {entry['unit']:<7} ({spread})  {parameters}")
    print(path.relative_to(ROOT))
    return path


def load(name: str) -> list[Row]:
    """Rows of a result file; [] if there is none."""
    path = RESULTS / f"{name}.json"
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []
