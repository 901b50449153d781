"""Predicts the next box of each live track: constant velocity, all tracks in one step.

Centre and size move independently, so the covariance of a track is four 2×2 blocks (value,
velocity) and every step is plain arithmetic on [T, 4] arrays.

Source: noise relative to the box size as in SORT's successors (ByteTrack, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream import stored

DoubleArray = NDArray[np.float64]

POSITION_NOISE = 0.05
"""Standard deviation of a measured value and of a step, in box sizes."""
VELOCITY_NOISE = 0.06
"""Standard deviation of a change of velocity, in box sizes per drawing."""
FIRST_VELOCITY_NOISE = 0.5
"""Standard deviation of the unknown velocity of a new track, in box sizes per drawing."""
VELOCITY_DECAY = 0.98
"""Factor of a velocity per drawing: a face without detections comes to rest."""
_MOST_VARIANCE = 1e15  # far above that of any box
_FIELDS = {  # with the least and the greatest value that a stored state may have
    "value": (-stored.MOST_PIXELS, stored.MOST_PIXELS),
    "velocity": (-stored.MOST_PIXELS, stored.MOST_PIXELS),
    "var_value": (0.0, _MOST_VARIANCE),
    "covariance": (-_MOST_VARIANCE, _MOST_VARIANCE),
    "var_velocity": (-_MOST_VARIANCE, _MOST_VARIANCE),
}


def to_center(boxes_xyxy: DoubleArray) -> DoubleArray:
    """[N, 4] centre x, centre y, width, height of [N, 4] corners."""
    size = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.concatenate([boxes_xyxy[:, :2] + size / 2, size], axis=1)


def to_corners(boxes_cxcywh: DoubleArray) -> DoubleArray:
    """[N, 4] corners of [N, 4] centre x, centre y, width, height."""
    half = boxes_cxcywh[:, 2:] / 2
    return np.concatenate([boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half], axis=1)


class KalmanBank:
    """The motion of T tracks, one per row, in the order in which they were added."""

    def __init__(self) -> None:
        self._rows: dict[str, DoubleArray] = {name: np.zeros((0, 4)) for name in _FIELDS}

    def __len__(self) -> int:
        return len(self._rows["value"])

    @property
    def boxes_xyxy(self) -> DoubleArray:
        """Boxes now, float64 [T, 4], pixels; at least one pixel wide and high."""
        return _corners(self._rows["value"])

    @property
    def next_boxes_xyxy(self) -> DoubleArray:
        """Boxes in the next drawing, float64 [T, 4], pixels; at least one pixel wide and high."""
        return _corners(self._rows["value"] + self._rows["velocity"])

    @property
    def velocities(self) -> DoubleArray:
        """Predicted change per drawing of centre x, centre y, width, height, float64 [T, 4], pixels."""
        return self._rows["velocity"].copy()

    def add(self, boxes_xyxy: DoubleArray) -> None:
        """Append a resting track for each of the boxes, float64 [N, 4], pixels."""
        value = to_center(boxes_xyxy)
        size = _sizes(value)
        fresh = {
            "value": value,
            "velocity": np.zeros_like(value),
            "var_value": np.repeat((2 * POSITION_NOISE * size) ** 2, 4, axis=1),
            "covariance": np.zeros_like(value),
            "var_velocity": np.repeat((FIRST_VELOCITY_NOISE * size) ** 2, 4, axis=1),
        }
        self._rows = {name: np.concatenate([self._rows[name], fresh[name]]) for name in _FIELDS}

    def predict(self, indices: NDArray[np.int64]) -> None:
        """Advance the rows ``indices`` ([M]) by one drawing."""
        rows = {name: values[indices] for name, values in self._rows.items()}
        size = _sizes(rows["value"])
        spread = rows["covariance"] + rows["var_velocity"]
        moved = {
            "value": rows["value"] + rows["velocity"],
            "velocity": rows["velocity"] * VELOCITY_DECAY,
            "var_value": rows["var_value"] + rows["covariance"] + spread + (POSITION_NOISE * size) ** 2,
            "covariance": spread * VELOCITY_DECAY,
            "var_velocity": rows["var_velocity"] * VELOCITY_DECAY**2 + (VELOCITY_NOISE * size) ** 2,
        }
        for name, values in moved.items():
            self._rows[name][indices] = values

    def update(self, indices: NDArray[np.int64], boxes_xyxy: DoubleArray) -> None:
        """Correct the rows ``indices`` ([M]) with their detections, float64 [M, 4], pixels."""
        rows = self._rows
        seen = to_center(boxes_xyxy)
        surprise = seen - rows["value"][indices]
        variance = rows["var_value"][indices]
        covariance = rows["covariance"][indices]
        total = variance + (POSITION_NOISE * _sizes(seen)) ** 2
        rows["value"][indices] += variance / total * surprise
        rows["velocity"][indices] += covariance / total * surprise
        rows["var_velocity"][indices] -= covariance**2 / total
        rows["covariance"][indices] -= variance * covariance / total
        rows["var_value"][indices] -= variance**2 / total

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Drop the rows where ``is_kept`` ([T]) is False."""
        self._rows = {name: values[is_kept] for name, values in self._rows.items()}

    def state(self) -> dict[str, Any]:
        """The whole state, as lists of floats."""
        return {name: values.tolist() for name, values in self._rows.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state()`` returned.

        Raises:
            ResumeError: it is damaged.
        """
        stored.fields(state, "motion", *_FIELDS)
        self._rows = {name: _restored(state[name], f"motion.{name}", *bounds) for name, bounds in _FIELDS.items()}
        stored.same_count("motion", *self._rows.values())


def _restored(rows: Any, name: str, least: float, most: float) -> DoubleArray:
    values = [
        [stored.real(value, name, least, most) for value in stored.items(row, name, 4, 4)]
        for row in stored.items(rows, name, stored.MOST_ITEMS)
    ]
    return np.array(values, np.float64).reshape(-1, 4)


def _corners(boxes_cxcywh: DoubleArray) -> DoubleArray:
    value = boxes_cxcywh.copy()
    value[:, 2:] = np.maximum(value[:, 2:], 1.0)
    return to_corners(value)


def _sizes(boxes_cxcywh: DoubleArray) -> DoubleArray:
    """[N, 1] side of the square of the same area, at least a pixel."""
    sides = np.maximum(boxes_cxcywh[:, 2:], 1.0)
    return np.asarray(np.sqrt(sides[:, :1] * sides[:, 1:]))
