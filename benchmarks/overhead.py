"""Measures the service's overhead: CPU seconds per frame of a gRPC stream against ``acfd-stream track`` on one film.

The two run in turn, each in its own process. The command's start-up time is subtracted (measured over the first frames
only). For the service, the time of its process between the start and the end of a stream counts, without the client.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import measure
import psutil

from acfd_stream.client.client import Client

SHORT_SECONDS = 0.2


def repacked(film: Path, path: Path, seconds: float) -> Path:
    """The packets of the film's pictures below ``seconds``, in a file that can be read sequentially."""
    with av.open(str(film)) as source, av.open(str(path), "w") as target:
        pictures = source.streams.video[0]
        stream = target.add_stream_from_template(pictures)
        for packet in source.demux(pictures):
            if packet.dts is None or packet.dts * packet.time_base >= seconds:
                break
            packet.stream = stream
            target.mux(packet)
    return path


def command_seconds(film: Path, size: int, folder: Path, end: float | None = None) -> tuple[float, int]:
    """CPU seconds of ``acfd-stream track`` with all its threads, and its frames."""
    out = folder / "film.jsonl"
    command = [sys.executable, "-m", "acfd_stream.cli", "track", str(film), "-o", str(out), "--size", str(size)]
    before = os.times()
    subprocess.run(command + ([] if end is None else ["--end", str(end)]), check=True, capture_output=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, len(out.read_bytes().splitlines()) - 2


@contextlib.contextmanager
def server(size: int, folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A service in its own process, and its address."""
    config = folder / "serve.toml"
    config.write_text(f'listen = "127.0.0.1:0"\nmetrics = "127.0.0.1:0"\n[detect]\nsize = {size}\n')
    command = [sys.executable, "-m", "acfd_stream.cli", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            found = re.search(r"(127\.0\.0\.1:\d+)", running.stdout.readline() if running.stdout else "")
            if found is None:
                raise SystemExit("the server did not start")
            yield psutil.Process(running.pid), found[1]
        finally:
            running.terminate()


def service_seconds(process: psutil.Process, address: str, film: Path) -> tuple[float, int]:
    """CPU seconds of the server's process for one stream, and its frames."""
    before = process.cpu_times()
    with Client(address) as client, client.track(film) as stream:
        frames = sum(1 for _ in stream)
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system, frames


def measured(film: Path, seconds: float, size: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    """CPU seconds per frame for each variant by round, and the frames of a round."""
    taken: dict[str, list[float]] = {"track": [], "service": []}
    with tempfile.TemporaryDirectory() as name, server(size, Path(name)) as (process, address):
        folder = Path(name)
        part = repacked(film, folder / "film.mkv", seconds)
        service_seconds(process, address, part)  # the first stream compiles
        for _ in range(rounds):
            start, few = command_seconds(part, size, folder, SHORT_SECONDS)
            whole, frames = command_seconds(part, size, folder)
            taken["track"].append((whole - start) / (frames - few))
            spent, answered = service_seconds(process, address, part)
            if answered != frames:
                raise SystemExit(f"the service answered {answered} frames, and the command {frames}")
            taken["service"].append(spent / answered)
    return taken, frames


def main() -> None:
    """Measure, print, and write ``results/overhead.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--seconds", type=float, default=24.0, help="length of the film to use")
    parser.add_argument("--size", type=int, default=512, help="longer side of the network input, pixels")
    parser.add_argument("--rounds", type=int, default=5)
    call = parser.parse_args()
    taken, frames = measured(call.film, call.seconds, call.size, call.rounds)
    about = {"film": call.film.name, "size": call.size, "frames": frames}
    rows = [measure.row(f"CPU a frame, {way}", seconds, **about) for way, seconds in taken.items()]
    rows.append(measure.ratio_row("service / track", taken["service"], taken["track"], **about))
    measure.save("overhead", rows)


if __name__ == "__main__":
    main()
