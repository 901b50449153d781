"""Measures what a decoder process costs beside decoding in the same process: wall and CPU time, and live latency.

A drawn cartoon of 1080p goes through a whole session with a small network, in turn with and without. The CPU time is
that of this process, its threads, and its decoders. The live part feeds a stream of bytes at 24 frames per second;
latency is counted from the arrival of a frame's bytes to its result. Run as ``python -m benchmarks.decoder_process``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from acfd_stream.client.pacing import schedule
from acfd_stream.config import DetectConfig, Pace, PaceConfig, VideoConfig
from acfd_stream.detect import Detector
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.service.settings import Limits
from acfd_stream.video import ByteStream, open_video
from acfd_stream.video.process.decoder import DecoderProcess
from acfd_stream.video.process.fork_server import FORK_SERVER
from benchmarks.bench_stream import SIZES, drawn_clip
from benchmarks.measure import Row, ratio_row, row, save

WAYS = ("same_process", "decoder_process")
REAP_SECONDS = 0.3  # until the fork server has counted an ended decoder


@dataclass
class Taken:
    """Figures of one way."""

    wall: list[float] = field(default_factory=list)  # seconds per frame
    cpu: list[float] = field(default_factory=list)  # seconds per frame
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


def take(taken: Taken, way: str, clip: Path, detector: Detector, video: VideoConfig) -> None:
    """One pass over a file."""
    before, begin = cpu_seconds(), time.perf_counter()
    with closing(DecoderProcess()) as process:
        opener = process.open if way == "decoder_process" else open_video
        with TrackSession(str(clip), detector=detector, video_config=video, opener=opener) as session:
            results = list(session)
    wall = time.perf_counter() - begin
    taken.wall.append(wall / len(results))
    taken.cpu.append((cpu_seconds() - before) / len(results))
    taken.boxes = [(result.index, result.pts, result.faces, result.shot, result.reused) for result in results]


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
    rows = [row(f"{way}_{name}", getattr(taken[way], name), **about) for way in WAYS for name in ("wall", "cpu")]
    rows += [row(f"{way}_latency", taken[way].latency, **about) for way in WAYS if taken[way].latency]
    without, with_process = (taken[way] for way in WAYS)
    rows.append(ratio_row("wall_ratio", with_process.wall, without.wall, **about))
    rows.append(ratio_row("cpu_ratio", with_process.cpu, without.cpu, **about))
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
    parser.add_argument("--size", type=int, default=64, help="longer side of the network's input")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the video")
    parser.add_argument("--rounds", type=int, default=5)
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
