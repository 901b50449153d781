"""What scenery is drawn with: a canvas, a source of chance, a style and the width of outlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, Color, ellipse
from .palette import Style


@dataclass(frozen=True, slots=True)
class Brush:
    """Draws in pixels of the canvas; ``line`` arguments count in widths of the brush's own outline."""

    canvas: Canvas
    rng: np.random.Generator
    style: Style
    line: float  # outline, pixels; 0 draws none

    def shape(self, points: object, color: Color, line: float = 1.0, plain: bool = False) -> None:
        """Fill and outline a polygon; ``plain`` leaves out the shading."""
        self.style.shape(self.canvas, np.asarray(points, np.float64), color, self.line * line, plain)

    def disc(
        self, x: float, y: float, rx: float, ry: float, color: Color, line: float = 1.0, *,
        count: int = 28, power: float = 2.0, plain: bool = False,
    ) -> None:  # fmt: skip
        """Fill and outline an ellipse; ``power`` above 2 makes it boxier."""
        self.shape(ellipse(x, y, rx, ry, count, power), color, line, plain)

    def fill(self, points: object, color: Color) -> None:
        """Fill a polygon with the style's tone of ``color``, without outline."""
        self.canvas.fill(np.asarray(points, np.float64), self.style.tone(color))
