"""A 1080p clip from file to tracks: frames a second, and where the time of a frame goes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import Row, row, save

from acfd_stream import Detector, track_video
from acfd_stream.config import VideoConfig
from acfd_stream.pipeline.ledger import STAGES
from acfd_stream.types import FrameResult


def drawn_clip(folder: Path, height: int, width: int) -> Path:
    """The demo cartoon of ``model/toon`` at this size."""
    clip = folder / f"toon_{height}.mp4"
    command = [sys.executable, "-m", "acfd_stream.model.toon", "demo", str(clip), "--size", f"{width}x{height}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return clip


def tracked(clip: Path, detector: Detector, seconds: float) -> tuple[list[FrameResult], float]:
    """Every result of one pass over the first ``seconds`` of the clip, and frames a second."""
    start = time.perf_counter()
    results = list(track_video(str(clip), detector=detector, video_config=VideoConfig(end_seconds=seconds)))
    return results, len(results) / (time.perf_counter() - start)


def rows_of(clip: Path, model: str, seconds: float, passes: int) -> list[Row]:
    """Rows of ``passes`` passes; one more goes first and is thrown away."""
    results: list[FrameResult] = []
    speeds = []
    with Detector.open(model) as detector:
        tracked(clip, detector, seconds)
        for _ in range(passes):
            found, speed = tracked(clip, detector, seconds)
            results += found
            speeds.append(speed)
    about = {"clip": clip.name, "model": model, "frames": len(results) // passes}
    rows = [row("stream_fps", speeds, unit="fps", **about)]
    rows.append(row("stream_frame", [sum(result.timings.values()) for result in results], **about))
    for stage in STAGES:
        samples = [result.timings[stage] for result in results if stage in result.timings]
        if samples:
            rows.append(row(f"stage_{stage}", samples, **about))
    return rows


def main() -> None:
    """Time the way of a frame and write benchmarks/results/stream.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a video; default: a drawn one of 1080p")
    parser.add_argument("--model", default="acfd-n", help="a shipped name or a path")
    parser.add_argument("--seconds", type=float, default=10.0, help="how much of the clip is tracked")
    parser.add_argument("--passes", type=int, default=3, help="how often the clip is tracked")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or drawn_clip(Path(folder), 1080, 1920)
        save("stream", rows_of(clip, arguments.model, arguments.seconds, arguments.passes))


if __name__ == "__main__":
    main()
