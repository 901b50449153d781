"""Measures what a decoder process costs beside decoding in the same process: wall and CPU time, and live latency.

A drawn cartoon of 1080p goes through a whole session with acfd-n, in turn with and without; ``--size 64`` leaves little
but decoding. The CPU time is that of this process, its threads, and its decoders. A decoder also costs something once:
its start, and memory that is touched for the first time. So each round has a short pass, too: ``steady`` is what a
frame costs behind it, ``once`` what a video costs besides. The live part feeds a stream of bytes at 24 frames per
second; latency is counted from the arrival of a frame's bytes to its result. Run as ``python -m
benchmarks.decoder_process``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from acfd_stream.client.pacing import schedule
from acfd_stream.config import DetectConfig, Pace, PaceConfig, VideoConfig
from acfd_stream.detect import Detector
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.service.settings import Limits
from acfd_stream.types import FrameResult
from acfd_stream.video import ByteStream, open_video
from acfd_stream.video.process.decoder import DecoderProcess
from acfd_stream.video.process.fork_server import FORK_SERVER
from benchmarks.bench_stream import SIZES, drawn_clip
from benchmarks.measure import Row, ratio_row, row, save

WAYS = ("same_process", "decoder_process")
BEGINNING_SECONDS = 2.0  # of the video: all memory is in use by then
REAP_SECONDS = 0.3  # until the fork server has counted an ended decoder


FIGURES = ("wall", "cpu", "steady_wall", "steady_cpu", "once_cpu")


@dataclass
class Taken:
    """Figures of one way."""

    wall: list[float] = field(default_factory=list)  # seconds per frame
    cpu: list[float] = field(default_factory=list)  # seconds per frame
    steady_wall: list[float] = field(default_factory=list)  # seconds per frame behind the first ones
    steady_cpu: list[float] = field(default_factory=list)  # seconds per frame behind the first ones
    once_cpu: list[float] = field(default_factory=list)  # seconds per video
    latency: list[float] = field(default_factory=list)  # seconds of every live frame
    boxes: list[object] = field(default_factory=list)


def cpu_seconds() -> float:
    """CPU time of this process and of all decoders that have ended."""
    time.sleep(REAP_SECONDS)
    own = os.times()
    served = 0.0
    if FORK_SERVER.process_id is not None:
        times = psutil.Process(FORK_SERVER.process_id).cpu_times()
        served = times.children_user + times.children_system
    return own.user + own.system + served


@dataclass
class Pass:
    """One pass over a file."""

    wall: float  # seconds
    cpu: float  # seconds
    results: list[FrameResult]


def one_pass(way: str, clip: Path, detector: Detector, video: VideoConfig) -> Pass:
    """A whole session."""
    before, begin = cpu_seconds(), time.perf_counter()
    with closing(DecoderProcess()) as process:
        opener = process.open if way == "decoder_process" else open_video
        with TrackSession(str(clip), detector=detector, video_config=video, opener=opener) as session:
            results = list(session)
    wall = time.perf_counter() - begin
    return Pass(wall, cpu_seconds() - before, results)


def take(taken: Taken, way: str, clip: Path, detector: Detector, video: VideoConfig) -> None:
    """A pass over the beginning of a file, and one over all of it."""
    short = one_pass(way, clip, detector, replace(video, end_seconds=BEGINNING_SECONDS))
    whole = one_pass(way, clip, detector, video)
    first, frames = len(short.results), len(whole.results)
    taken.wall.append(whole.wall / frames)
    taken.cpu.append(whole.cpu / frames)
    taken.steady_wall.append((whole.wall - short.wall) / (frames - first))
    taken.steady_cpu.append((whole.cpu - short.cpu) / (frames - first))
    taken.once_cpu.append(short.cpu - first * taken.steady_cpu[-1])
    taken.boxes = [(each.index, each.pts, each.faces, each.shot, each.reused) for each in whole.results]


def take_live(taken: Taken, way: str, clip: Path, detector: Detector, seconds: float) -> None:
    """One live stream of bytes, each frame's at its time."""
    layout, due = schedule(clip)
    data, stream = b"".join(layout.pieces()), ByteStream()
    begin, ended = time.perf_counter() + 0.5, threading.Event()

    def feed() -> None:
        sent = 0
        for step in due:
            if step.seconds > seconds or ended.wait(max(0.0, begin + step.seconds - time.perf_counter())):
                break
            stream.feed(data[sent : step.end])
            sent = step.end
        stream.close()

    threading.Thread(target=feed, daemon=True).start()
    pace, video = PaceConfig(pace=Pace.LIVE), VideoConfig(low_delay=True)
    with closing(DecoderProcess()) as process:
        opener = process.open if way == "decoder_process" else open_video
        with TrackSession(stream, detector=detector, video_config=video, pace=pace, opener=opener) as session:
            found = [result.verdict.latency_seconds for result in session]
    ended.set()
    taken.latency += [latency for latency in found if latency is not None]


def rows_of(taken: dict[str, Taken], height: int, threads: int) -> list[Row]:
    """The figures of both ways, and their ratios."""
    about = {"height": height, "decoder_threads": threads}
    rows = [row(f"{way}_{name}", getattr(taken[way], name), **about) for way in WAYS for name in FIGURES]
    rows += [row(f"{way}_latency", taken[way].latency, **about) for way in WAYS if taken[way].latency]
    without, with_process = (taken[way] for way in WAYS)
    for name in FIGURES[:-1]:
        rows.append(ratio_row(f"{name}_ratio", getattr(with_process, name), getattr(without, name), **about))
    return rows


def measured(clip: Path, detector: Detector, seconds: float, rounds: int, threads: int) -> dict[str, Taken]:
    """Both ways in turn, after one pass of each to warm up."""
    taken = {way: Taken() for way in WAYS}
    video = VideoConfig(threads=threads, end_seconds=seconds, queue_bytes=Limits().queue_bytes)  # as the service
    for number in range(rounds + 1):
        for way in WAYS if number % 2 else reversed(WAYS):
            take(taken[way] if number else Taken(), way, clip, detector, video)
            if number:
                take_live(taken[way], way, clip, detector, seconds)
    if taken[WAYS[0]].boxes != taken[WAYS[1]].boxes:
        raise SystemExit("the two ways differ")
    return taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=1080, choices=list(SIZES))
    parser.add_argument("--clip", type=Path, help="a video of that height instead of the drawn one")
    parser.add_argument("--size", type=int, default=512, help="longer side of the network's input")
    parser.add_argument("--seconds", type=float, default=20.0, help=f"of the video, > {BEGINNING_SECONDS:g}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of the decoder")
    given = parser.parse_args(arguments)
    detect = DetectConfig(size=given.size, threads=1)
    with tempfile.TemporaryDirectory() as folder, Detector.open("acfd-n", "cpu", detect) as detector:
        clip = given.clip or drawn_clip(Path(folder), given.height, SIZES[given.height])
        taken = measured(clip, detector, given.seconds, given.rounds, given.threads)
    rows = rows_of(taken, given.height, given.threads)
    for each in rows:
        print(each["name"], *(f"{part} {each[part]:.5g}" for part in ("median", "p5", "p95", "p99")))
    print(save("decoder_process", rows))


if __name__ == "__main__":
    main()
