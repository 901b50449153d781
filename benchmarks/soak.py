"""Stress test with bad clients against a server in its own process; writes benchmarks/results/soak.json.

    python -m benchmarks.soak [--streams 500] [--fuzz 2000] [--odd FOLDER] [--model acfd-n]

Exits with 1 if a check fails. Needs an otherwise idle machine for about half an hour.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from benchmarks.abuse import fuzz, scenes
from benchmarks.abuse.arena import Arena, Usage, serving
from benchmarks.abuse.play import channel_to, play, stream_of
from benchmarks.measure import Row, row, save
from tests.service.rig import draw, write_clip

SETTINGS = """
listen = "127.0.0.1:0"
metrics = "127.0.0.1:0"
model = "{model}"
device = "cpu"
drain_seconds = 0.0
[scheduler]
warm_sizes = [[96, 128]]
[capacity]
cores = 64
[log]
level = "warning"
[answers]
resume_seconds = 0.2
results = 4
"""
MOST_GROWTH = 0.05
CALL_THREADS = 8
"""Threads of calls stay for the next ones, at most as many as there were calls at once."""
SMALL_BYTES = 200_000
"""Files up to here are bent for fuzzing; larger ones are played once, as they are."""
WARM_UP_STREAMS = 150
"""Played before anything is counted: pools fill, and code that is met for the first time is loaded."""


class Hour:
    """Figures, and checks that failed."""

    def __init__(self, model: str, folder: Path) -> None:
        self.rows: list[Row] = []
        self.failures: list[str] = []
        self.clip = write_clip(folder / "clip.mkv")
        self.film = write_clip(folder / "film.mkv", frames=1500)
        self.upright = write_clip(folder / "upright.mkv", size=(128, 96))
        self.settings = folder / "serve.toml"
        self.settings.write_text(SETTINGS.format(model=model))

    def hold(self, what: str, is_so: bool, found: object) -> None:
        """Print a check, and remember it if it fails."""
        print(f"{'ok  ' if is_so else 'FAIL'} {what}: {found}", flush=True)
        if not is_so:
            self.failures.append(what)

    @contextmanager
    def scene(self, name: str) -> Iterator[Arena]:
        """A separate server, which must be idle at the end."""
        print(f"--- {name}", flush=True)
        with serving(self.settings) as (arena, process):
            yield arena
            self.hold(f"{name}: the server lives", process.poll() is None and arena.is_serving(), arena.pid)
            busy = arena.await_rest()
            self.hold(f"{name}: gauges are back at 0", not busy, busy or "all")

    def note(self, name: str, value: float, unit: str, **about: Any) -> None:
        """Save a figure."""
        self.rows.append(row(name, [float(value)], unit=unit, **about))


def odd(hour: Hour, folder: Path) -> None:
    """Every odd file sent as a stream ends as the decoder reports."""
    with hour.scene("odd files") as arena:
        files = sorted(path for path in folder.iterdir() if path.is_file())
        endings = scenes.odd_files(arena, files)
        for file in files:
            told, wanted = scenes.told(endings[file.name]), scenes.expected(file)
            hour.hold(f"odd {file.name}", told == wanted, told)
        hour.note("odd_files", len(files), "files")


def mutated(hour: Hour, count: int, seed: int, folder: Path | None) -> None:
    """Every mutated request or stream gets a status in time; small odd files are mutated too."""
    with hour.scene("fuzz") as arena:
        picture = draw(0, (96, 128), 60)
        pictures = [cv2.imencode(suffix, picture)[1].tobytes() for suffix in (".png", ".jpg", ".webp")]
        with channel_to(arena.address) as channel:
            token = play(channel, stream_of(hour.film, mode=1)).token
        odd_clips = [] if folder is None else [path.read_bytes() for path in sorted(folder.iterdir())]
        clips = [hour.clip.read_bytes(), *(clip for clip in odd_clips if 0 < len(clip) < SMALL_BYTES)]
        ammunition = fuzz.Ammunition(clips, pictures, [token])
        meet(arena, [hour.upright.read_bytes(), *clips])
        fuzz.fuzz(arena.address, ammunition, WARM_UP_STREAMS, seed + 1)
        before = calmed(arena, hour.clip)
        shots = fuzz.fuzz(arena.address, ammunition, count, seed)
        after = calmed(arena, hour.clip)
        for kind, number in fuzz.totals(shots).items():
            print(f"     {kind}: {number}")
        faults = [shot for shot in shots if shot.is_fault]
        hour.hold("fuzz: a status that fits, in time", not faults, faults[:5] or f"{count} attempts")
        hold_usage(hour, "fuzz", before, after)
        hour.note("fuzz_attempts", count, "attempts", seed=seed, faults=len(faults))


def soaked(hour: Hour, count: int, seed: int) -> None:
    """Streams opened, cancelled and broken at random moments leave no resources behind."""
    with hour.scene("soak") as arena:
        media = [hour.clip.read_bytes()]
        meet(arena, [hour.upright.read_bytes()])
        scenes.soak(arena, media, WARM_UP_STREAMS, seed + 1)
        before = calmed(arena, hour.clip)
        endings: Counter[str] = scenes.soak(arena, media, count, seed)
        after = calmed(arena, hour.clip)
        print(f"     {dict(sorted(endings.items()))}")
        hold_usage(hour, "soak", before, after)
        growth = after.resident_bytes / before.resident_bytes - 1
        about = {"before_bytes": before.resident_bytes, "after_bytes": after.resident_bytes, "seed": seed}
        hour.note("soak_streams", count, "streams", memory_growth=round(growth, 4), **about)


def meet(arena: Arena, clips: list[bytes]) -> None:
    """Play every clip once unmodified, so that the compiler is loaded and networks of the clips' sizes exist.

    Otherwise the first damaged header with another size would add a one-time cost of 20 MiB.
    """
    for clip in clips:
        with channel_to(arena.address) as channel:
            play(channel, stream_of(clip, mode=1))


def calmed(arena: Arena, clip: Path) -> Usage:
    """Resources of the idle server after some valid streams, measured alike before and after the bad ones."""
    for _ in range(4):
        with channel_to(arena.address) as channel:
            play(channel, stream_of(clip, mode=1))
    return arena.rested_usage()


def hold_usage(hour: Hour, name: str, before: Usage, after: Usage) -> None:
    """Check that memory grew less than ``MOST_GROWTH``, and that no files or threads are left outside the call pool."""
    growth = after.resident_bytes / before.resident_bytes - 1
    hour.hold(f"{name}: memory", growth <= MOST_GROWTH, f"{growth:+.1%} of {before.resident_bytes / 2**20:.0f} MiB")
    hour.hold(f"{name}: files", after.files <= before.files, f"{before.files} → {after.files}")
    hour.hold(f"{name}: threads", after.threads <= before.threads + CALL_THREADS, f"{before.threads} → {after.threads}")


def ends(hour: Hour) -> None:
    """Clients that are slow, late or killed; a server that is stopped or killed."""
    media = hour.film.read_bytes()
    with hour.scene("slow reader") as arena:
        with channel_to(arena.address) as channel:
            whole = play(channel, stream_of(media, mode=1))
        before = arena.rested_usage()
        slow, other, seconds = scenes.slow_reader(arena, media, hour.clip.read_bytes())
        hour.hold("slow reader: another one is not held up", other.code == "OK", f"{seconds:.2f} s")
        is_same = scenes.faces_of(slow.frames) == scenes.faces_of(whole.frames)
        hour.hold("slow reader: loses nothing", is_same, f"{len(slow.frames)} frames")
        hold_usage(hour, "slow reader", before, arena.rested_usage())
    with hour.scene("clients") as arena:
        hour.hold("a killed client is forgotten", scenes.killed_client(arena, hour.film), "gauges at 0")
        code = scenes.expired(arena, media).code
        hour.hold("a deadline ends its stream", code == "DEADLINE_EXCEEDED", code)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with serving(hour.settings) as (first, process):
            broken = scenes.broken_off(first.address, media, first.pid, number, after_frames=300)
            code = process.wait(30)
        hour.hold(f"{number.name}: exit", code == (0 if number is signal.SIGTERM else -number), code)
        with serving(hour.settings) as (second, _):
            after = scenes.resumed(second.address, media, broken)
        joined = scenes.faces_of(scenes.joined(broken, after))
        found = f"{len(broken.frames)} frames before, {len(after.frames)} after"
        hour.hold(f"{number.name}: the same results over two servers", joined == scenes.faces_of(whole.frames), found)


def main() -> int:
    """Run the requested scenes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--fuzz", type=int, default=2000)
    parser.add_argument("--odd", type=Path, help="a folder of odd files")
    parser.add_argument("--model", default="acfd-n")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("odd", "fuzz", "soak", "ends"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hour = Hour(asked.model, Path(folder))
        acts: dict[str, Callable[[], None]] = {
            "soak": lambda: soaked(hour, asked.streams, asked.seed),
            "fuzz": lambda: mutated(hour, asked.fuzz, asked.seed, asked.odd),
            "ends": lambda: ends(hour),
            "odd": lambda: None if asked.odd is None else odd(hour, asked.odd),
        }
        for name, act in acts.items():
            if asked.only in (None, name):
                act()
    if asked.only is None:
        save("soak", hour.rows)
    print(f"{len(hour.failures)} checks failed" if hour.failures else "all checks passed")
    return int(bool(hour.failures))


if __name__ == "__main__":
    sys.exit(main())
