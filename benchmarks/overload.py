"""Opens three times as many live streams as the service admits: how fast it refuses, how many frames are on time.

The server runs in its own process and the clients in this one. They share the machine, so the figures are conservative.
Every stream sends a drawn clip, or your video, frame by frame at its frame rate. First, as many streams as fit run
alone: if the machine is unsteady, these are late too. "stolen" is the share of CPU time that the host of a virtual
machine gave to others; detection takes longer by that share.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType

from acfd_stream.client.client import Client
from acfd_stream.client.pacing import add_live_stream
from acfd_stream.client.stream_progress import StreamOptions
from acfd_stream.errors import OverloadedError
from acfd_stream.malloc import freeze, limit_heaps
from acfd_stream.service.server import Server
from acfd_stream.service.settings import Limits, ServiceSettings
from acfd_stream.types import Outcome

_STEAL = 7
"""Place of stolen time among those of a CPU."""
Piece = tuple[float, bytes]
"""When bytes are due, in seconds from the first ones, and the bytes."""


@dataclass
class Totals:
    """Results of all streams."""

    refusal_seconds: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    causes: Counter[str | None] = field(default_factory=Counter)
    admitted: int = 0
    stolen: float = 0.0  # share of CPU time that the machine's host gave to others
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def goodput(self) -> float:
        """Share of the frames of admitted streams that were on time."""
        return self.outcomes[Outcome.OK] / max(1, self.outcomes.total())


def drawn_pieces(size: tuple[int, int], rate: int, seconds: float) -> list[Piece]:
    """A moving pattern as live Matroska: every frame is a new drawing, and key frames are as large as possible."""
    return live_pieces(drawings(size, round(rate * seconds)), size, rate)


def filmed_pieces(video: str, size: tuple[int, int], rate: int, seconds: float) -> list[Piece]:
    """The beginning of a file as live Matroska, at ``rate`` frames per second."""
    width, height = reversed(size)
    with av.open(video) as container:
        frames = islice(container.decode(video=0), round(rate * seconds))
        return live_pieces((frame.reformat(width, height, "yuv420p") for frame in frames), size, rate)


def drawings(size: tuple[int, int], count: int) -> Iterator[av.VideoFrame]:
    """A speckled background with a white rectangle that moves over it."""
    grain = max(1, size[1] // 256)
    paper = np.random.default_rng(1).integers(0, 256, (-(-size[0] // grain), -(-size[1] // grain), 3), np.uint8)
    paper = np.repeat(np.repeat(paper, grain, axis=0), grain, axis=1)[: size[0], : size[1]]
    for index in range(count):
        drawing = paper.copy()
        drawing[size[0] // 4 : size[0] // 2, 4 * index % size[1] :][:, : size[1] // 8] = 255
        yield av.VideoFrame.from_ndarray(drawing, format="rgb24")


def live_pieces(frames: Iterable[av.VideoFrame], size: tuple[int, int], rate: int) -> list[Piece]:
    """Frames as live Matroska; each one is complete before the next."""
    target = io.BytesIO()
    options = {"live": "1", "cluster_time_limit": "1", "flush_packets": "1"}
    pieces: list[Piece] = []
    taken = 0
    with av.open(target, "w", format="matroska", options=options) as container:
        stream = add_live_stream(container, size, rate)
        index = -1
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, rate), PictureType.NONE
            container.mux(stream.encode(frame))
            written = target.getvalue()
            pieces.append((max(0, index - 1) / rate, written[taken:]))  # a cluster is written when the next one begins
            taken = len(written)
        container.mux(stream.encode(None))
    return [*pieces, ((index + 1) / rate, target.getvalue()[taken:])]


def paced(pieces: list[Piece], stop: threading.Event) -> Iterator[bytes]:
    """Yield each piece when it is due."""
    begin = time.monotonic()
    for due, data in pieces:
        if stop.wait(max(0.0, begin + due - time.monotonic())):
            return
        if data:
            yield data


def play(target: str, pieces: list[Piece], options: StreamOptions, delay: float, totals: Totals) -> None:
    """Run one stream, from the request to its end."""
    stop = threading.Event()
    stop.wait(delay)
    with Client(target, patience_seconds=0.0) as client:
        begin = time.perf_counter()
        try:
            with client.track(paced(pieces, stop), options) as stream:
                first = True
                for result in stream:
                    with totals.lock:
                        totals.admitted += first
                        first = False
                        totals.outcomes[result.verdict.outcome] += 1
                        if result.verdict.outcome is Outcome.LATE:
                            totals.causes[result.verdict.cause] += 1
                        if result.verdict.latency_seconds is not None:
                            totals.latencies.append(result.verdict.latency_seconds)
        except OverloadedError:
            with totals.lock:
                totals.refusal_seconds.append(time.perf_counter() - begin)
        finally:
            stop.set()


def serve(ports: Connection, streams: int, view: int) -> None:
    """Entry point of the server's process: sends its port, and stops on request."""
    limit_heaps()  # as the command does
    settings = ServiceSettings(listen="127.0.0.1:0", metrics="", limits=Limits(streams=streams), live_size=view)
    with Server(settings) as server:
        freeze()
        ports.send(server.port)
        ports.recv()


