"""Measures the latency of live streams at the service: from a frame's bytes to its sent result.

Clients send a cartoon on twos of ``model/toon`` frame by frame, 24 per second, to ``acfd-stream serve`` in its own
process on the same machine. Every frame counts, including the first ones. Latency is measured in the server, from the
arrival of a frame's bytes to sending its result. A dropped frame counts as one second.
Run as ``python -m benchmarks.live``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acfd_stream.client.client import Client
from acfd_stream.client.load_test import Load, LoadPlan, LoadRow
from acfd_stream.client.pacing import live_copy
from benchmarks.bench_stream import SIZES, drawn_clip
from benchmarks.measure import Row, row, save

CASES = ((1080, 1), (720, 2))
"""Height of the frames and streams at once."""
OBJECTIVE = 0.05
NEVER = 1.0
"""Age of a frame that was dropped or failed, seconds."""
WAYS = {"": False, "_every_frame": True}
"""What a row's name ends in → whether frames are looked at that repeat the drawing before them."""


@dataclass
class Taken:
    """Results of all rounds of a case."""

    p99: list[float] = field(default_factory=list)  # of each round
    seconds: list[float] = field(default_factory=list)  # of every frame of all rounds
    in_time: int = 0
    admitted: int = 0
    causes: Counter[str] = field(default_factory=Counter)

    def enter(self, load: LoadRow) -> None:
        """Add a round."""
        answered = load.server_seconds
        seconds = answered + [NEVER] * (load.frames - len(answered))
        self.seconds += seconds
        self.p99.append(float(np.percentile(seconds, 99)))
        self.in_time += sum(one <= OBJECTIVE for one in seconds)
        self.admitted += load.admitted
        self.causes += load.causes

    @property
    def goodput(self) -> float:
        """Share of all frames that were on time."""
        return self.in_time / max(1, len(self.seconds))


@contextmanager
def service(options: Sequence[str] = ()) -> Iterator[str]:
    """The address of an ``acfd-stream serve`` that ends with the context."""
    command = [sys.executable, "-m", "acfd_stream.cli", "serve", "--listen", "127.0.0.1:0", "--metrics", ""]
    with subprocess.Popen(
        [*command, "--log-level", "error", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("serving on "):
                raise SystemExit(f"the service did not start: {line.strip() or 'no output'}")
            yield line.removeprefix("serving on ").split(": ")[0].strip()
        finally:
            process.terminate()


def measured(clip: Path, streams: int, rounds: int, seconds: float, *, every_frame: bool) -> Taken:
    """``rounds`` times ``streams`` streams of ``clip`` on one service.

    Raises:
        SystemExit: a stream was refused or broke.
    """
    taken = Taken()
    plan = LoadPlan(clip, objective_seconds=OBJECTIVE, seconds=seconds, warmup_seconds=0.0, every_frame=every_frame)
    with service() as target:
        load = Load(lambda: Client(target, patience_seconds=0.0), plan)
        for _ in range(rounds):
            load_row = load.run(streams)
            if load_row.admitted < streams or load_row.failures:
                raise SystemExit(f"{load_row.admitted} of {streams} streams were admitted: {load_row.failures}")
            taken.enter(load_row)
    return taken


def rows_of(height: int, streams: int, way: str, taken: Taken) -> list[Row]:
    """The 99th percentiles of the rounds, and all frames together."""
    about = {"height": height, "streams": streams, "fps": 24, "goodput": round(taken.goodput, 4)}
    name = f"live_{height}p_{streams}{way}"
    causes = dict(taken.causes.most_common())
    return [row(f"{name}_p99", taken.p99, **about, late=causes), row(f"{name}_latency", taken.seconds, **about)]


def main() -> None:
    """Measure all cases and write benchmarks/results/live.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of every stream")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS), help="which rows, by their ends")
    call = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="acfd-live-") as name:
        for height, streams in CASES:
            film = drawn_clip(Path(name), height, SIZES[height])
            clip = live_copy(film, Path(name) / f"live_{height}.mkv")
            for way in call.ways:
                taken = measured(clip, streams, call.rounds, call.seconds, every_frame=WAYS[way])
                rows += rows_of(height, streams, way, taken)
    save("live", rows)


if __name__ == "__main__":
    main()
