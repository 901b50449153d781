"""Whether the bytes of a video end before its container does."""

from __future__ import annotations

import os
from pathlib import Path

from av.packet import Packet
from av.video.stream import VideoStream

from acfd_stream.video.ebml import EBML, SEGMENT, element_head
from acfd_stream.video.origin import TAIL_BYTES, BytesReader, SeekableReader
from acfd_stream.video.peek import Peek

HEAD_BYTES = 64
"""Bytes at the beginning that are looked at."""
_RIFF = (b"RIFF", b"RIFX")
_OPEN_LENGTH = 0xFFFFFFF0  # a recording that was not ended
_GIF, _GIF_EXTENSION, _GIF_IMAGE = b"GIF8", 0x21, 0x2C
_OGG_PAGE, _OGG_END = b"OggS\0", 0x04
_FILE = "file:"
_MOST_PADDING = 2**16  # zeros behind a whole file, which fill a block of a tape or a disc
_WITH_LENGTH = ("matroska", "avi")  # whose header says how long the whole is


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


def ends_in_zeros(target: str | BytesReader, container: str) -> bool:
    """Whether Matroska, WebM or AVI ends in zeros, as a download does whose room was taken beforehand."""
    if not any(name in _WITH_LENGTH for name in container.split(",")):
        return False
    tail = Peek(target).end(_MOST_PADDING)
    return len(tail) >= _MOST_PADDING and not any(tail[-_MOST_PADDING:])


def why_unfinished(target: str | BytesReader, container: str, last: Packet[VideoStream]) -> str:
    """Why a GIF, YUV4MPEG2 or Ogg ends too early, in words; "" if it does not; after all was read.

    Args:
        target: URL or ``file:…`` name; a reader for bytes.
        container: FFmpeg's name of it.
        last: the last packet.
    """
    try:
        if container == "gif" and _is_cut_gif(bytes(last)):
            return "the mark of its end is missing"
        if container == "yuv4mpegpipe" and last.pos is not None and _head_and_size(target)[1] > last.pos + last.size:
            return "its last frame is incomplete"
        if container == "ogg" and _is_cut_ogg(Peek(target).end(TAIL_BYTES)):
            return "its last page does not end a stream"
    except (OSError, ValueError):
        pass
    return ""


def _is_cut_gif(data: bytes) -> bool:
    """Whether the blocks from a picture on end without a trailer; False as well where other bytes follow.

    Source: GIF89a, 18 to 27.
    """
    try:
        place = 13 + _color_table(data[10]) if data.startswith(_GIF) else 0
        while data[place] in (_GIF_EXTENSION, _GIF_IMAGE):
            place += 2 if data[place] == _GIF_EXTENSION else 11 + _color_table(data[place + 9])
            while data[place]:  # a sub-block
                place += 1 + data[place]
            place += 1
    except IndexError:
        return True
    return False


def _color_table(flags: int) -> int:
    """Bytes of the table of colours that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _is_cut_ogg(tail: bytes) -> bool:
    """Whether the last page is incomplete or no stream ends with it; False where ``tail`` has no head of a page.

    Source: RFC 3533, 6.
    """
    place = tail.rfind(_OGG_PAGE)
    head = tail[place : place + 27 + 255]
    if place < 0:
        return False
    return len(head) < 27 or not head[5] & _OGG_END or place + 27 + head[26] + sum(head[27 : 27 + head[26]]) > len(tail)


def declared_bytes(head: bytes) -> int | None:
    """Size of the outermost element, with its header, from the first ``HEAD_BYTES`` of a file; None: not declared.

    Source: for AVI Microsoft, AVI RIFF File Reference.
    """
    if head[:4] in _RIFF and len(head) >= 8:
        riff = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        return 8 + riff if riff < _OPEN_LENGTH else None
    first = element_head(head)
    if first is None or first.id != EBML or first.size is None:
        return None
    begin = first.length + first.size
    segment = element_head(head, begin)
    if segment is None or segment.id != SEGMENT or segment.size is None:
        return None
    return begin + segment.length + segment.size


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
