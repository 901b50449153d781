"""Compares the number and the times of frames with ``ffprobe -show_frames``, file by file.

``python -m benchmarks.ffprobe_times FOLDER…`` reads every file below the folders, prints a table, writes
``results/ffprobe_times.json`` and ends with exit code 1 if a whole file differs for a reason that is not in the table.
The times of ffprobe are its best effort timestamps. Nothing is detected, and nothing but the files is read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from acfd_stream.errors import MediaError
from acfd_stream.types import Seam
from acfd_stream.video import open_video
from benchmarks.measure import Row, row, write

EQUAL_SECONDS = 2e-6  # ffprobe writes microseconds
ROUNDED_SECONDS = 1.1e-3  # Matroska and ASF count milliseconds
_NO_VIDEO = {".md", ".py", ".json", ".jsonl", ".txt", ".srt"}


@dataclass(frozen=True)
class Reading:
    """What one program says of a file."""

    times: tuple[float | None, ...]  # of its frames, seconds; ours are all known
    complaint: str = ""  # empty: it takes the file for whole
    codec: str = ""
    is_inferred: bool = False  # the times are made up
    filled: frozenset[int] = frozenset()  # numbers of frames whose time is missing in the file
    is_joined: bool = False  # recordings are joined in it, or its stream changes


@dataclass(frozen=True)
class Comparison:
    """Two readings of a file."""

    ours: Reading
    theirs: Reading
    difference: float  # largest one of a frame, seconds; where the numbers differ, to the nearest of our frames
    verdict: str

    @property
    def is_unexplained(self) -> bool:
        """Whether the difference has no known reason."""
        return self.verdict == "differs"


def our_reading(path: Path) -> Reading:
    """The frames of ``open_video``."""
    try:
        with open_video(path) as video:
            frames = [(frame.pts_seconds, frame.seams, frame.is_damaged, frame.is_pts_filled) for frame in video]
    except MediaError as error:
        return Reading((), str(error).removeprefix(f"{path}: "))
    times, seams, damaged, filled = zip(*frames, strict=True) if frames else ((), (), (), ())
    said = [video.error or "", f"{len(video.gaps)} gaps" * bool(video.gaps), f"{sum(damaged)} damaged" * any(damaged)]
    return Reading(
        times,
        ", ".join(filter(None, said)),
        video.info.codec,
        bool(video.info.times),
        frozenset(index for index, is_filled in enumerate(filled) if is_filled),
        any(seam in (Seam.CLOCK, Seam.STREAM) for some in seams for seam in some),
    )


def their_reading(path: Path, *, is_joined: bool = False) -> Reading:
    """The frames of ffprobe: of the stream that FFmpeg takes for the best, or of all video streams if one is joined."""
    streams = "v" if is_joined else str(_stream_index(path))
    command = ["ffprobe", "-v", "error", "-select_streams", streams, "-show_frames"]
    shown = ["-show_entries", "frame=media_type,best_effort_timestamp_time", "-of", "json", str(path)]
    done = subprocess.run([*command, *shown], capture_output=True, check=False)
    frames = json.loads(done.stdout or b"{}").get("frames", [])
    times = [frame.get("best_effort_timestamp_time") for frame in frames if frame.get("media_type") == "video"]
    complaint = done.stderr.decode(errors="replace").strip().splitlines()
    known = tuple(None if time is None else float(time) for time in times)
    return Reading(known, complaint[0].partition("] ")[2] or complaint[0] if complaint else "")


def _stream_index(path: Path) -> int | str:
    try:
        with av.open(str(path)) as container:
            best = container.streams.best("video")
            return "v" if best is None else best.index
    except (av.error.FFmpegError, OSError):
        return "v"


def compare(ours: Reading, theirs: Reading) -> Comparison:
    """The difference, and what explains it."""
    difference = _largest_difference([time for time in ours.times if time is not None], theirs.times)
    is_equal = len(ours.times) == len(theirs.times) and difference <= EQUAL_SECONDS
    return Comparison(ours, theirs, difference, "equal" if is_equal else _reason(ours, theirs))


def _largest_difference(ours: Sequence[float], theirs: Sequence[float | None]) -> float:
    if len(ours) == len(theirs):
        return max(
            (abs(own - other) for own, other in zip(ours, theirs, strict=True) if other is not None), default=0.0
        )
    if not ours:
        return 0.0
    nearest = (min(abs(own - other) for own in ours) for other in theirs if other is not None)
    return max(nearest, default=0.0)


def _reason(ours: Reading, theirs: Reading) -> str:
    """Why readings differ; "differs" where nothing explains it."""
    if ours.complaint or theirs.complaint:
        return "not whole"
    if ours.is_joined and len(ours.times) >= len(theirs.times):
        return "joined or changing: we read all parts on one line of time"
    if ours.codec == "mpeg2video" and len(ours.times) == len(theirs.times) + 1:
        return "ffprobe leaves out a last MPEG-2 picture"
    if len(ours.times) != len(theirs.times):
        return "differs"
    if ours.is_inferred and _has_constant_shift(ours, theirs):
        return "equal but for a constant: no times in the file, ours begin at 0"
    if ours.is_inferred:
        return "no times in the file"
    pairs = enumerate(zip(ours.times, theirs.times, strict=True))
    if all(index in ours.filled or _is_near(own, other) for index, (own, other) in pairs):
        return "equal where the file has a time"
    if any(time is None for time in theirs.times) or _goes_back(theirs):
        return "ffprobe's times are missing or go back"
    return "differs"


def _is_near(own: float | None, other: float | None) -> bool:
    return own is not None and other is not None and abs(own - other) <= EQUAL_SECONDS


def _has_constant_shift(ours: Reading, theirs: Reading) -> bool:
    shifts = [own - other for own, other in zip(ours.times, theirs.times, strict=True) if own and other]
    return bool(shifts) and max(shifts) - min(shifts) <= ROUNDED_SECONDS


def _goes_back(reading: Reading) -> bool:
    times = [time for time in reading.times if time is not None]
    return any(later <= earlier for earlier, later in pairwise(times))


def files_below(folders: list[Path]) -> Iterator[Path]:
    """All files that may be videos, by name."""
    for folder in folders:
        found = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        yield from (path for path in found if path.is_file() and path.suffix not in _NO_VIDEO)


def rows_of(folders: list[Path]) -> Iterator[tuple[Comparison, Row]]:
    """A comparison and its row per file; prints a line of the table."""
    for path in files_below(folders):
        own = our_reading(path)
        found = compare(own, their_reading(path, is_joined=own.is_joined))
        ours, theirs = len(own.times), len(found.theirs.times)
        name = f"{path.parent.name}/{path.name}"
        print(f"{name:<60.60} {ours:>6} {theirs:>6} {found.difference:>11.6f}  {found.verdict}", flush=True)
        said = {"ours_says": found.ours.complaint, "ffprobe_says": found.theirs.complaint}
        parameters: dict[str, Any] = {"frames": ours, "ffprobe_frames": theirs, "verdict": found.verdict}
        parameters |= {key: text for key, text in said.items() if text}
        yield found, row(name, [found.difference], **parameters)


def main() -> None:
    """Compare and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    print(f"{'file':<60} {'ours':>6} {'theirs':>6} {'difference':>11}  verdict")
    found = list(rows_of(parser.parse_args().folders))
    write("ffprobe_times", [row for _, row in found])
    unexplained = [comparison for comparison, _ in found if comparison.is_unexplained]
    equal = sum(comparison.verdict == "equal" for comparison, _ in found)
    print(f"{len(found)} files: {equal} equal, {len(unexplained)} differ without a known reason")
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
