"""Tells an animated picture by its header; imports nothing, so that ``detect`` of a picture loads no video reader."""

from __future__ import annotations

_PNG = b"\x89PNG\r\n\x1a\n"
_WEBP_ANIMATION = 2
_GIF_PICTURE = b"\x21\xf9\x04"  # begins the control block of each picture


def is_animated(data: bytes) -> bool:
    """Whether a WebP, PNG, GIF or AVIF holds more than its first picture, by its header."""
    if data.startswith(b"RIFF") and data[8:16] == b"WEBPVP8X":
        return bool(data[20] & _WEBP_ANIMATION)
    if data.startswith(_PNG):
        return b"acTL" in data[: data.find(b"IDAT")]
    if data.startswith(b"GIF8"):
        return data.count(_GIF_PICTURE) > 1
    return data[4:12] == b"ftypavis"