def fitting(target: str, pieces: list[Piece], options: StreamOptions) -> tuple[int, int]:
    """How many such streams the service admits, by opening them, and the longer side of their network input."""
    stop, view = threading.Event(), 0
    with Client(target, patience_seconds=0.0) as client, ExitStack() as inside:
        inside.callback(stop.set)
        for count in range(256):
            stream = inside.enter_context(client.track(paced(pieces, stop), options))
            try:
                view = stream.start.settings["detect"]["size"]
                print(f"stream {count} is admitted as {stream.start.stream_id}, input size {view} pixels")
            except OverloadedError as error:
                print(f"stream {count} is refused: {error}")
                return count, view
    return 256, view


def played(target: str, pieces: list[Piece], options: StreamOptions, count: int) -> Totals:
    """Results of ``count`` streams that start within two seconds."""
    totals, before = Totals(), cpu_times()
    delays = np.random.default_rng(1).uniform(0, 2, count)
    with ThreadPoolExecutor(count) as streams:
        for done in [streams.submit(play, target, pieces, options, float(delay), totals) for delay in delays]:
            done.result()
    spent = [now - then for now, then in zip(cpu_times(), before, strict=True)]
    totals.stolen = spent[_STEAL] / max(1, sum(spent[: _STEAL + 1]))
    return totals


def cpu_times() -> list[int]:
    """Ticks of all CPUs since boot by kind of work; see proc(5)."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]


def overload(pieces: list[Piece], options: StreamOptions, times: float, view: int) -> tuple[Totals, Totals, int, int]:
    """Results of as many streams as fit, then of ``times`` as many; also their number and input size."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, 256, view))
    process.start()
    try:
        target = f"127.0.0.1:{here.recv()}"
        fit, seen = fitting(target, pieces, options)
        if not fit:
            sys.exit("this machine cannot take a single such stream at the moment")
        calm = played(target, pieces, options, fit)
        if not calm.admitted:
            sys.exit("the machine has become slower: streams that were just admitted no longer fit")
        count = round(times * fit)
        return calm, played(target, pieces, options, count), count, seen
    finally:
        here.send("stop")
        process.join(30)
        process.terminate()


def main() -> None:
    """Overload a service and write benchmarks/results/overload.json."""
    from measure import row, save  # only as a script: tests import this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1280x720", help="size of the frames")
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--objective", type=float, default=0.05, help="latency objective in seconds")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of every stream")
    parser.add_argument("--view", type=int, default=0, help="longer side of the network input; 0: the service chooses")
    parser.add_argument("--video", help="a file to send instead of a drawn clip")
    parser.add_argument("--times", type=float, default=3.0, help="offered streams as a multiple of the capacity")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    rate, objective = arguments.fps, arguments.objective
    options = StreamOptions(
        mode="live", drop_policy="drop_oldest", declared_size=(height, width), declared_fps=rate,
        objective_seconds=objective,
    )  # fmt: skip
    if arguments.video:
        pieces = filmed_pieces(arguments.video, (height, width), rate, arguments.seconds)
    else:
        pieces = drawn_pieces((height, width), rate, arguments.seconds)
    calm, totals, count, view = overload(pieces, options, arguments.times, arguments.view)
    name = Path(arguments.video).name if arguments.video else "drawn"
    clip = {"clip": name, "size": arguments.size, "view": view, "fps": rate, "objective": objective}
    about = clip | {
        "asked": count,
        "admitted": totals.admitted,
        "goodput": round(totals.goodput, 4),
        "stolen": round(totals.stolen, 4),
    }
    before = clip | {"admitted": calm.admitted, "goodput": round(calm.goodput, 4), "stolen": round(calm.stolen, 4)}
    rows = [row("calm_frame_latency", calm.latencies, **before)]
    rows += [row("overload_frame_latency", totals.latencies, **about)]
    save("overload", [*rows, row("overload_refusal", totals.refusal_seconds, **about)])
    for one in (calm, totals):
        print(dict(one.outcomes), dict(one.causes))


if __name__ == "__main__":
    main()
