"""Sends 1 … 8 files through the service at once: total frames per second, and memory per additional stream.

Each client sends the same drawn 1080p cartoon in file mode, as fast as possible, to a server in its own process. Memory
is the peak of the server's process for each number of streams. The cost of a stream is the slope of a line through all
counts. Run as ``python -m benchmarks.streams``.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from acfd_stream.client.client import Client
from benchmarks.bench_stream import SIZES, drawn_clip
from benchmarks.live import service
from benchmarks.measure import Row, row, save

COUNTS = (1, 2, 4, 8)
SETTINGS = "[capacity]\nfile_streams = 64\nload_limit = 1.0\n"
"""Of the service: as many files as are asked for."""


@dataclass
class Load:
    """Results for one number of streams, by round."""

    fps: list[float] = field(default_factory=list)  # of all together
    peaks: list[float] = field(default_factory=list)  # bytes of the server's process


class Peak:
    """Samples the memory of the service that this process has started."""

    def __init__(self) -> None:
        self.process = psutil.Process().children()[0]
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.bytes = max(self.bytes, self.process.memory_info().rss)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def send(target: str, clip: Path) -> int:
    """Run one stream to its end; returns its number of frames."""
    with Client(target) as client, client.track(clip) as stream:
        return sum(1 for _ in stream)


def take(load: Load, streams: int, target: str, clip: Path) -> None:
    """Run ``streams`` streams at once."""
    begin = time.perf_counter()
    with Peak() as peak, ThreadPoolExecutor(streams) as clients:
        frames = sum(clients.map(lambda _: send(target, clip), range(streams)))
    load.fps.append(frames / (time.perf_counter() - begin))
    load.peaks.append(float(peak.bytes))


def rows_of(loads: dict[int, Load], height: int) -> list[Row]:
    """One row per count for the speed, the speed of many relative to one, and the memory of an additional stream."""
    about = {"height": height, "mode": "file"}
    rows = [row(f"streams_{count}_fps", load.fps, unit="fps", streams=count, **about) for count, load in loads.items()]
    most, fewest = max(loads), min(loads)
    kept = [many / one for many, one in zip(loads[most].fps, loads[fewest].fps, strict=True)]
    rows.append(row("streams_kept", kept, unit="ratio", streams=most, **about))
    rounds = range(len(loads[fewest].peaks))
    slopes = [float(np.polyfit(list(loads), [load.peaks[one] for load in loads.values()], 1)[0]) for one in rounds]
    return [*rows, row("streams_memory", slopes, unit="bytes", streams=list(loads), **about)]


def measured(clip: Path, counts: Sequence[int], rounds: int, folder: Path) -> dict[int, Load]:
    """All counts in turn, ``rounds`` times, on one service that has warmed up with the largest count."""
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS)
    loads = {count: Load() for count in counts}
    with service(["--config", str(settings)]) as target:
        take(Load(), max(counts), target, clip)  # the heap has grown, and all is compiled
        for _ in range(rounds):
            for count, load in loads.items():
                time.sleep(2.5)  # the server returns free memory to the system
                take(load, count, target, clip)
    return loads


def main() -> None:
    """Measure all counts and write benchmarks/results/streams.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=1080, choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    call = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acfd-streams-") as name:
        clip = drawn_clip(Path(name), call.height, SIZES[call.height])
        save("streams", rows_of(measured(clip, call.counts, call.rounds, Path(name)), call.height))


if __name__ == "__main__":
    main()
