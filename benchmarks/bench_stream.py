"""A 1080p clip from file to tracks: frames a second, and where the time of a frame goes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from measure import Row, row, save

from acfd_stream import Detector, track_video
from acfd_stream.types import FrameResult


def drawn_clip(folder: Path, height: int, width: int, frames: int) -> Path:
    """A cartoon of ``model/toon`` at this size."""
    clip = folder / f"toon_{height}.mp4"
    command = [sys.executable, "-m", "acfd_stream.model.toon", "demo", str(clip)]
    options = ["--height", str(height), "--width", str(width), "--frames", str(frames)]
    subprocess.run([*command, *options], check=True)
    return clip


def tracked(clip: Path, detector: Detector) -> tuple[list[FrameResult], list[float]]:
    """Every result of one pass, and the seconds between the arrivals of one result and the next."""
    results, arrivals = [], [time.perf_counter()]
    for result in track_video(str(clip), detector=detector):
        results.append(result)
        arrivals.append(time.perf_counter())
    return results, [later - earlier for earlier, later in pairwise(arrivals)]


def rows_of(clip: Path, model: str, passes: int) -> list[Row]:
    """Rows of ``passes`` passes; one more goes first and is thrown away."""
    results: list[FrameResult] = []
    speeds = []
    with Detector.open(model) as detector:
        tracked(clip, detector)
        for _ in range(passes):
            found, gaps = tracked(clip, detector)
            results += found
            speeds.append(len(found) / sum(gaps))
    about = {"clip": clip.name, "model": model, "frames": len(results) // passes}
    rows = [row("stream_fps", speeds, unit="fps", **about)]
    rows.append(row("stream_frame", [sum(result.timings.values()) for result in results], **about))
    stages = sorted({stage for result in results for stage in result.timings})
    for stage in stages:
        samples = [result.timings[stage] for result in results if stage in result.timings]
        rows.append(row(f"stage_{stage}", samples, **about))
    return rows


def main() -> None:
    """Time the way of a frame and write benchmarks/results/stream.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a video; default: a drawn one of 1080p")
    parser.add_argument("--model", default="acfd-n", help="a shipped name or a path")
    parser.add_argument("--frames", type=int, default=240, help="length of the drawn clip")
    parser.add_argument("--passes", type=int, default=3, help="how often the clip is tracked")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or drawn_clip(Path(folder), 1080, 1920, arguments.frames)
        save("stream", rows_of(clip, arguments.model, arguments.passes))


if __name__ == "__main__":
    main()
