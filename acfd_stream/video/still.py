"""Decodes a PNG, JPEG or WebP to RGB; its size is checked before a pixel is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import MediaError
from acfd_stream.video.decode_image import decode_image

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_IHDR_BYTES, _CHUNK_BYTES = 13, 12  # of the content; of a chunk without content
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # one that a length follows, or that ends the header
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the headers that give the size
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_JPEG_BARE = {0xD8, _JPEG_END}  # that no length follows
_JPEG_SCANS = {*_JPEG_BARE, _JPEG_SCAN}  # the scans begin, or the picture ends


MOST_SCANS = 64
"""Most scans of a JPEG: encoders make up to about 15, and a decoder goes through the whole picture in each."""
MOST_SEGMENTS, MOST_CHUNKS = 4096, 2**16
"""Most segments of a JPEG and chunks of a PNG: usual files have one for 64 KiB and 8 KiB, and each takes time."""
DECODING_BYTES = 13
"""Most bytes of memory for each pixel while it is decoded: of a progressive JPEG in CMYK."""


def decode_still(data: bytes, most_pixels: int) -> NDArray[np.uint8]:
    """The picture in ``data``, rotated by its EXIF: uint8 [H, W, 3] RGB.

    Raises:
        MediaError: it is no PNG, JPEG or WebP, damaged, or of more than ``most_pixels``.
    """
    decoding_bytes(data, most_pixels)
    try:
        return decode_image(data, still_size(data))
    except MediaError as error:
        raise MediaError("cannot be decoded: it is damaged or cut off") from error


def decoding_bytes(data: bytes, most_pixels: int) -> int:
    """Most bytes of memory that ``decode_still`` takes.

    Raises:
        MediaError: it is no PNG, JPEG or WebP, of more than ``most_pixels``, or of too many scans, segments or chunks.
    """
    size = still_size(data)
    if size is None:
        raise MediaError("is no PNG, JPEG or WebP picture, or only the beginning of one")
    if size[0] * size[1] > most_pixels:
        raise MediaError(f"its {size[1]}×{size[0]} pixels are above the limit of {most_pixels}; scale it down")
    if data.startswith(_JPEG) and _has_too_many_parts(data):
        most = f"{MOST_SCANS} scans or {MOST_SEGMENTS} segments"
        raise MediaError(f"has more than {most}, each of which takes time; save it again as another JPEG")
    return DECODING_BYTES * size[0] * size[1]


def still_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) from the header that the decoder of a PNG, JPEG or WebP believes; None if there is none."""
    try:
        if data.startswith(_PNG):
            width, height = _png_size(data)
        elif data.startswith(_JPEG):
            height, width = _jpeg_size(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            width, height = _webp_size(data)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return (height, width) if height and width else None


def _png_size(data: bytes) -> tuple[int, int]:
    """Width and height; zeros where another chunk than IHDR is first, one is cut off, or there are too many.

    There are decoders that take as much memory for a chunk as its length says, before they read the chunk.
    """
    length, kind, width, height = struct.unpack_from(">I4sII", data, len(_PNG))
    is_whole, place, chunks = (length, kind) == (_IHDR_BYTES, b"IHDR"), len(_PNG), 0
    while is_whole and place + _CHUNK_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        chunks += 1
        is_whole = length <= len(data) and chunks <= MOST_CHUNKS
        place = place + _CHUNK_BYTES + length if kind != b"IEND" else len(data)
    return (width, height) if is_whole else (0, 0)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width in the first frame header, found as libjpeg finds it; zeros if there is none before the scans.

    Between segments libjpeg skips whatever is no marker, and a second frame header is an error.

    Source: ISO/IEC 10918-1, B.1.1.2; ``next_marker`` of jdmarker.c in libjpeg.
    """
    for marker, place in islice(_jpeg_markers(data), MOST_SEGMENTS):
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return height, width
        if marker in _JPEG_SCANS:
            break
    return 0, 0


def _has_too_many_parts(data: bytes) -> bool:
    scans = 0
    for number, (marker, _) in enumerate(_jpeg_markers(data)):
        if marker == _JPEG_END:
            break
        scans += marker == _JPEG_SCAN
        if scans > MOST_SCANS or number >= MOST_SEGMENTS:
            return True
    return False


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Each marker and the place behind it; the bytes between segments are passed over as libjpeg does."""
    place = 2
    while (found := _JPEG_MARKER.search(data, place)) is not None:
        marker, place = data[found.end() - 1], found.end()
        yield marker, place
        if place + 2 > len(data):
            return
        place += 0 if marker in _JPEG_BARE else max(2, struct.unpack_from(">H", data, place)[0])


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
