"""Draws boxes, labels and a caption on an RGB array, in sizes that suit it; imports no other module of the package."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the image
Color = tuple[int, int, int]
Point = tuple[int, int]
Image = NDArray[np.uint8]

_DARK: Color = (16, 16, 16)
_LIGHT: Color = (250, 250, 250)
_CAPITAL = 0.72  # height of a capital of Pillow's font, as a part of its size
_GOLDEN_RATIO = 0.618034  # steps of it round the colour circle keep neighbouring colours apart


def track_color(track_id: int) -> Color:
    """RGB of a track: always the same for an id, and far from the colours of neighbouring ids."""
    value = 1.0 if track_id % 2 else 0.85
    red, green, blue = colorsys.hsv_to_rgb(track_id * _GOLDEN_RATIO % 1.0, 0.75, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_box(image: Image, box_xyxy: Box, color: Color, *, is_dashed: bool = False) -> None:
    """Draw a box with a dark edge, visible on any background, onto ``image``, uint8 [H, W, 3] RGB."""
    x1, y1, x2, y2 = _corners(box_xyxy)
    width = _line_width(image)
    sides = (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1)))
    if is_dashed:
        for start, end in sides:
            _draw_dashes(image, start, end, color, max(1, width // 2 + 1))
        return
    for stroke, ink in ((width + 2, _DARK), (width, color)):
        for start, end in sides:
            _draw_stroke(image, start, end, ink, stroke)


def draw_label(image: Image, box_xyxy: Box, text: str, color: Color) -> None:
    """Draw ``text`` on a strip of ``color`` above a box, or inside it at the upper edge of ``image``."""
    x1, y1, _, _ = _corners(box_xyxy)
    text_height = _text_height(image)
    text_width, pad = _text_mask(text, text_height).shape[1], _pad(text_height)
    height, width = image.shape[:2]
    left = min(max(x1, 0), max(0, width - text_width - 2 * pad))
    top = y1 - text_height - 2 * pad
    if top < 0:
        top = min(max(y1, 0), height - text_height - 2 * pad)
    _fill(image, (left, top, left + text_width + 2 * pad, top + text_height + 2 * pad), color)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    _draw_text(image, text, (top + pad, left + pad), text_height, _DARK if luminance > 110 else _LIGHT)


def draw_caption(image: Image, text: str) -> None:
    """Draw ``text`` in the upper left corner of ``image``, on a strip that is darker and still transparent."""
    height = _text_height(image)
    pad = _pad(height)
    strip = image[: height + 3 * pad, : _text_mask(text, height).shape[1] + 3 * pad]
    strip //= 3
    _draw_text(image, text, (pad + pad // 2, pad + pad // 2), height, _LIGHT)


def _corners(box_xyxy: Box) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = map(round, box_xyxy)
    return x1, y1, x2, y2


def _short_side(image: Image) -> int:
    return int(min(image.shape[:2]))


def _line_width(image: Image) -> int:
    return max(2, round(_short_side(image) / 270))


def _draw_dashes(image: Image, start: Point, end: Point, color: Color, width: int) -> None:
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    dashes = max(1, min(200, length // (width * 10)))
    stops = np.linspace(start, end, dashes * 2 + 1).round().astype(int).tolist()
    _draw_stroke(image, start, end, _DARK, width)
    for index in range(0, dashes * 2, 2):
        _draw_stroke(image, stops[index], stops[index + 1], color, width)


def _draw_stroke(image: Image, start: Point, end: Point, ink: Color, width: int) -> None:
    """A line along a row or a column, and half its width further at both ends."""
    (left, right), (top, bottom) = (sorted(values) for values in zip(start, end, strict=True))
    _fill(image, (left - width // 2, top - width // 2, right - width // 2 + width, bottom - width // 2 + width), ink)


def _fill(image: Image, area: tuple[int, int, int, int], ink: Color) -> None:
    """Fill x1, y1 (within) to x2, y2 (outside); what lies beyond the picture is left out."""
    x1, y1, x2, y2 = (max(0, side) for side in area)
    image[y1:y2, x1:x2] = ink


def _text_height(image: Image) -> int:
    return max(10, round(_short_side(image) / 45))


def _pad(text_height: int) -> int:
    """Room around a text, pixels."""
    return max(2, text_height // 3)


@lru_cache(maxsize=1024)
def _text_mask(text: str, height: int) -> NDArray[np.float32]:
    """How much of each pixel ``text`` covers: float32 [H, W, 1] in [0, 1].

    Args:
        text: one line.
        height: of a capital, pixels; the baseline is so far below the first row, and descenders lie below it.
    """
    font = _font(height)
    _, _, width, descent = font.getbbox(text, anchor="ls")
    drawn = PilImage.new("L", (round(width) + 1, height + max(0, round(descent)) + 1))
    ImageDraw.Draw(drawn).text((0, height), text, 255, font, anchor="ls")
    mask: NDArray[np.float32] = np.asarray(drawn, np.float32)[:, :, None] / np.float32(255)
    return mask


@lru_cache(maxsize=16)
def _font(height: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(height / _CAPITAL)
    assert isinstance(font, ImageFont.FreeTypeFont)  # every wheel of Pillow has FreeType
    return font


def _draw_text(image: Image, text: str, place: Point, height: int, ink: Color) -> None:
    """Write ``text`` with its first capital's top left corner at ``place``, (y, x); what lies outside is left out."""
    mask = _text_mask(text, height)
    top, left = (max(0, -side) for side in place)
    y, x = (max(0, side) for side in place)
    part = image[y : y + max(0, mask.shape[0] - top), x : x + max(0, mask.shape[1] - left)]
    cover = mask[top : top + part.shape[0], left : left + part.shape[1]]
    part[:] = (part * (1 - cover) + np.array(ink, np.float32) * cover + 0.5).astype(np.uint8)
