"""Measures the overhead of Ray for an archive of short files; writes benchmarks/results/archive_ray.json.

    python -m benchmarks.archive_ray [--files 20] [--frames 72] [--rounds 3] [--workers 2]

Runs the same files in turn with local processes and with actors of a local Ray cluster, both with loaded models. Exits
with 1 if an output differs or if Ray's overhead exceeds its limit. Needs an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acfd_stream.archive.local_workers import LocalWorkers
from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.ray_workers import RayWorkers
from acfd_stream.archive.run import ArchiveRun
from acfd_stream.archive.workers import Began, Ended, Workers
from benchmarks.archive import results
from benchmarks.measure import ratio_row, row, save, seconds_of
from tests.service.rig import write_clip

OUTPUTS = ("jsonl", "parquet")
SIZE = (360, 640)
MOST_OVERHEAD = 0.15


class Lent:
    """Workers that outlive the runs that use them."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workers, name)

    def close(self) -> None:
        """Keep them: other runs use them."""


def write_library(folder: Path, files: int, frames: int) -> None:
    """Copies of a drawn clip under different names, so that each one is tracked."""
    folder.mkdir()
    first = write_clip(folder / "00.mkv", SIZE, frames=frames)
    for number in range(1, files):
        shutil.copy(first, folder / f"{number:02}.mkv")


def run(library: Path, out: Path, workers: Workers, threads: int) -> None:
    """One run from an empty folder to its end."""
    if out.exists():
        shutil.rmtree(out)
    call = ArchiveOptions((str(library),), out, OUTPUTS, device="cpu")
    end = ArchiveRun(call, lambda episodes: (Lent(workers), threads)).run()
    if not end.is_all_done:
        sys.exit(f"not every file of {library} was done in {out}; nothing was saved")


def warmed(make: Callable[[], Workers], library: Path, out: Path, threads: int) -> tuple[Workers, float]:
    """A workers whose workers all have their model, and the seconds until they had."""
    workers = make()

    def warm() -> None:
        call = ArchiveOptions((str(library),), out, OUTPUTS, device="cpu")
        for number in range(workers.count):
            source = str(library / f"{number:02}.mkv")
            workers.give(call.task("warm", source, f"{number}", is_tracked=False, threads=threads))
        begun = ended = 0
        while begun < workers.count or ended < workers.count:
            events = workers.events(1.0)
            begun += sum(isinstance(event, Began) for event in events)
            ended += sum(isinstance(event, Ended) for event in events)

    return workers, seconds_of(warm)


def main() -> int:
    """Measure, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    makes: dict[str, Callable[[], Workers]] = {
        "local": lambda: LocalWorkers(asked.workers),
        "ray": lambda: RayWorkers(asked.workers),
    }
    samples: dict[str, list[float]] = {name: [] for name in makes}
    parameters = {"files": asked.files, "frames": asked.frames, "workers": asked.workers}
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "library")
        write_library(library, asked.files, asked.frames)
        crews = {}
        try:
            for name, make in makes.items():
                crews[name], seconds = warmed(make, library, Path(folder, "warm", name), 1)
                print(f"{name}: up after {seconds:.1f} s", flush=True)
            for _ in range(asked.rounds):
                for name, workers in crews.items():
                    samples[name].append(seconds_of(lambda c=workers, n=name: run(library, Path(folder, n), c, 1)))
        finally:
            for workers in crews.values():
                workers.close()
        is_same = results(Path(folder, "local")) == results(Path(folder, "ray"))
    rows = [row(f"archive_{name}", seconds, **parameters) for name, seconds in samples.items()]
    ratio = ratio_row("archive_ray_over_local", samples["ray"], samples["local"], **parameters)
    save("archive_ray", [*rows, ratio])
    is_cheap = ratio["median"] <= 1 + MOST_OVERHEAD
    print(f"outputs {'equal' if is_same else 'DIFFER'}; {ratio['median'] - 1:+.1%} of at most {MOST_OVERHEAD:.0%}")
    return int(not (is_same and is_cheap))


if __name__ == "__main__":
    sys.exit(main())
