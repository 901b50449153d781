"""Whether the bytes of a video end before the size that its container declares at its beginning."""

from __future__ import annotations

import os
from pathlib import Path

from acfd_stream.video.origin import BytesReader, SeekableReader

HEAD_BYTES = 64
"""Bytes at the beginning that are looked at."""
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_RIFF = (b"RIFF", b"RIFX")
_OPEN_LENGTH = 0xFFFFFFF0  # a recording that was not ended
_FILE = "file:"


def is_cut_off(target: str | BytesReader) -> bool:
    """Whether Matroska, WebM or AVI declares more bytes than there are; after all was read.

    False as well where that is not known: other containers, a URL, a size that a live recording left open.
    """
    try:
        head, size = _head_and_size(target)
    except (OSError, ValueError):
        return False
    declared = declared_bytes(head)
    return declared is not None and size < declared


def declared_bytes(head: bytes) -> int | None:
    """Size of the outermost element, with its header, from the first ``HEAD_BYTES`` of a file; None: not declared.

    Source: RFC 8794 (EBML), 4 and 5; Microsoft, AVI RIFF File Reference.
    """
    if head[:4] in _RIFF and len(head) >= 8:
        riff = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        return 8 + riff if riff < _OPEN_LENGTH else None
    if head[:4] != _EBML:
        return None
    size, place = _element_size(head, 4)
    if size is None or head[place + size : place + size + 4] != _SEGMENT:
        return None
    length, place = _element_size(head, place + size + 4)
    return None if length is None else place + length


def _element_size(data: bytes, place: int) -> tuple[int | None, int]:
    """The size at ``place``, None if it is open or not there, and the place behind it."""
    first = data[place] if place < len(data) else 0
    width = 9 - first.bit_length()
    field = data[place : place + width]
    if first == 0 or len(field) < width:
        return None, place
    mask = (1 << 7 * width) - 1
    value = int.from_bytes(field, "big") & mask
    return None if value == mask else value, place + width


def _head_and_size(target: str | BytesReader) -> tuple[bytes, int]:
    if isinstance(target, SeekableReader):
        before = target.tell()
        target.seek(0)
        head, size = target.read(HEAD_BYTES), target.seek(0, os.SEEK_END)
        target.seek(before)
        return head, size
    if isinstance(target, BytesReader):
        return target.head, target.count
    if not target.startswith(_FILE):
        return b"", 0
    path = Path(target.removeprefix(_FILE))
    with path.open("rb") as file:
        return file.read(HEAD_BYTES), path.stat().st_size
