"""Checks the guarantees of archives with the real command; writes benchmarks/results/archive.json.

    python -m benchmarks.archive film FILM [--end S] [--rounds N]   fps against ``track`` in turn, memory
    python -m benchmarks.archive folder VIDEOS… [--end S]           40 files: good, broken, again, another setting
    python -m benchmarks.archive status                             10,000 files in the manifest

VIDEOS are files and folders. Exits with 1 if a check fails. ``film`` needs an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from acfd_stream.archive.find import VIDEO_SUFFIXES
from acfd_stream.archive.manifest import Manifest
from benchmarks.measure import Row, load, ratio_row, row, save
from tests.cli.test_odd_files import REFUSED
from tests.service.rig import write_clip

FILES = 40
LEAST_SHARE = 0.9  # of the speed of ``track``
MOST_GROWTH_BYTES = 16 * 2**20  # over a film, once it has settled
SETTLED_SHARE = 0.25  # of the time; buffers have filled by then
SECOND_RUN_SECONDS = 2.0
STATUS_SECONDS = 1.0
OUTPUTS = "jsonl,parquet,mot,coco,vtt,overlay,thumbnails"
COMMAND = (sys.executable, "-m", "acfd_stream.cli")


class Bench:
    """Checks and figures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        self.failures: list[str] = []

    def hold(self, what: str, is_so: bool, found: object) -> None:
        """Print a check, and remember it if it fails."""
        print(f"{'ok  ' if is_so else 'FAIL'} {what}: {found}", flush=True)
        if not is_so:
            self.failures.append(what)


def archive(*arguments: object) -> list[str]:
    """The command ``archive …``."""
    return [*COMMAND, "archive", *map(str, arguments)]


def ran(command: list[str]) -> tuple[int, list[dict[str, Any]], float]:
    """Run a command; returns exit code, events and seconds."""
    begun = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], time.perf_counter() - begun


def results(out: Path) -> dict[str, bytes]:
    """Files in OUT with a final name."""
    paths = (path for path in out.rglob("*") if path.is_file() and ".acfd" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


# Speed and memory of one long film


def watched(command: list[str]) -> tuple[float, list[tuple[float, int]]]:
    """Duration of a command, and the memory of all its processes every half second."""
    begun = time.perf_counter()
    curve: list[tuple[float, int]] = []
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:
        top = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                curve.append((time.perf_counter() - begun, sum(map(_resident, [top, *top.children(recursive=True)]))))
            except psutil.NoSuchProcess:
                break
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} exited with {process.returncode}; nothing was saved")
    return time.perf_counter() - begun, curve


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def growth(curve: list[tuple[float, int]]) -> float:
    """Slope of a line fitted to the memory after it has settled, bytes."""
    late = np.array([sample for sample in curve[:-1] if sample[0] >= SETTLED_SHARE * curve[-1][0]], np.float64)
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * (late[-1, 0] - late[0, 0]))


def film(bench: Bench, asked: argparse.Namespace) -> None:
    """Compare ``archive run --engine local`` with ``track`` on one film, in turn."""
    (source,) = asked.videos
    limit = [] if asked.end is None else ["--end", str(asked.end)]
    tracked = bench.folder / "tracked.jsonl"
    seconds: dict[str, list[float]] = {"track": [], "archive": []}
    curve: list[tuple[float, int]] = []
    for number in range(asked.rounds):
        took, _ = watched([*COMMAND, "track", str(source), "-q", "-o", str(tracked), *limit])
        seconds["track"].append(took)
        out = bench.folder / f"film-{number}"
        took, curve = watched(archive("run", source, "--out", out, "--engine", "local", "-q", *limit))
        seconds["archive"].append(took)
        is_same = results(out)[f"{source.name}.jsonl"] == tracked.read_bytes()
        bench.hold("film: the bytes of track", is_same, f"{tracked.stat().st_size} bytes")
    frames = json.loads(tracked.read_bytes().splitlines()[-1])["frames"]
    about = {"film": source.name, "frames": frames}
    for name, values in seconds.items():
        bench.rows.append(row(f"archive_film_{name}_fps", [frames / each for each in values], unit="fps", **about))
    ratio = ratio_row("archive_film_share_of_track", seconds["track"], seconds["archive"], **about)
    rise = growth(curve)
    bench.rows.append(ratio)
    bench.rows.append(row("archive_film_memory_peak", [float(max(each for _, each in curve))], unit="bytes", **about))
    bench.rows.append(row("archive_film_memory_growth", [rise], unit="bytes", **about))
    bench.hold("film: fps of archive / fps of track", ratio["median"] >= LEAST_SHARE, ratio["median"])
    bench.hold("film: memory flat", rise <= MOST_GROWTH_BYTES, f"{rise / 2**20:+.1f} MiB")


