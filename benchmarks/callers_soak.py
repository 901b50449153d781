"""Eight callers share a service for half an hour: good, slow, dying and hostile ones; writes results/callers_soak.json.

    python -m benchmarks.callers_soak [--minutes 30]

Three callers are good: files, a live stream, jobs; their results are compared with those of a quiet service. The others
read slowly, cancel and vanish, send damaged media, are killed with SIGKILL, and attack (``benchmarks.abuse.hostile``).
Each has a token. Exits with 1 if a good caller gets a wrong result or an error other than a
refusal for want of room, the memory of the service grows by 2 %
or more after the warm-up, or descriptors, threads or processes are not back at the end.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from acfd_stream.client.client import Client
from acfd_stream.client.load_test import Load, LoadPlan
from acfd_stream.client.pacing import live_copy
from acfd_stream.errors import AcfdError, OverloadedError
from benchmarks.abuse.arena import Arena, serving
from benchmarks.abuse.hostile import ATTACKS
from benchmarks.abuse.mutate import bent
from benchmarks.abuse.play import Ending, broken_stream, cancelling, channel_to, play, stream_of
from benchmarks.abuse.scenes import faces_of
from benchmarks.measure import Row, row, save
from tests.service.rig import write_clip

SETTINGS = """
listen = "127.0.0.1:0"
metrics = "127.0.0.1:0"
device = "cpu"
drain_seconds = 0.0
[access]
tokens = "{folder}/tokens.toml"
[sources]
folders = ["{folder}/media"]
[jobs]
state_dir = "{folder}/jobs"
kept = 50
[scheduler]
warm_sizes = [[96, 128]]
[capacity]
cores = 64
[log]
level = "error"
[answers]
resume_seconds = 0.5
"""
MOST_GROWTH = 0.02
WARM_UP_SHARE = 1 / 3
SAMPLE_SECONDS = 5.0
ATTACK_SECONDS = 15.0
PAUSE_SECONDS = 2.0  # at most, between two acts of a caller
PATIENCE_SECONDS = 600.0  # of a good caller: the machine is full
CALLERS = ("files", "live", "jobs", "slow", "dying", "damaged", "killed", "hostile")
_KILLED = """
import sys
from benchmarks.abuse.play import channel_to, play, stream_of
from pathlib import Path
def watch(call, ending):
    if ending.frames:
        print("results", flush=True)
play(channel_to(sys.argv[1]), stream_of(Path(sys.argv[2]), mode=1), watch=watch,
     metadata=(("authorization", "Bearer " + sys.argv[3]),))
