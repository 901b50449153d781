"""Decodes a PNG, JPEG or WebP to RGB; its size is checked before a pixel is decoded."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import MediaError

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the headers that give the size


def decode_still(data: bytes, most_pixels: int) -> NDArray[np.uint8]:
    """The picture in ``data``, rotated by its EXIF: uint8 [H, W, 3] RGB.

    Raises:
        MediaError: it is no PNG, JPEG or WebP, damaged, or of more than ``most_pixels``.
    """
    size = still_size(data)
    if size is None:
        raise MediaError("is no PNG, JPEG or WebP picture, or only the beginning of one")
    if size[0] * size[1] > most_pixels:
        raise MediaError(f"its {size[1]}×{size[0]} pixels are above the limit of {most_pixels}; scale it down")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise MediaError(f"cannot be decoded: {error.err}") from error
    if image is None:
        raise MediaError("cannot be decoded: it is damaged or cut off")
    return np.ascontiguousarray(image, np.uint8)


def still_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) from the header of a PNG, JPEG or WebP; None if there is none."""
    try:
        if data.startswith(_PNG):
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            width, height = _webp_size(data)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return height, width


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    offset = 2
    while data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # padding
            offset += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            offset += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, offset + 5)
            return height, width
        else:
            offset += 2 + struct.unpack_from(">H", data, offset + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":  # width and height less one, 24 bits each
        low, high = struct.unpack_from("<IH", data, 24)
        return (low & 0xFFFFFF) + 1, (low >> 24 | high << 8) + 1
    if kind == b"VP8L":  # 14 bits each
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
