"""Tells encrypted video by the heads of its container, before it is decoded: a decoder makes smears of it, or nothing.

FFmpeg says it of the packets of Common Encryption only (``encryption_info``). Sources: ISO/IEC 14496-12, 8.12, and
23001-7 (MP4), RFC 9559, 5.1.4.1.31 (Matroska), ISO/IEC 13818-1, 2.4.3 (MPEG streams), RFC 8216, 4.3.2.4 (HLS).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import numpy as np

from acfd_stream.video.boundaries import kind_of
from acfd_stream.video.ebml import CLUSTER, LONGEST_HEAD, SEGMENT, element_head
from acfd_stream.video.peek import Peek
from acfd_stream.video.transport_watch import STRIDES, SYNC

COMMON_ENCRYPTION = "Common Encryption"
_WINDOW_BYTES = 2**21  # of an MPEG stream at its beginning
_TAIL_BYTES = 2**18  # at its end
_ENOUGH_PACKETS = 256  # of the video, to judge by
_END_PACKETS = 16  # of the video, to judge its end by: the clear ones before may be few, or many
_HEAD_BYTES = 2**16
_MOST_BOXES = 4096  # at one level
_ENDLESS = 2**62

_VIDEO_ENTRY_BYTES = 78  # of a sample entry before its boxes
_PROTECTED_ENTRIES = {b"encv": COMMON_ENCRYPTION, b"drmi": "FairPlay"}

_TRACKS, _TRACK, _TRACK_TYPE = 0x1654AE6B, 0xAE, 0x83
_ENCODINGS, _ENCODING, _ENCRYPTION = 0x6D80, 0x6240, 0x5035
_VIDEO = b"\x01"

_PACK_START = b"\0\0\1\xba"
_PES_HEAD = re.compile(rb"\x00\x00\x01[\xe0-\xef]..([\x80-\xbf])", re.DOTALL)
_PES_SCRAMBLED = 0x30
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROTECTION = [
    bytes.fromhex(guid)
    for guid in (
        "fbb3112223bdd211b4b700a0c955fc6e",  # Content Encryption
        "14e68a292226174cb935dae07ee9289c",  # Extended Content Encryption
        "338505438169e6499b74ad12cb86d58c",  # Advanced Content Encryption
    )
]
_HLS_KEY = re.compile(rb"^#EXT-X-(?:SESSION-)?KEY:.*?METHOD=(?!NONE)([A-Z0-9-]+)", re.MULTILINE)


def message(name: str, kind: str) -> str:
    """The error of a source whose video is encrypted."""
    return f"{name}: the video is encrypted ({kind}); decrypt it with its key first, or give a copy without protection"


def encryption_of(peek: Peek, stream_id: int | None) -> str | None:
    """The kind of encryption of a video stream, in words; None: none is known.

    Args:
        peek: at the container.
        stream_id: what FFmpeg calls the stream by; None: any video stream.
    """
    head = peek.at(0, 20)
    kind = kind_of(head)
    if kind == "matroska":
        return _of_matroska(peek)
    if head.startswith(_PACK_START):
        return _of_program_stream(peek.at(0, _WINDOW_BYTES))
    if head.startswith(_ASF):
        return "Windows Media DRM" if any(guid in peek.at(0, _HEAD_BYTES) for guid in _ASF_PROTECTION) else None
    if kind == "mp4":
        return _of_mp4(peek, stream_id)
    return None if stream_id is None else _of_transport_stream(peek.at(0, _WINDOW_BYTES), stream_id)


def encryption_at_end(peek: Peek, stream_id: int) -> str | None:
    """The kind of encryption of the last packets of a transport stream; None: they are clear, or it is none."""
    return _of_transport_stream(peek.end(_TAIL_BYTES), stream_id, is_end=True)


def encryption_of_playlist(text: bytes) -> str | None:
    """The kind of encryption that an HLS playlist names; None: none."""
    found = _HLS_KEY.search(text)
    return None if found is None else f"HLS, {found[1].decode()}"


# MP4


def _of_mp4(peek: Peek, stream_id: int | None) -> str | None:
    for begin, end in _inner(peek, (0, _ENDLESS), b"moov", b"trak"):
        tracks = [peek.at(at, 24) for at, _ in _inner(peek, (begin, end), b"tkhd")]
        ids = {int.from_bytes(head[20:24] if head[0] else head[12:16], "big") for head in tracks if len(head) == 24}
        if stream_id is not None and stream_id not in ids:
            continue
        for table, table_end in _inner(peek, (begin, end), b"mdia", b"minf", b"stbl", b"stsd"):
            entries = [_of_entry(peek, *entry) for entry in _boxes(peek, table + 8, table_end)]
            if entries and all(entries):  # of others the packets tell
                return entries[0]
    return None


def _of_entry(peek: Peek, kind: bytes, begin: int, end: int) -> str | None:
    known = _PROTECTED_ENTRIES.get(kind)
    if known is None:
        return None
    inside = peek.at(begin + _VIDEO_ENTRY_BYTES, min(end - begin, _HEAD_BYTES))
    scheme = inside.find(b"tenc")
    is_clear = 0 <= scheme < len(inside) - 10 and inside[scheme + 10] == 0  # unless a sample says otherwise
    return None if is_clear else known


def _inner(peek: Peek, span: tuple[int, int], *path: bytes) -> Iterator[tuple[int, int]]:
    """(begin, end) of the content of every box at ``path`` in ``span``."""
    for kind, begin, end in _boxes(peek, *span):
        if kind == path[0]:
            yield from _inner(peek, (begin, end), *path[1:]) if len(path) > 1 else [(begin, end)]


def _boxes(peek: Peek, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin, end) of the content of the boxes in a span."""
    for _ in range(_MOST_BOXES):
        head = peek.at(begin, 16) if begin + 8 <= end else b""
        if len(head) < 8:
            return
        size, skipped = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, skipped = int.from_bytes(head[8:], "big"), 16
        if size == 0:
            size = end - begin
        if size < skipped:
            return
        yield head[4:8], begin + skipped, min(begin + size, end)
        begin += size


