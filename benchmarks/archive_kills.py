"""Checks that an archive that is killed repeatedly gives the same files as one that is not; only prints.

    python -m benchmarks.archive_kills VIDEOS [--kills 20] [--engine local] [--outputs jsonl,parquet,…] [--seed 0]

Runs ``acfd-stream archive run`` over VIDEOS once without interruption. Then runs it into another folder, sends SIGKILL
to the run and all its workers at random moments, and calls ``archive resume`` after each. Exits with 1 if any output
differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.archive import results

OUTPUTS = "jsonl,parquet,mot,coco,vtt,overlay,thumbnails"
"""The report is left out: it tells how fast the video was tracked."""
STARTS_SECONDS = 1.5  # nothing is done before
_ARCHIVE = [sys.executable, "-m", "acfd_stream.cli", "archive"]


def started(command: list[str]) -> subprocess.Popen[bytes]:
    """A run in its own process group."""
    return subprocess.Popen(
        [*_ARCHIVE, *command], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def in_peace(command: list[str]) -> tuple[int, float]:
    """Exit code and seconds of an uninterrupted run."""
    begin = time.perf_counter()
    return started(command).wait(), time.perf_counter() - begin


def killed_after(command: list[str], seconds: float) -> bool:
    """Start a run and kill it with its workers; False if it had already ended."""
    with started(command) as run:
        try:
            run.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return True


def main() -> int:
    """Run without kills, run with kills, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--outputs", default=OUTPUTS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        run = ["run", str(asked.videos), "--outputs", asked.outputs, "--checkpoint-seconds", "1", "--quiet"]
        run += ["--engine", asked.engine]
        code, seconds = in_peace([*run, "--out", str(whole)])
        print(f"uninterrupted: exit {code} after {seconds:.0f} s, {len(results(whole))} files", flush=True)
        kills = attempts = 0
        while kills < asked.kills and attempts < 3 * asked.kills:
            first = not (broken / ".acfd").exists()
            command = [*run, "--out", str(broken)] if first else ["resume", str(broken), "--quiet"]
            kills += killed_after(command, rng.uniform(0.1, 1.1) * seconds / asked.kills + STARTS_SECONDS)
            attempts += 1
        last, _ = in_peace(["resume", str(broken), "--quiet"])
        there, wanted = results(broken), results(whole)
        wrong = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
        print(f"{kills} kills in {attempts} runs, then exit {last}; {len(wrong)} of {len(wanted)} files differ {wrong}")
        return int(bool(wrong) or last != code or kills < asked.kills)


if __name__ == "__main__":
    sys.exit(main())