# A typical folder


def library(folder: Path, videos: list[Path], files: int) -> Path:
    """A folder with links to ``videos`` and drawn clips, ``files`` in total."""
    place = folder / "library"
    found: list[tuple[Path, str]] = []
    for video in videos:
        inside = sorted(video.rglob("*")) if video.is_dir() else [video]
        root = video if video.is_dir() else video.parent
        found += [(path, str(path.relative_to(root))) for path in inside if path.suffix.lower() in VIDEO_SUFFIXES]
    for path, name in found:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(path.resolve())
    for number in range(files - len(found)):
        (place / "drawn").mkdir(parents=True, exist_ok=True)
        write_clip(place / "drawn" / f"{number:02}.mkv", frames=48 + number)
    return place


def folder(bench: Bench, asked: argparse.Namespace) -> None:
    """Good videos are done and broken ones set aside; a second run does nothing; other settings redo everything."""
    place, out = library(bench.folder, asked.videos, FILES), bench.folder / "out"
    limit = [] if asked.end is None else ["--end", asked.end]
    run = archive("run", place, "--out", out, "--outputs", OUTPUTS, *limit)
    code, events, seconds = ran(run)
    states = {each["name"]: each["state"] for each in events if each["event"] == "episode"}
    names = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    odd = {name: "broken" for name in names if Path(name).name in {*REFUSED, *_breaking(asked.end)}}
    bench.hold("folder: files", len(names) == FILES, f"{len(names)} in {seconds:.1f} s")
    wrong = {name: states.get(name) for name in names if states.get(name) != odd.get(name, "done")}
    bench.hold("folder: each as it must be", not wrong, wrong or f"{len(names) - len(odd)} done, {len(odd)} broken")
    reasons = [each.get("reason") for each in events if each.get("state") == "broken"]
    bench.hold("folder: every broken one has a reason", all(reasons) and len(reasons) == len(odd), len(reasons))
    bench.hold("folder: the exit code tells", code == 1, code)
    first = results(out)
    code, events, seconds = ran(run)
    idle = [each["event"] for each in events] == ["begin"] and code == 1 and results(out) == first
    bench.hold("folder: a second run does nothing", idle and seconds < SECOND_RUN_SECONDS, f"{seconds:.2f} s")
    bench.rows.append(row("archive_second_run", [seconds], files=FILES))
    _, events, seconds = ran([*run, "--size", "256"])
    again = [each["name"] for each in events if each["event"] == "episode"]
    bench.hold("folder: a changed setting reruns all", sorted(again) == names, f"{len(again)} in {seconds:.1f} s")
    _, facts, _ = ran(archive("status", out, "--json"))
    bench.hold("folder: status", facts[0]["videos"]["broken"] == len(odd), facts[0]["videos"])


def _breaking(end: float | None) -> set[str]:
    """Files without a picture in the range that is read."""
    late = {"ax_bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4": 10.0, "lpms_missing-dts.ts": 25994.0}
    return {name for name, begins in late.items() if end is not None and end <= begins}


# Ten thousand files


def status(bench: Bench, asked: argparse.Namespace) -> None:
    """Time ``archive status`` with a large manifest."""
    out = bench.folder / "large"
    with Manifest(out, is_new=True) as manifest:
        manifest.expect((f"show/{number:05}.mkv", f"show/{number:05}.mkv", 5) for number in range(10_000))
        with manifest._transaction() as database:
            database.execute("UPDATE episodes SET state = 'done', frames = 10 WHERE name LIKE '%5.mkv'")
            database.execute("UPDATE episodes SET state = 'broken', error = 'odd' WHERE name LIKE '%7.mkv'")
    samples = []
    for _ in range(asked.rounds):
        _, facts, seconds = ran(archive("status", out, "--json"))
        samples.append(seconds)
    is_right = facts[0]["videos"]["done"] == 1000 and facts[0]["videos"]["waiting"] == 8000
    bench.rows.append(row("archive_status", samples, files=10_000))
    bench.hold("status of 10,000", is_right and max(samples) < STATUS_SECONDS, f"{max(samples):.2f} s at most")


def main() -> int:
    """Run the requested checks."""
    acts: dict[str, Callable[[Bench, argparse.Namespace], None]] = {
        "film": film,
        "folder": folder,
        "status": status,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("act", choices=tuple(acts))
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--end", type=float, help="seconds of each video to use")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place))
        acts[asked.act](bench, asked)
    if bench.rows:
        taken = {each["name"] for each in bench.rows}
        save("archive", [*(each for each in load("archive") if each["name"] not in taken), *bench.rows])
    return int(bool(bench.failures))


if __name__ == "__main__":
    sys.exit(main())