# Matroska


def _of_matroska(peek: Peek) -> str | None:
    for segment, begin, end in islice(_elements(peek, 0, _ENDLESS), 8):
        if segment != SEGMENT:
            continue
        for kind, inner, inner_end in _elements(peek, begin, end):
            if kind == CLUSTER:
                return None
            if kind == _TRACKS and any(_is_encrypted_track(peek, *each) for each in _elements(peek, inner, inner_end)):
                return "Matroska ContentEncryption"
    return None


def _is_encrypted_track(peek: Peek, kind: int, begin: int, end: int) -> bool:
    if kind != _TRACK:
        return False
    parts = {part: (at, until) for part, at, until in _elements(peek, begin, end)}
    at, until = parts.get(_TRACK_TYPE, (0, 0))
    if peek.at(at, until - at)[-1:] != _VIDEO or _ENCODINGS not in parts:
        return False
    encodings = [each for each in _elements(peek, *parts[_ENCODINGS]) if each[0] == _ENCODING]
    return any(part[0] == _ENCRYPTION for _, *span in encodings for part in _elements(peek, *span))


def _elements(peek: Peek, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(id, begin, end) of the content of the elements in a span; one of unknown size reaches to the end."""
    for _ in range(_MOST_BOXES):
        head = element_head(peek.at(begin, LONGEST_HEAD)) if begin < end else None
        if head is None:
            return
        content = begin + head.length
        until = end if head.size is None else min(content + head.size, end)
        yield head.id, content, until
        begin = until


# MPEG streams


def _of_transport_stream(data: bytes, pid: int, *, is_end: bool = False) -> str | None:
    for length in STRIDES:
        begin = _first_sync(data, length)
        if begin is None:
            continue
        rows = np.frombuffer(data, np.uint8, (len(data) - begin) // length * length, begin).reshape(-1, length)
        has_payload = (rows[:, 0] == SYNC) & (rows[:, 3] & 0x10 != 0)
        heads = rows[has_payload & (((rows[:, 1] & 0x1F).astype(int) << 8 | rows[:, 2]) == pid), 3]
        heads = heads[-_END_PACKETS:] if is_end else heads[:_ENOUGH_PACKETS]
        if is_end and not np.any(heads[-1:] & 0xC0):  # a scrambled part in the middle is no end
            return None
        return "a scrambled transport stream" if 2 * np.count_nonzero(heads & 0xC0) > len(heads) else None
    return None


def _first_sync(data: bytes, length: int) -> int | None:
    for begin in range(min(length, len(data) - 4 * length)):
        if all(data[begin + length * index] == SYNC for index in range(5)):
            return begin
    return None


def _of_program_stream(data: bytes) -> str | None:
    heads = [found[1][0] & _PES_SCRAMBLED for found in _PES_HEAD.finditer(data)]
    return "a scrambled program stream, as on DVDs" if 2 * sum(map(bool, heads)) > len(heads) else None
