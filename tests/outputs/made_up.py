"""Results that no video was needed for: three faces who come and go, at a rate that varies."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.types import Face, FaceState, FrameResult

TIME_BASE = Fraction(1, 24000)
MODEL = {"name": "acfd-n", "version": "1", "precision": "f32"}
HEADER = ResultHeader(
    "show/Épisode --> 1.mkv", (480, 854), TIME_BASE, MODEL, {"start": None, "detect": {"size": 640}}, Fraction(24)
)
END = ResultEnd(tracks=3)


def made_up(count: int, first_pts: int = 0) -> Iterator[FrameResult]:
    """Face 1 is there for 7 frames of 10, face 2 for 20 of 30, face 3 for 40 of 41; each third frame lasts longer."""
    pts = first_pts
    for index in range(count):
        faces = [Face(3, (300.004, 100.0, 420.126, 230.5), 0.5)] if index % 41 < 40 else []
        if index % 30 < 20:
            faces.insert(0, Face(2, (index % 400 + 0.126, 20.0, index % 400 + 80.555, 99.999), 0.87654321))
        if index % 10 < 7:
            state = FaceState.FILLED if index % 10 == 5 else FaceState.DETECTED
            faces.insert(0, Face(1, (-4.0, 2.0, 30.5, 40.125), 1.0, state))
        yield FrameResult(
            index,
            pts,
            TIME_BASE,
            float(pts * TIME_BASE),
            tuple(faces),
            shot=index // 25,
            is_pts_filled=index == 4,
            reused=index % 2 == 1,
            is_truncated=index == 6,
        )
        pts += 3003 if index % 3 == 2 else 1001


def write_made_up(
    place: Path, format: str, count: int = 90, header: ResultHeader = HEADER, end: ResultEnd = END, first_pts: int = 0
) -> Path:
    """A file of ``format``, written frame by frame."""
    writer = open_writer(place, format, header)
    for result in made_up(count, first_pts):
        writer.write(result)
    writer.close(end)
    return place
