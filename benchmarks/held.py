"""Measures how well repeated drawings are detected, per clip and codec, and what reusing their faces costs.

``python -m benchmarks.held`` writes ``results/held.json``; ``--encodings 3 --clips 4`` uses only the first ones. A
frame is a repeat if the same drawing was drawn, and a new drawing if it differs visibly (``LEAST_CHANGE``). Movements
of less than a pixel are neither, and are counted separately. AP50 and IDF1 are differences: with reuse minus with
``--every-frame``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream import Detector
from acfd_stream.config import VideoConfig
from acfd_stream.model.average_precision import judge, pooled
from acfd_stream.model.readers import FACE, IGNORE, Sample
from acfd_stream.model.scoring import TrackedFrame, score_tracks
from acfd_stream.model.toon.truth import ClipTruth, FrameTruth
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import Detections
from acfd_stream.video import open_video
from acfd_stream.video.held import HeldFrameDetector
from benchmarks.held_suite import CLIPS, ENCODINGS, LEAST_CHANGE, DrawnClip, Encoding, encode, visible_changes
from benchmarks.measure import Row, row, save

SCORED = ("x264 crf 23", "x264 crf 35", "x264 heavy grain crf 23")
"""Encodings on which detections and tracks are scored, too: the network is what takes its time."""
LEAST_VISIBLE = 0.4
"""Faces of which less can be seen are ignored, as in ``model.scoring``."""


@dataclass
class HeldCounts:
    """Counts of frames by kind and detection."""

    repeats: int = 0
    found: int = 0  # of them detected as repeats
    wrong: int = 0  # new drawings detected as repeats
    new: int = 0
    glides: int = 0  # neither
    glides_held: int = 0
    wrong_frames: list[int] = field(default_factory=list)

    def add(self, other: HeldCounts) -> None:
        """Add the counts of other."""
        for name in ("repeats", "found", "wrong", "new", "glides", "glides_held"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def recall(self) -> float:
        """Share of repeats that were detected."""
        return self.found / self.repeats if self.repeats else 1.0

    @property
    def precision(self) -> float:
        """Share of detected repeats that are repeats."""
        said = self.found + self.wrong
        return self.found / said if said else 1.0


def counts_of(video: Path, truth: ClipTruth, changes: list[float]) -> HeldCounts:
    """Counts of an encoded clip."""
    held, detector = HeldCounts(), HeldFrameDetector()
    with open_video(video, VideoConfig()) as frames:
        for frame, said in zip(frames, truth.frames, strict=True):
            is_held = detector.push(frame.picture)
            if said.held:
                held.repeats += 1
                held.found += is_held
            elif changes[frame.index] >= LEAST_CHANGE:
                held.new += 1
                held.wrong += is_held
                if is_held:
                    held.wrong_frames.append(frame.index)
            elif frame.index:
                held.glides += 1
                held.glides_held += is_held
    return held


def tracks_of(video: Path, detector: Detector, *, every_frame: bool) -> dict[int, TrackedFrame]:
    """The tracks of a clip in the format of the metrics."""
    frames = {}
    with TrackSession(video, detector=detector, video_config=VideoConfig(every_frame=every_frame)) as session:
        for result in session:
            boxes = np.array([face.box_xyxy for face in result.faces], np.float64).reshape(-1, 4)
            frames[result.index] = TrackedFrame([face.track_id for face in result.faces], boxes, result.shot)
    return frames


def detections_of(video: Path, detector: Detector) -> tuple[list[Detections], list[Detections]]:
    """Detections of every frame, and the same with repeats reusing the previous ones."""
    every: list[Detections] = []
    reused: list[Detections] = []
    held = HeldFrameDetector()
    with open_video(video, VideoConfig()) as frames:
        for frame in frames:
            every.append(detector.detect_timed([frame.picture])[0][0])
            reused.append(reused[-1] if held.push(frame.picture) else every[-1])
    return every, reused


def sample_of(frame: FrameTruth) -> Sample:
    """The faces of a frame; barely visible ones are marked as ignored."""
    boxes = np.array([face.box_xyxy for face in frame.faces], np.float32).reshape(-1, 4)
    kinds = np.array([FACE if face.visible >= LEAST_VISIBLE else IGNORE for face in frame.faces], np.int8)
    return Sample(Path(str(frame.index)), boxes, kinds)


def quality_rows(video: Path, truth: ClipTruth, detector: Detector, **parameters: Any) -> Iterator[Row]:
    """Differences of AP50 and IDF1 with and without reuse."""
    samples = [sample_of(frame) for frame in truth.frames]
    every, reused = (pooled([judge(samples, found)]) for found in detections_of(video, detector))
    values = {"AP50": (reused.average_precision(), every.average_precision())}
    with_reuse, without = (
        score_tracks(tracks_of(video, detector, every_frame=is_every), truth) for is_every in (False, True)
    )
    values["IDF1"] = (with_reuse.idf1, without.idf1)
    for name, (own, other) in values.items():
        yield row(f"{name} with reuse", [own], unit="share", every_frame=round(other, 4), **parameters)


def rows_of(
    clip: DrawnClip, encodings: tuple[Encoding, ...], detector: Detector | None, totals: dict[str, HeldCounts]
) -> Iterator[Row]:
    """Rows of one clip; adds to ``totals`` by encoding."""
    frames, truth = clip.draw()
    changes = visible_changes(frames)
    with tempfile.TemporaryDirectory() as folder:
        for encoding in encodings:
            video = encode(Path(folder, f"clip.{encoding.suffix}"), frames, encoding)
            held = counts_of(video, truth, changes)
            totals.setdefault(encoding.name, HeldCounts()).add(held)
            said = f"recall {held.recall:.3f} precision {held.precision:.4f} wrong {held.wrong_frames[:8]}"
            print(f"{clip.name:<34} {encoding.name:<40} {said}", flush=True)
            if detector is not None and encoding.name in SCORED:
                yield from quality_rows(video, truth, detector, clip=clip.name, encoding=encoding.name)


def total_rows(totals: dict[str, HeldCounts]) -> Iterator[Row]:
    """Recall and precision per encoding and in total."""
    whole = HeldCounts()
    for held in totals.values():
        whole.add(held)
    for name, held in [*totals.items(), ("the suite", whole)]:
        counts = {"repeats": held.repeats, "new": held.new, "wrong": held.wrong}
        glides = {"glides": held.glides, "glides_held": held.glides_held}
        yield row("recall of repeats", [held.recall], unit="share", encoding=name, **counts)
        yield row("precision of repeats", [held.precision], unit="share", encoding=name, **counts, **glides)


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=len(CLIPS), help="number to use")
    parser.add_argument("--encodings", type=int, default=len(ENCODINGS), help="number to use")
    parser.add_argument("--without-quality", action="store_true", help="skip AP50 and IDF1")
    options = parser.parse_args()
    totals: dict[str, HeldCounts] = {}
    rows: list[Row] = []
    detector = None if options.without_quality else Detector.open("acfd-n", "cpu")
    for clip in CLIPS[: options.clips]:
        rows += rows_of(clip, ENCODINGS[: options.encodings], detector, totals)
    save("held", [*total_rows(totals), *rows])


if __name__ == "__main__":
    main()
