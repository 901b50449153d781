"""Drawing styles, the colours that go with them, and the brush that draws scenery in a style."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from . import shading
from .canvas import Canvas, Color, Points, ellipse, scaled
from .shading import ShadeMap

KINDS = ("flat", "anime", "rubber", "soft", "line", "book")
_KIND_ODDS = (0.30, 0.28, 0.08, 0.14, 0.08, 0.12)

_HUMAN_SKINS: tuple[Color, ...] = (
    (255, 226, 196), (250, 214, 178), (244, 200, 160), (255, 235, 215), (236, 188, 145), (224, 172, 125),
    (198, 140, 98), (160, 108, 72), (125, 80, 52), (92, 60, 42), (255, 217, 60), (247, 205, 175), (230, 170, 140),
    (240, 190, 150), (250, 225, 205),
)  # fmt: skip
_FURS: tuple[Color, ...] = (
    (150, 100, 60), (110, 75, 50), (205, 160, 100), (240, 225, 200), (90, 90, 95), (150, 150, 155), (235, 140, 50),
    (60, 55, 60), (245, 245, 245), (200, 120, 70), (120, 140, 170), (225, 190, 90),
)  # fmt: skip
_HAIRS: tuple[Color, ...] = (
    (35, 28, 28), (60, 40, 30), (100, 65, 38), (150, 100, 55), (215, 170, 80), (240, 215, 130), (190, 80, 35),
    (120, 120, 125), (225, 225, 225), (25, 25, 40),
)  # fmt: skip


def hsv(hue: float, saturation: float, value: float) -> Color:
    """RGB of a colour given by hue (turns), saturation and value in [0, 1]."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return int(red * 255), int(green * 255), int(blue * 255)


def any_color(rng: np.random.Generator, saturation: tuple[float, float] = (0.2, 0.9)) -> Color:
    """A random colour, rarely grey or black."""
    return hsv(rng.random(), rng.uniform(*saturation), rng.uniform(0.35, 1.0))


def grey(color: Color) -> Color:
    """``color`` in grey, by luminance."""
    level = int(0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2])
    return level, level, level


def jitter(rng: np.random.Generator, color: Color, amount: float = 14.0) -> Color:
    """``color`` moved a little at random."""
    moved = np.clip(np.asarray(color) + rng.normal(0, amount, 3), 0, 255)
    return int(moved[0]), int(moved[1]), int(moved[2])


def skin_color(rng: np.random.Generator, odd: float = 0.14) -> Color:
    """A human skin colour, or with probability ``odd`` any colour."""
    if rng.random() < odd:
        return hsv(rng.random(), rng.uniform(0.15, 0.75), rng.uniform(0.5, 1.0))
    return jitter(rng, _HUMAN_SKINS[rng.integers(len(_HUMAN_SKINS))], 8)


def fur_color(rng: np.random.Generator) -> Color:
    """A colour of fur; one in five is any colour."""
    if rng.random() < 0.2:
        return any_color(rng)
    return jitter(rng, _FURS[rng.integers(len(_FURS))], 10)


def hair_color(rng: np.random.Generator, vivid: float) -> Color:
    """A hair colour; with probability ``vivid`` any bright one."""
    if rng.random() < vivid:
        return hsv(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.4, 1.0))
    return jitter(rng, _HAIRS[rng.integers(len(_HAIRS))], 10)


@dataclass(frozen=True, slots=True)
class Style:
    """How one picture is drawn: outlines, fills and shading."""

    kind: str  # one of KINDS
    line_width: float  # part of a head's half height; 0 draws no outlines
    line_color: Color
    is_line_tinted: bool  # outlines take a dark shade of the fill instead of line_color
    shade: ShadeMap | None  # None: flat
    is_grey: bool = False
    is_unfilled: bool = False  # no fills: white paper

    def tone(self, color: Color) -> Color:
        """``color`` as this style shows it."""
        if self.is_unfilled:
            return (255, 255, 255) if min(color) > 60 else (45, 45, 45)
        return grey(color) if self.is_grey else color

    def line(self, fill: Color) -> Color:
        """The outline colour round a shape filled with ``fill``."""
        return scaled(fill, 0.45) if self.is_line_tinted else self.line_color

    def shape(self, canvas: Canvas, points: Points, color: Color, line_width: float, plain: bool = False) -> None:
        """Fill and outline a polygon; ``line_width`` in pixels, ``plain`` leaves out the shading."""
        color = self.tone(color)
        if self.shade is None or plain or np.ptp(points[:, 0]) < 5:
            canvas.fill(points, color)
        else:
            canvas.paint(points, color, self.shade)
        canvas.stroke(points, self.line(color), line_width, closed=True)


@dataclass(frozen=True, slots=True)
class Brush:
    """Draws scenery in pixels of a canvas; ``line`` arguments count in widths of the brush's own outline."""

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


def random_style(rng: np.random.Generator, kind: str | None = None) -> Style:
    """A style of ``kind``, or of any kind."""
    kind = kind or str(rng.choice(KINDS, p=_KIND_ODDS))
    ink: Color = (15, 12, 14) if rng.random() < 0.7 else hsv(rng.random(), 0.5, 0.25)
    angle = float(rng.uniform(-2.6, -0.5))
    cel = shading.cel(float(rng.uniform(0.05, 0.16)), angle, float(rng.uniform(0.72, 0.88)))
    if kind == "flat":
        return Style(kind, rng.uniform(0.03, 0.085), ink, rng.random() < 0.12, cel if rng.random() < 0.2 else None)
    if kind == "anime":
        return Style(kind, rng.uniform(0.015, 0.035), ink, rng.random() < 0.5, cel if rng.random() < 0.7 else None)
    if kind == "rubber":
        return Style(kind, rng.uniform(0.03, 0.06), (12, 12, 12), False, None, is_grey=rng.random() < 0.75)
    if kind == "soft":
        return Style(kind, 0.0, ink, True, shading.soft)
    if kind == "line":
        return Style(kind, rng.uniform(0.02, 0.05), ink, False, None, is_unfilled=True, is_grey=True)
    paper = shading.texture(int(rng.choice([2, 4, 16, 32])), float(rng.uniform(0.03, 0.08)))
    return Style(kind, rng.uniform(0.0, 0.035), ink, rng.random() < 0.7, paper)
