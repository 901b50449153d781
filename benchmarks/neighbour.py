"""What a live stream feels while another caller attacks the service; writes benchmarks/results/neighbour.json.

    python -m benchmarks.neighbour [--seconds 20] [--height 360] [--only "silent calls"]

A client streams a drawn clip at 24 frames a second, and another one asks for health ten times a second: first on a
quiet service, then during each attack of ``benchmarks.abuse.hostile``, then on a quiet service again. The attacker is a
process of its own. A real attacker has a machine of its own, so this one runs at idle priority: compressing what it
sends would take CPU time from the neighbour that no service can give back. Both have access tokens, as callers of a
service that several people use: what slows down one caller must not slow down another. Exits with 1 if a frame is lost,
the 99th percentile of the latency is above twice the quiet one, or a health check takes more than 100 ms. The stream is
admitted whatever else the machine does.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from acfd_stream.client.client import Client
from acfd_stream.client.load_test import Load, LoadPlan, LoadRow
from acfd_stream.client.pacing import live_copy
from acfd_stream.service.access.token_file import add_token
from benchmarks.abuse.arena import serving
from benchmarks.abuse.hostile import ATTACKS
from benchmarks.abuse.play import channel_to
from benchmarks.bench_stream import drawn_clip
from benchmarks.measure import Row, row, save

SETTINGS = """
listen = "127.0.0.1:0"
metrics = "127.0.0.1:0"
device = "cpu"
[capacity]
load_limit = 1.0
cores = 64
[scheduler]
warm_sizes = [[{height}, {width}]]
[access]
tokens = "{tokens}"
[log]
level = "error"
"""
HEALTH_SECONDS = 0.1
MOST_RATIO = 2.0
_SETTLE_SECONDS = 2.0
_ATTACKER = """
import os, sys
from benchmarks.abuse.hostile import ATTACKS
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
with ATTACKS[sys.argv[1]](sys.argv[2], sys.argv[3]):
    print("attacking", flush=True)
    sys.stdin.read()
"""


@dataclass
class Felt:
    """What the neighbour and the prober saw."""

    load: LoadRow
    health_seconds: list[float]
    health_failures: int

    @property
    def lost(self) -> int:
        """Frames without a result."""
        answered = self.load.outcomes["ok"] + self.load.outcomes["late"]
        return self.load.frames - answered

    @property
    def p99(self) -> float:
        """99th percentile of the latency at the server, seconds."""
        return float(np.percentile(self.load.server_seconds or [float("inf")], 99))


@contextlib.contextmanager
def probed(address: str) -> Iterator[tuple[list[float], list[str]]]:
    """Seconds and errors of health checks on a connection that stays open, ten a second."""
    seconds: list[float] = []
    failures: list[str] = []
    over = threading.Event()

    def probe() -> None:
        with channel_to(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not over.wait(0.1):
                begin = time.perf_counter()
                try:
                    stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
                except grpc.RpcError as error:
                    failures.append(error.code().name)
                seconds.append(time.perf_counter() - begin)

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    try:
        yield seconds, failures
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def attacked(name: str | None, address: str, token: str) -> Iterator[None]:
    """The attack of that name from a process of its own, which others go before; None: no attack."""
    if name is None:
        yield
        return
    command = [sys.executable, "-c", _ATTACKER, name, address, token]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is not None and not process.stdout.readline():
                raise SystemExit(f"the attack {name!r} could not be made")
            yield
        finally:
            process.kill()


def felt(load: Load, address: str, attack: str | None, token: str) -> Felt:
    """One live stream and the health checks beside it, during ``attack`` by who has ``token``."""
    with attacked(attack, address, token), probed(address) as (seconds, failures):
        result = load.run(1)
    time.sleep(_SETTLE_SECONDS)
    return Felt(result, seconds, len(failures))


def judged(name: str, result: Felt, quiet_p99: float) -> tuple[bool, list[Row]]:
    """Print whether the neighbour was left in peace, and the rows of the result."""
    ratio, slowest = result.p99 / quiet_p99, max(result.health_seconds, default=float("inf"))
    is_complete = result.lost == 0 and not result.load.failures and result.load.frames > 0
    is_prompt = ratio <= MOST_RATIO and slowest <= HEALTH_SECONDS and not result.health_failures
    print(
        f"{'held ' if is_complete and is_prompt else 'FAILS'} {name}: {result.load.frames} frames, {result.lost} lost, "
        f"p99 {result.p99 * 1000:.1f} ms ({ratio:.2f} × quiet), health at most {slowest * 1000:.0f} ms, "
        f"{result.health_failures} health failures {result.load.failures or ''}"
        f"{', the stream was refused' * result.load.refused}",
        flush=True,
    )
    about = {"lost": result.lost, "p99_ratio": round(ratio, 3), "health_failures": result.health_failures}
    rows = [
        row(f"neighbour_{name.replace(' ', '_')}", result.load.server_seconds or [9.9], **about),
        row(f"health_{name.replace(' ', '_')}", result.health_seconds or [9.9]),
    ]
    return is_complete and is_prompt, rows


def measured(folder: Path, height: int, seconds: float, attacks: list[str]) -> tuple[bool, list[Row]]:
    """Whether every attack was held, and the rows of all results."""
    width = height * 16 // 9
    tokens = folder / "tokens.toml"
    neighbour, mallory = add_token(tokens, "neighbour"), add_token(tokens, "mallory")
    settings = folder / "serve.toml"
    settings.write_text(SETTINGS.format(height=height, width=width, tokens=tokens))
    clip = live_copy(drawn_clip(folder, height, width), folder / "live.mkv")
    plan = LoadPlan(clip, seconds=seconds, warmup_seconds=1.0)
    rows: list[Row] = []
    are_held = True
    with serving(settings) as (arena, process):
        load = Load(lambda: Client(arena.address, token=neighbour, patience_seconds=0.0), plan)
        quiet_p99: float | None = None
        for attack in [None, *attacks, None]:
            result = felt(load, arena.address, attack, mallory)
            quiet_p99 = quiet_p99 or result.p99
            is_held, more = judged(attack or "quiet", result, quiet_p99)
            rows += more
            are_held = are_held and (attack is None or is_held) and process.poll() is None
    return are_held, rows


def main() -> int:
    """Measure, print, save and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of every stream")
    parser.add_argument("--height", type=int, default=360, help="of the neighbour's frames")
    parser.add_argument("--only", choices=list(ATTACKS), help="one attack")
    asked = parser.parse_args()
    attacks = [asked.only] if asked.only else list(ATTACKS)
    with tempfile.TemporaryDirectory(prefix="acfd-neighbour-") as folder:
        are_held, rows = measured(Path(folder), asked.height, asked.seconds, attacks)
    if not asked.only:
        save("neighbour", rows)
    return int(not are_held)


if __name__ == "__main__":
    sys.exit(main())