"""


@dataclass
class Party:
    """What the callers share."""

    arena: Arena
    folder: Path
    tokens: dict[str, str]
    over: threading.Event = field(default_factory=threading.Event)
    endings: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def metadata(self, caller: str) -> tuple[tuple[str, str], ...]:
        """Of a call of ``caller``."""
        return (("authorization", f"Bearer {self.tokens[caller]}"),)

    def note(self, caller: str, ending: str, count: int = 1) -> None:
        """Count an ending."""
        with self.lock:
            self.endings[f"{caller}: {ending}"] += count

    def require(self, caller: str, is_right: bool, found: object) -> None:
        """Remember what a good caller should not have got."""
        self.note(caller, "right" if is_right else "wrong")
        if not is_right:
            with self.lock:
                self.wrong.append(f"{caller}: {found}")
            print(f"WRONG {caller}: {found}", flush=True)

    def play(self, caller: str, requests: Any, **more: Any) -> Ending:
        """One stream over a connection of its own."""
        with channel_to(self.arena.address) as channel:
            return play(channel, requests, metadata=self.metadata(caller), **more)


def files(party: Party, film: bytes) -> Callable[[random.Random], None]:
    """A good caller that sends files."""
    wanted = faces_of(party.play("files", stream_of(film, mode=1)).frames)

    def act(rng: random.Random) -> None:
        ending = party.play("files", stream_of(film, mode=1), timeout_seconds=PATIENCE_SECONDS)
        if ending.code == "RESOURCE_EXHAUSTED":
            return party.note("files", "refused")
        is_right = ending.code == "OK" and faces_of(ending.frames) == wanted
        party.require(
            "files", is_right, f"{ending.code} {ending.details}, {len(ending.frames)} of {len(wanted)} frames"
        )

    return act


def live(party: Party, clip: Path) -> Callable[[random.Random], None]:
    """A good caller that streams at 24 frames a second."""
    plan = LoadPlan(clip, seconds=60.0, warmup_seconds=1.0, objective_seconds=0.5)
    load = Load(lambda: Client(party.arena.address, token=party.tokens["live"], patience_seconds=0.0), plan)

    def act(rng: random.Random) -> None:
        result = load.run(1)
        if result.refused:
            return party.note("live", "refused")
        party.require("live", result.frames > 0 and not result.failures, result.failures or "no frames")
        for outcome, count in result.outcomes.items():
            party.note("live", f"{outcome} frames", count)

    return act


def jobs(party: Party, film: Path) -> Callable[[random.Random], None]:
    """A good caller that submits jobs and reads their results."""

    def results() -> list[Any]:
        with Client(party.arena.address, token=party.tokens["jobs"]) as client:
            job = client.jobs.submit(str(film))
            with client.jobs.results(job.job_id) as stream:
                return [(frame.index, frame.pts, frame.faces) for frame in stream]

    wanted = results()

    def act(rng: random.Random) -> None:
        try:
            found = results()
            party.require("jobs", found == wanted, f"{len(found)} of {len(wanted)} frames")
        except OverloadedError:
            party.note("jobs", "refused")
        except AcfdError as error:
            party.require("jobs", False, error)

    return act


def slow(party: Party, film: bytes) -> Callable[[random.Random], None]:
    """Reads a message a second."""

    def watch(call: Any, ending: Ending) -> None:
        party.over.wait(1.0)

    return lambda rng: party.note("slow", party.play("slow", stream_of(film, mode=1), watch=watch).code)


def dying(party: Party, film: bytes) -> Callable[[random.Random], None]:
    """Cancels, breaks off, or has a short deadline."""

    def act(rng: random.Random) -> None:
        kind = rng.choice(("broken", "cancelled", "late"))
        if kind == "broken":
            ending = party.play("dying", broken_stream(film, rng))
        elif kind == "cancelled":
            ending = party.play("dying", stream_of(film, mode=rng.choice((1, 2))), watch=cancelling(rng))
        else:
            ending = party.play("dying", stream_of(film, mode=1), timeout_seconds=rng.random())
        party.note("dying", f"{kind} {ending.code}")

    return act


def damaged(party: Party, film: bytes) -> Callable[[random.Random], None]:
    """Sends mutated media."""
    return lambda rng: party.note("damaged", party.play("damaged", stream_of(bent(film, rng), mode=1)).code)


def killed(party: Party, film: Path) -> Callable[[random.Random], None]:
    """A client process that ends by SIGKILL in mid-stream."""

    def act(rng: random.Random) -> None:
        command = [sys.executable, "-c", _KILLED, party.arena.address, str(film), party.tokens["killed"]]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            if client.stdout is not None:
                client.stdout.readline()
            party.over.wait(rng.random())
            client.kill()
        party.note("killed", "SIGKILL")

    return act


def hostile(party: Party) -> Callable[[random.Random], None]:
    """One attack after the other, in a process of its own."""

    def act(rng: random.Random) -> None:
        from benchmarks.neighbour import attacked

        name = rng.choice(list(ATTACKS))
        with attacked(name, party.arena.address, party.tokens["hostile"]):
            party.over.wait(ATTACK_SECONDS)
        party.note("hostile", name)

    return act


@dataclass(frozen=True)
class Sample:
    """The service with its child processes at one moment."""

    seconds: float
    resident_bytes: int  # of the server
    family_bytes: int  # with its children, shared pages counted once each (PSS)
    threads: int
    files: int
    processes: int


def sampled(pid: int, begin: float) -> Sample:
    """A sample now."""
    server = psutil.Process(pid)
    family = [server, *server.children(recursive=True)]
    proportional = 0
    for process in family:
        with suppress(psutil.Error):
            proportional += process.memory_full_info().pss
    return Sample(
        time.monotonic() - begin,
        server.memory_info().rss,
        proportional,
        server.num_threads(),
        server.num_fds(),
        len(family),
    )


def growth(samples: list[Sample], warm_up_seconds: float) -> float:
    """How much the server's memory grows after the warm-up, by a straight line through the samples, as a share."""
    late = [sample for sample in samples if sample.seconds >= warm_up_seconds]
    seconds = np.array([sample.seconds for sample in late])
    sizes = np.array([sample.resident_bytes for sample in late], np.float64)
    slope = np.polyfit(seconds, sizes, 1)[0]
    return float(slope * (seconds[-1] - seconds[0]) / sizes.mean())


