"""Draws boxes, labels and a caption on an RGB array, in sizes that suit it; imports no other module of the package."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the image
Color = tuple[int, int, int]
Image = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_DUPLEX
_DARK: Color = (16, 16, 16)
_LIGHT: Color = (250, 250, 250)
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
    if is_dashed:
        for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
            _draw_dashes(image, start, end, color, max(1, width // 2 + 1))
        return
    cv2.rectangle(image, (x1, y1), (x2, y2), _DARK, width + 2, cv2.LINE_AA)
    cv2.rectangle(image, (x1, y1), (x2, y2), color, width, cv2.LINE_AA)


def draw_label(image: Image, box_xyxy: Box, text: str, color: Color) -> None:
    """Draw ``text`` on a strip of ``color`` above a box, or inside it at the upper edge of ``image``."""
    corners = _corners(box_xyxy)
    text_width, text_height, font_scale, pad = _measure(image, text)
    height, width = image.shape[:2]
    left = min(max(corners[0], 0), max(0, width - text_width - 2 * pad))
    top = corners[1] - text_height - 2 * pad
    if top < 0:
        top = min(max(corners[1], 0), height - text_height - 2 * pad)
    right, bottom = left + text_width + 2 * pad, top + text_height + 2 * pad
    cv2.rectangle(image, (left, top), (right, bottom), color, cv2.FILLED)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = _DARK if luminance > 110 else _LIGHT
    cv2.putText(image, text, (left + pad, bottom - pad), _FONT, font_scale, ink, 1, cv2.LINE_AA)


def draw_caption(image: Image, text: str) -> None:
    """Draw ``text`` in the upper left corner of ``image``, on a strip that is darker and still transparent."""
    text_width, text_height, font_scale, pad = _measure(image, text)
    strip = image[: text_height + 3 * pad, : text_width + 3 * pad]
    strip //= 3
    origin = (pad + pad // 2, text_height + pad + pad // 2)
    cv2.putText(image, text, origin, _FONT, font_scale, _LIGHT, 1, cv2.LINE_AA)


def _corners(box_xyxy: Box) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = map(round, box_xyxy)
    return x1, y1, x2, y2


def _short_side(image: Image) -> int:
    return int(min(image.shape[:2]))


def _line_width(image: Image) -> int:
    return max(2, round(_short_side(image) / 270))


def _draw_dashes(image: Image, start: Sequence[int], end: Sequence[int], color: Color, width: int) -> None:
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    dashes = max(1, min(200, length // (width * 10)))
    stops = np.linspace(start, end, dashes * 2 + 1).round().astype(int).tolist()
    cv2.line(image, start, end, _DARK, width, cv2.LINE_AA)
    for index in range(0, dashes * 2, 2):
        cv2.line(image, stops[index], stops[index + 1], color, width, cv2.LINE_AA)


def _text_height(image: Image) -> int:
    return max(10, round(_short_side(image) / 45))


def _measure(image: Image, text: str) -> tuple[int, int, float, int]:
    """Width and height of ``text``, its font scale, and the room around it, pixels."""
    text_height = _text_height(image)
    font_scale = cv2.getFontScaleFromHeight(_FONT, text_height)
    (width, height), _ = cv2.getTextSize(text, _FONT, font_scale, 1)
    return width, height, font_scale, max(2, text_height // 3)
