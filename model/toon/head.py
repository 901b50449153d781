"""The geometry of a head: its outline under any turn, and its points in pixels."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Color, Points, ellipse, smooth
from .design import Design, Pose

_LEVELS = np.array([-0.82, -0.36, 0.1, 0.56, 0.88])
_PROFILE_FRONT = np.array([0.95, 0.92, 0.88, 1.08, 2.1])  # times the front view's half width
_PROFILE_BACK = np.array([1.1, 1.16, 0.98, 0.5, -0.55])


class Head:
    """A head under a pose: from head space (half head heights, origin in its middle) to pixels."""

    def __init__(self, design: Design, pose: Pose, centre: tuple[float, float], unit: float) -> None:
        self.design, self.pose, self.unit = design, pose, unit
        self.style = design.style
        self.centre = np.asarray(centre, np.float64)
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        self._turn = np.array([[cos, sin], [-sin, cos]])
        self.line_width = self.style.line_width * unit
        self.drop = float(np.clip(pose.pitch, -0.6, 0.6)) * 0.35
        side = np.abs(np.sin(pose.yaw)) ** 1.5
        front = design.head * (1 - side + side * _PROFILE_FRONT)
        front[4] = min(front[4], 0.96 * front[3])  # the chin is narrower than the jaw
        back = design.head * (1 - side + side * _PROFILE_BACK)
        self.right, self.left = (front, back) if np.sin(pose.yaw) >= 0 else (back, front)
        self.outline = self._outline()

    def _outline(self) -> Points:
        chin = (0.42 * self.right[4], 0.42 * self.left[4])
        right = np.stack([self.right, _LEVELS], 1)
        left = np.stack([-self.left, _LEVELS], 1)[::-1]
        middle = (right[4, 0] + left[0, 0]) / 2
        bottom = [(middle + abs(chin[0]), 1.0), (middle - abs(chin[1]), 1.0)]
        top = (self.right[0] - self.left[0]) * 0.25
        return smooth(np.concatenate([[(top, -1.0)], right, bottom, left]), steps=5)

    @property
    def is_back(self) -> bool:
        """Whether the face is turned away."""
        return bool(np.cos(self.pose.yaw) < -0.25)

    def px(self, points: object) -> Points:
        """Pixels of points in head space."""
        return np.asarray(points, np.float64) @ self._turn * self.unit + self.centre

    def reach(self, y: float, is_right: bool) -> float:
        """Half width of the head at height ``y`` on one side."""
        widths = self.right if is_right else self.left
        levels = np.concatenate([[-1.0], _LEVELS, [1.0]])
        return float(np.interp(y, levels, np.concatenate([[widths[0] * 0.55], widths, [widths[4] * 0.6]])))

    def at(self, lon: float, y: float, out: float = 0.0) -> tuple[float, float, float]:
        """x, y in head space, and how far it faces the camera (1 … -1), of a point ``out`` above the skin."""
        angle = lon + self.pose.yaw
        y = y + self.drop * np.cos(angle)
        sin = float(np.sin(angle))
        return (self.reach(y, sin >= 0) + out) * sin, float(y), float(np.cos(angle))

    def region(self) -> Points:
        """Pixels of the face without the back of the head: brow to chin, cheek to cheek."""
        points = self.outline.copy()
        behind = 1.62
        low = self.at(-behind, 0.0)[0] if self.pose.yaw > 0 else -9.0
        high = self.at(behind, 0.0)[0] if self.pose.yaw < 0 else 9.0
        points[:, 0] = np.clip(points[:, 0], low, high)
        top = -0.75 if self.design.kind == "human" else -0.97
        points[:, 1] = np.maximum(points[:, 1], top)
        return self.px(points)

    def disc(self, x: float, y: float, rx: float, ry: float, power: float = 2.0) -> Points:
        """Pixels of an ellipse in head space."""
        return self.px(ellipse(x, y, rx, ry, 14 if rx * self.unit < 6 else 28, power))

    def shape(self, canvas: Canvas, points: object, color: Color, line: float = 1.0, plain: bool = False) -> None:
        """Fill and outline a polygon in head space; ``line`` in widths of the head's outline, ``plain``: no shading."""
        self.style.shape(canvas, self.px(points), color, self.line_width * line, plain)

    def draw_disc(
        self, canvas: Canvas, x: float, y: float, rx: float, ry: float, color: Color,
        line: float = 1.0, power: float = 2.0, plain: bool = False,
    ) -> None:  # fmt: skip
        """Fill and outline an ellipse in head space, as ``shape`` does a polygon."""
        self.style.shape(canvas, self.disc(x, y, rx, ry, power), color, self.line_width * line, plain)