def main() -> int:
    """Run, print, save and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acfd-soak-") as name:
        folder = Path(name)
        (folder / "media").mkdir()
        film = write_clip(folder / "media" / "film.mkv", frames=600)
        clip = live_copy(write_clip(folder / "long.mkv", frames=1500), folder / "live.mkv")
        settings = folder / "serve.toml"
        settings.write_text(SETTINGS.format(folder=folder))
        tokens = {caller: token(caller, folder / "tokens.toml") for caller in CALLERS}
        with serving(settings) as (arena, process):
            return soak(Party(arena, folder, tokens), process, film, clip, asked.minutes * 60, asked.seed)


def token(caller: str, file: Path) -> str:
    """A new token of ``caller``."""
    command = [sys.executable, "-m", "acfd_stream.cli", "serve", "token", caller, "--file", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def soak(party: Party, process: Any, film: Path, clip: Path, seconds: float, seed: int) -> int:
    """Let all callers act for ``seconds``; the exit code."""
    media = film.read_bytes()
    acts = {
        "files": files(party, media),
        "live": live(party, clip),
        "jobs": jobs(party, film),
        "slow": slow(party, media),
        "dying": dying(party, media),
        "damaged": damaged(party, media),
        "killed": killed(party, film),
        "hostile": hostile(party),
    }
    before = party.arena.rested_usage()
    first = sampled(party.arena.pid, time.monotonic())
    samples = watched(party, process, acts, seconds, seed)
    after = party.arena.rested_usage()
    last = sampled(party.arena.pid, time.monotonic())
    grew = growth(samples, seconds * WARM_UP_SHARE)
    checks = {
        "the server lives": process.poll() is None and party.arena.is_serving(),
        "nobody's result is wrong": not party.wrong,
        f"memory after the warm-up: {grew:+.2%}": grew < MOST_GROWTH,
        f"files {before.files} → {after.files}": after.files <= before.files,
        f"threads {before.threads} → {after.threads}": after.threads <= before.threads + 8,
        f"processes {first.processes} → {last.processes}": last.processes <= first.processes,
    }
    report(party, samples, grew, checks)
    return int(not all(checks.values()))


def watched(
    party: Party, process: Any, acts: dict[str, Callable[[random.Random], None]], seconds: float, seed: int
) -> list[Sample]:
    """Samples of the service while all callers act."""
    begin = time.monotonic()
    samples: list[Sample] = []

    def run(caller: str) -> None:
        rng = random.Random(f"{seed}/{caller}")
        while not party.over.is_set():
            try:
                acts[caller](rng)
            except (grpc.RpcError, AcfdError, OSError) as error:
                party.note(caller, type(error).__name__)
            party.over.wait(rng.random() * PAUSE_SECONDS)

    threads = [threading.Thread(target=run, args=(caller,), daemon=True) for caller in CALLERS]
    for thread in threads:
        thread.start()
    while time.monotonic() - begin < seconds and process.poll() is None:
        time.sleep(SAMPLE_SECONDS)
        samples.append(sampled(party.arena.pid, begin))
        if len(samples) % 12 == 0:
            print(samples[-1], flush=True)
    party.over.set()
    for thread in threads:
        thread.join(90)
    return samples


def report(party: Party, samples: list[Sample], grew: float, checks: dict[str, bool]) -> None:
    """Print how every caller's calls ended and the checks; save the figures."""
    for caller, count in sorted(party.endings.items()):
        print(f"     {caller}: {count}")
    for what, is_so in checks.items():
        print(f"{'ok  ' if is_so else 'FAIL'} {what}")
    endings = {ending.replace(": ", "_"): count for ending, count in party.endings.items()}
    memory = [one.resident_bytes for one in samples]
    rows: list[Row] = [
        row("callers_soak_memory", memory, unit="bytes", growth=round(grew, 5), seconds=samples[-1].seconds),
        row("callers_soak_family", [one.family_bytes for one in samples], unit="bytes"),
        row("callers_soak_wrong", [len(party.wrong)], unit="results", **endings),
    ]
    save("callers_soak", rows)


if __name__ == "__main__":
    sys.exit(main())
