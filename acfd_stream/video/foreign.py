"""Tells that a container of another kind, which is not read, lies behind the end of a video."""

from __future__ import annotations

import re

from acfd_stream.video.boundaries import ENDLESS, signatures
from acfd_stream.video.container import READ_ERRORS
from acfd_stream.video.origin import BytesReader, SeekableFile, sought
from acfd_stream.video.parts import PartsReader

_CHUNK_BYTES, _MOST_BYTES = 2**20, 2**24
_LONGEST_BYTES = 2048  # more than any pattern takes
# Eight packets of 188 or 192 bytes, and the head of a pack with the start code behind it.
_PATTERNS = {
    "mpegts": re.compile(rb"G[^G].{186}(?:G.{187}){7}|G[^G].{190}(?:G.{191}){7}", re.DOTALL),
    "mpeg": re.compile(rb"\0\0\x01\xba(?:[\x40-\x7f].{8}\xf8|[\x20-\x2f].{7})\0\0\x01[\xbb-\xef]", re.DOTALL),
    **signatures(),
}
_NAMES = {"mp4": "MP4", "matroska": "Matroska", "mpegts": "MPEG-TS", "mpeg": "MPEG-PS"}


def container_behind(target: str | BytesReader, container: str, last: int) -> str | None:
    """What lies behind a video that was read to its end, and is a container of another kind, in words.

    Args:
        target: URL or ``file:…`` name; a reader for bytes.
        container: FFmpeg's name of the one that was read.
        last: offset of its last packet.
    """
    begin = last
    if isinstance(target, PartsReader):
        if "mp4" in container and target.known_end == ENDLESS:  # its boxes go to the end
            return None
        begin = last if target.known_end == ENDLESS else max(last, target.known_end)
    elif container not in _PATTERNS:  # its sizes go to the end
        return None
    own = container.split(",")
    patterns = {kind: pattern for kind, pattern in _PATTERNS.items() if kind not in own}
    try:
        with sought(target) as file:
            found = None if file is None else _first(file, begin, patterns)
    except READ_ERRORS:
        return None
    if found is None:
        return None
    kind, offset = found
    return f"{_NAMES.get(kind, kind.upper())} begins at byte {offset}, behind the end of the video, and is not read"


def _first(file: SeekableFile, begin: int, patterns: dict[str, re.Pattern[bytes]]) -> tuple[str, int] | None:
    """Kind and offset of the first container."""
    window = b""
    file.seek(begin)
    for _ in range(_MOST_BYTES // _CHUNK_BYTES):
        data = file.read(_CHUNK_BYTES)
        window = window[-_LONGEST_BYTES:] + data
        found = [(match.start(), kind) for kind, pattern in patterns.items() if (match := pattern.search(window))]
        begin += len(data)
        if found:
            start, kind = min(found)
            return kind, begin - len(window) + start
        if not data:
            break
    return None
