"""A result as columns, so that a page can draw any moment without reading all frames."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acfd_stream.outputs.reader import ResultFile
from acfd_stream.types import Face, FaceState, FrameResult

STRIP_PARTS = 96
"""Number of equal parts of the time in a video's summary."""
LENGTH_EDGES_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Edges of the bins of track lengths."""
_USUAL_FRAME_SECONDS = 1 / 24  # for a video with one frame and unknown rate


@dataclass(frozen=True)
class TrackRow:
    """One track, by rows of ``EpisodeColumns.seconds``."""

    id: int
    spans: tuple[tuple[int, int], ...]  # (first row, last row) of its uninterrupted spans
    frames: int
    filled: int  # frames in which it was filled, not detected
    seconds: float  # on screen
    size: float  # median over its frames of the square root of the box area, pixels
    score: float  # mean, in [0, 1]
    best_score: float  # in [0, 1]


@dataclass(frozen=True)
class EpisodeColumns:
    """All frames and faces of a result; faces are sorted by frame, then by ID."""

    seconds: NDArray[np.float64]  # [F] presentation time
    shown_seconds: NDArray[np.float64]  # [F] until the next frame
    first_face: NDArray[np.int64]  # [F + 1] row in ``boxes_xyxy`` of a frame's first face
    boxes_xyxy: NDArray[np.float32]  # [N, 4] display pixels
    scores: NDArray[np.float32]  # [N]
    track: NDArray[np.int64]  # [N] row in ``tracks``
    is_filled: NDArray[np.bool_]  # [N]
    shots: tuple[int, ...]  # first row of each shot
    reused: int  # frames that repeat the previous drawing
    tracks: tuple[TrackRow, ...]  # by first appearance

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 [F]: faces of each frame."""
        return np.diff(self.first_face)


def gather(results: ResultFile) -> EpisodeColumns:
    """The columns of ``results``.

    Raises:
        MediaError: the file cannot be read, or a line is invalid.
    """
    frames = _Frames()
    for result in results:
        frames.add(result)
    rate = results.header.frame_rate
    return frames.columns(None if rate is None else float(1 / rate))


class _Frames:
    """Collects frames into columns, with a few bytes per face."""

    def __init__(self) -> None:
        self._seconds, self._first, self._boxes = array("d"), array("q", [0]), array("f")
        self._scores, self._ids, self._filled = array("f"), array("q"), array("b")
        self._shots: list[int] = []
        self._shot: int | None = None
        self._reused = 0

    def add(self, result: FrameResult) -> None:
        if result.shot != self._shot:
            self._shots.append(len(self._seconds))
            self._shot = result.shot
        self._seconds.append(result.pts_seconds)
        self._reused += result.reused
        for face in result.faces:
            self._add_face(face)
        self._first.append(len(self._ids))

    def _add_face(self, face: Face) -> None:
        self._boxes.extend(face.box_xyxy)
        self._scores.append(face.score)
        self._ids.append(face.track_id)
        self._filled.append(face.state is FaceState.FILLED)

    def columns(self, last_seconds: float | None) -> EpisodeColumns:
        seconds = np.array(self._seconds, np.float64)
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4)
        scores, is_filled = np.array(self._scores, np.float32), np.array(self._filled, np.bool_)
        first = np.array(self._first, np.int64)
        shown = _shown_seconds(seconds, last_seconds)
        ids, appearance, track = np.unique(np.array(self._ids, np.int64), return_index=True, return_inverse=True)
        order = np.argsort(appearance, kind="stable")
        row_of = np.empty_like(order)
        row_of[order] = np.arange(len(order))
        track = row_of[track] if len(order) else track.astype(np.int64)
        row = np.repeat(np.arange(len(seconds)), np.diff(first))
        rows = _track_rows(ids[order], track, row, shown, boxes, scores, is_filled)
        shots = tuple(self._shots)
        return EpisodeColumns(seconds, shown, first, boxes, scores, track, is_filled, shots, self._reused, rows)


def _shown_seconds(seconds: NDArray[np.float64], last: float | None) -> NDArray[np.float64]:
    """float64 [F]: how long each frame is shown; the last one for ``last``, or the median of all if it is None."""
    steps = np.maximum(np.diff(seconds), 0.0)
    if last is None:
        last = float(np.median(steps)) if len(steps) else _USUAL_FRAME_SECONDS
    return np.append(steps, last)[: len(seconds)]


def _track_rows(
    ids: NDArray[np.int64],
    track: NDArray[np.int64],
    row: NDArray[np.int64],
    shown: NDArray[np.float64],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    is_filled: NDArray[np.bool_],
) -> tuple[TrackRow, ...]:
    order = np.argsort(track, kind="stable")
    ends = np.searchsorted(track[order], np.arange(len(ids) + 1))
    sizes = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1, dtype=np.float64))
    found = []
    for number, track_id in enumerate(ids):
        faces = order[ends[number] : ends[number + 1]]
        rows = row[faces]
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        spans = tuple((int(part[0]), int(part[-1])) for part in np.split(rows, breaks))
        filled, seconds = int(is_filled[faces].sum()), float(shown[rows].sum())
        size, score = float(np.median(sizes[faces])), float(scores[faces].mean(dtype=np.float64))
        best = float(scores[faces].max())
        found.append(TrackRow(int(track_id), spans, len(faces), filled, seconds, size, score, best))
    return tuple(found)


def strip(columns: EpisodeColumns, parts: int = STRIP_PARTS) -> list[float]:
    """Mean number of faces on screen in each of ``parts`` equal parts of the video's time."""
    if len(columns.seconds) == 0:
        return [0.0] * parts
    starts = columns.seconds - columns.seconds[0]
    ends = starts + columns.shown_seconds
    edges = np.linspace(0.0, max(float(ends[-1]), 1e-9), parts + 1)
    total = np.concatenate([[0.0], np.cumsum(columns.counts * columns.shown_seconds)])
    until = np.interp(edges, np.concatenate([starts[:1], ends]), total)
    return [round(float(value), 3) for value in np.diff(until) / np.diff(edges)]
