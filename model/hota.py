"""HOTA: detection and association quality of tracks in one figure, both weighted alike.

Source: Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 129, 2021: equations
5 to 10 for DetA, AssA and HOTA, and section 5.3 for the matching.

The tests compare it with TrackEval. TrackEval is not used here, because `make demo` runs ``acfd_stream.model.scoring``
with the base install, and TrackEval requires the OpenCV build with windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

THRESHOLDS = tuple(step / 20 for step in range(1, 20))  # least IoU of a pair: 0.05, 0.10 … 0.95
_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class FramePair:
    """The truth and the result of one frame."""

    names: Sequence[int]  # [N] truth ids, none twice
    tracks: Sequence[int]  # [M] track ids, none twice
    iou: Floats  # [N, M]


@dataclass(frozen=True, slots=True)
class Hota:
    """Means over ``THRESHOLDS``, each in [0, 1]; 1 when there is neither truth nor result."""

    hota: float = 1.0
    detection: float = 1.0  # DetA: matched pairs of all faces and boxes
    association: float = 1.0  # AssA: of a matched pair's two ids, the frames in which they are matched of all theirs


def hota_of(frames: Sequence[FramePair]) -> Hota:
    """HOTA over ``frames``."""
    names = sorted({name for frame in frames for name in frame.names})
    tracks = sorted({track for frame in frames for track in frame.tracks})
    if not names and not tracks:
        return Hota()
    placed = [
        (np.searchsorted(names, frame.names).astype(int), np.searchsorted(tracks, frame.tracks).astype(int), frame.iou)
        for frame in frames
    ]
    sizes = _sizes(placed, len(names), len(tracks))
    pairs, iou = _matched(placed, _alignment(placed, sizes))
    figures = np.array([_at_threshold(pairs[iou >= least - _ROUNDING], sizes) for least in THRESHOLDS])
    return Hota(*(float(mean) for mean in figures.mean(0)))


_Placed = list[tuple[Indices, Indices, Floats]]  # a frame's ids as rows and columns of the clip's tables


def _sizes(placed: _Placed, names: int, tracks: int) -> tuple[Floats, Floats]:
    """Number of frames of each truth id [N, 1] and each track [1, M]."""
    rows = np.concatenate([rows for rows, _, _ in placed])
    columns = np.concatenate([columns for _, columns, _ in placed])
    return (
        np.bincount(rows, minlength=names).astype(float)[:, None],
        np.bincount(columns, minlength=tracks).astype(float)[None, :],
    )


def _alignment(placed: _Placed, sizes: tuple[Floats, Floats]) -> Floats:
    """Jaccard index [N, M] of each truth id and track over the whole clip, for all thresholds."""
    shared = np.zeros((len(sizes[0]), sizes[1].shape[1]))
    for rows, columns, iou in placed:
        union = iou.sum(0)[None, :] + iou.sum(1)[:, None] - iou
        shared[np.ix_(rows, columns)] += np.divide(iou, union, out=np.zeros_like(iou), where=union > _ROUNDING)
    return shared / (sizes[0] + sizes[1] - shared)


def _matched(placed: _Placed, alignment: Floats) -> tuple[Indices, Floats]:
    """Row and column of every matched pair [P, 2] and their IoU [P], by frame."""
    pairs, ious = [np.zeros((0, 2), int)], [np.zeros(0)]
    for rows, columns, iou in placed:
        chosen = linear_sum_assignment(alignment[np.ix_(rows, columns)] * iou, maximize=True)
        pairs.append(np.stack([rows[chosen[0]], columns[chosen[1]]], axis=1))
        ious.append(iou[chosen])
    return np.concatenate(pairs), np.concatenate(ious)


def _at_threshold(pairs: Indices, sizes: tuple[Floats, Floats]) -> tuple[float, float, float]:
    """HOTA, DetA and AssA of the pairs that overlap enough."""
    together = np.zeros((len(sizes[0]), sizes[1].shape[1]))
    np.add.at(together, (pairs[:, 0], pairs[:, 1]), 1.0)
    hits = len(pairs)
    detection = hits / (float(sizes[0].sum() + sizes[1].sum()) - hits)
    association = float((together * together / (sizes[0] + sizes[1] - together)).sum()) / max(1, hits)
    return float(np.sqrt(detection * association)), detection, association
