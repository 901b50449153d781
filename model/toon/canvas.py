"""A canvas for anti-aliased shapes, strokes and shading in RGB, with a map of which face owns each pixel.

Every shape also writes its ``tag`` into ``owner``: a face's number where the face is, 0 where anything
else covers it. Boxes and visible shares are computed from it, so the truth is exactly what was drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2
from .shading import ShadeMap

Points = NDArray[np.float64]  # [N, 2] pixels, x then y
Color = tuple[int, int, int]  # RGB 0 … 255

SHIFT = 4  # fractional bits of coordinates handed to OpenCV
_LIMIT = 30000  # OpenCV's fixed-point coordinates overflow far outside the picture


def fixed(points: Points) -> NDArray[np.int32]:
    """``points`` in OpenCV's fixed-point form."""
    return np.round(np.clip(points, -_LIMIT, _LIMIT) * (1 << SHIFT)).astype(np.int32)


def mix(a: Color, b: Color, part: float) -> Color:
    """``a`` moved towards ``b`` by ``part`` in [0, 1]."""
    return tuple(int(one + (other - one) * part) for one, other in zip(a, b, strict=True))


def scaled(color: Color, factor: float) -> Color:
    """``color`` made darker (< 1) or lighter (> 1)."""
    return tuple(min(255, int(part * factor)) for part in color)


def ellipse(cx: float, cy: float, rx: float, ry: float, count: int = 28, power: float = 2.0) -> Points:
    """Points of an ellipse; ``power`` above 2 makes it boxier, below 2 more pointed."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    if power != 2.0:
        cos = np.sign(cos) * np.abs(cos) ** (2 / power)
        sin = np.sign(sin) * np.abs(sin) ** (2 / power)
    return np.stack([cx + rx * cos, cy + ry * sin], 1)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Points:
    """Corners of an upright rectangle."""
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)


def smooth(points: Any, closed: bool = True, steps: int = 5) -> Points:
    """A Catmull-Rom curve through ``points``."""
    p = np.asarray(points, np.float64)
    if closed:
        before, after, last = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
        start = p
    else:
        padded = np.concatenate([p[:1], p, p[-1:]])
        before, start, after, last = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (q[:, None, :] for q in (before, start, after, last))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


class Canvas:
    """A picture being drawn. Later shapes cover earlier ones."""

    def __init__(self, size: tuple[int, int], color: Color = (255, 255, 255)) -> None:
        self.pixels: NDArray[np.uint8] = np.empty((*size, 3), np.uint8)
        if len(set(color)) == 1:
            self.pixels.fill(color[0])  # several times as fast
        else:
            self.pixels[:] = np.asarray(color, np.uint8)
        self.owner: NDArray[np.uint8] = np.zeros(size, np.uint8)
        self.tag: int | None = 0  # written into owner by every shape; None leaves owner alone

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def fill(self, points: Points, color: Color) -> None:
        """Fill the polygon with one colour."""
        whole = fixed(points)
        cv2.fillPoly(self.pixels, [whole], color, cv2.LINE_AA, SHIFT)
        if self.tag is not None:
            cv2.fillPoly(self.owner, [whole], self.tag, cv2.LINE_8, SHIFT)

    def claim(self, points: Points, tag: int) -> None:
        """Mark the pixels of the polygon as face ``tag``; draws nothing."""
        cv2.fillPoly(self.owner, [fixed(points)], tag, cv2.LINE_8, SHIFT)

    def stroke(self, points: Points, color: Color, width: float, closed: bool = False) -> None:
        """A line of one width with round ends; a width under 0.4 pixels draws nothing."""
        if width < 0.4:
            return
        thickness = max(1, round(width))
        cv2.polylines(self.pixels, [fixed(points)], closed, color, thickness, cv2.LINE_AA, SHIFT)

    def limb(self, points: Points, color: Color, width: float, line: Color | None, line_width: float) -> None:
        """A thick tube (arm, leg, tail, noodle), outlined when ``line`` is a colour."""
        whole = fixed(points)
        if line is not None and line_width >= 0.4:
            outer = max(1, round(width + 2 * line_width))
            cv2.polylines(self.pixels, [whole], False, line, outer, cv2.LINE_AA, SHIFT)
        thickness = max(1, round(width))
        cv2.polylines(self.pixels, [whole], False, color, thickness, cv2.LINE_AA, SHIFT)
        if self.tag is not None:
            cv2.polylines(self.owner, [whole], False, self.tag, thickness, cv2.LINE_8, SHIFT)

    def taper(self, points: Points, color: Color, width: float, ends: tuple[float, float] = (0.1, 0.1)) -> None:
        """A brush stroke: ``width`` in the middle, ``ends`` of it at both ends."""
        along = np.gradient(points, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], 1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        part = np.linspace(0, 1, len(points))
        swell = np.sin(np.pi * part)
        half = width / 2 * (swell + (1 - swell) * np.where(part < 0.5, ends[0], ends[1]))
        half = np.maximum(half, 0.35)[:, None]
        body = np.concatenate([points + normal * half, (points - normal * half)[::-1]])
        cv2.fillPoly(self.pixels, [fixed(body)], color, cv2.LINE_AA, SHIFT)

    def paint(self, points: Points, color: Color, shade: ShadeMap) -> None:
        """Fill the polygon with ``color`` times a shading map that spans its bounding box."""
        height, width = self.size
        margin = 2
        x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
        x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + margin, (width, height))
        if x1 - x0 < 1 or y1 - y0 < 1:
            return
        local = fixed(points - (x0, y0))
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [local], 255, cv2.LINE_AA, SHIFT)
        light = shade(points - (x0, y0), mask)  # float32 [h, w], 1 = the colour itself
        weight = mask.astype(np.float32) * np.float32(1 / 255)
        source = np.clip(light[..., None] * np.asarray(color, np.float32), 0, 255).astype(np.uint8)
        roi = self.pixels[y0:y1, x0:x1]
        roi[:] = cv2.blendLinear(source, np.ascontiguousarray(roi), weight, np.float32(1) - weight)
        if self.tag is not None:
            self.owner[y0:y1, x0:x1][mask > 127] = self.tag
