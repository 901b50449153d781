"""Drawn clips of 720p, 1080p and 4K from bytes to JSON lines: frames per second, and the time of each stage.

Each size runs with held drawings reused (the default) and with detection on every frame, in turn.
Run as ``python -m benchmarks.bench_stream``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acfd_stream import Detector
from acfd_stream.config import VideoConfig
from acfd_stream.outputs import open_writer
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.stage_times import STAGES
from acfd_stream.recording.header import end_of, header_of
from acfd_stream.types import FrameResult
from benchmarks.measure import Row, ratio_row, row, save

SIZES = {720: 1280, 1080: 1920, 2160: 3840}  # height → width
MAIN = 1080
"""The size whose stages are told."""


@dataclass
class Passes:
    """Results of several passes over one clip."""

    frames: int = 0  # a pass
    reused: int = 0  # a pass
    rate: float = 24.0  # of the clip, frames a second
    seconds: list[float] = field(default_factory=list)
    results: list[FrameResult] = field(default_factory=list)

    @property
    def speeds(self) -> list[float]:
        """Frames per second of every pass."""
        return [self.frames / seconds for seconds in self.seconds]


def drawn_clip(folder: Path, height: int, width: int, plan: str = "demo") -> Path:
    """A cartoon on twos of ``model/toon``, H.264, 24 frames per second."""
    clip = folder / f"toon_{plan}_{height}.mp4"
    command = [sys.executable, "-m", "acfd_stream.model.toon", plan, str(clip), "--size", f"{width}x{height}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return clip


def take(passes: Passes, clip: Path, detector: Detector, target: Path, video: VideoConfig) -> None:
    """Run one pass as ``acfd-stream track`` does, from opening the file to the closing line of the results."""
    results: list[FrameResult] = []
    begin = time.perf_counter()
    with TrackSession(str(clip), detector=detector, video_config=video) as session:
        writer = open_writer(str(target), "jsonl", header_of(session))
        for result in session:
            writer.write(result)
            results.append(result)
        writer.close(end_of(session))
    passes.seconds.append(time.perf_counter() - begin)
    passes.rate = float(session.info.frame_rate or 24)
    passes.frames, passes.reused = len(results), sum(result.reused for result in results)
    passes.results += results


def in_turn(clip: Path, detector: Detector, seconds: float, rounds: int) -> dict[str, Passes]:
    """Passes with held drawings reused ("") and with detection on every frame ("every_frame"), after one of each."""
    ways = {name: VideoConfig(end_seconds=seconds, every_frame=bool(name)) for name in ("", "every_frame")}
    for index in range(rounds + 1):
        if index <= 1:
            found = {name: Passes() for name in ways}
        for name, video in ways.items():
            take(found[name], clip, detector, clip.with_suffix(".jsonl"), video)
    return found


def rows_of(height: int, found: dict[str, Passes], about: dict[str, Any]) -> list[Row]:
    """Speeds of one size, also relative to real time, and the gain from reuse."""
    rows: list[Row] = []
    for name, passes in found.items():
        label = "_".join(["stream", str(height), *([name] if name else [])])
        own = about | {"frames": passes.frames, "reused": passes.reused}
        rows.append(row(f"{label}_fps", passes.speeds, unit="fps", **own))
        times = [speed / passes.rate for speed in passes.speeds]
        rows.append(row(f"{label}_real_time", times, unit="ratio", **own))
    rows.append(ratio_row(f"stream_{height}_held_ratio", found["every_frame"].seconds, found[""].seconds, **about))
    return rows


def stage_rows(results: Sequence[FrameResult], about: dict[str, Any]) -> list[Row]:
    """Time per stage. A held drawing counts only in the stages that it passes."""
    rows = [row("stream_frame", [sum(result.timings.values()) for result in results], **about)]
    for stage in STAGES:
        samples = [result.timings[stage] for result in results if stage in result.timings]
        if samples:
            rows.append(row(f"stage_{stage}", samples, **about))
    return rows


def main() -> None:
    """Time the stages of a frame and write benchmarks/results/stream.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="acfd-n", help="a shipped name or a path")
    parser.add_argument("--heights", default="720,1080,2160", help=f"of {', '.join(map(str, SIZES))}")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the clip to track")
    parser.add_argument("--rounds", type=int, default=3, help="passes of each variant")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Detector.open(arguments.model, "cpu") as detector:
        for height in (int(text) for text in arguments.heights.split(",")):
            clip = drawn_clip(Path(folder), height, SIZES[height])
            about = {"clip": clip.name, "engine": detector.description}
            found = in_turn(clip, detector, arguments.seconds, arguments.rounds)
            rows += rows_of(height, found, about)
            if height == MAIN:
                rows += stage_rows(found["every_frame"].results, about)
    save("stream", rows)


if __name__ == "__main__":
    main()
