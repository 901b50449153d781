"""Finds where the next recording begins in a file of several, put one behind the other.

A watch sees the bytes of one part in order, as the demuxer reads them. It looks for the header of a container, not for
the end of one: a part may be cut off, or be followed by other bytes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Protocol, Self

from acfd_stream.video import ebml
from acfd_stream.video.declared_size import declared_bytes

ENDLESS = 2**62
"""More bytes than any file has."""
_LONGEST = 96
"""Bytes that tell whether a header begins: more than any pattern takes."""
_HEAD_BYTES = 4096
"""Bytes at the beginning of a part that are read together, however they arrive."""
_BOX_HEAD = struct.Struct(">I4s")
_FIRST_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"sidx"}
_MEDIA_BOXES = {b"moov", b"moof", b"mdat"}


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of a part and the beginning of the next; offsets from the beginning of the part."""

    end: int
    start: int
    prefix: bytes = b""  # to be read before the next part
    stream_id: int | None = None  # of the stream to follow there


class BoundaryWatch(Protocol):
    """Looks for the end of one part."""

    @property
    def keep_from(self) -> int:
        """Offset of the first byte that a boundary may still need."""

    @property
    def skip_to(self) -> int:
        """Offset of the next byte that the watch has to see."""

    @property
    def known_end(self) -> int:
        """Where the part ends as its sizes say; ``ENDLESS`` where they do not say."""

    @property
    def strange_bytes(self) -> int:
        """Bytes other than zero behind the known end."""

    def scan(self, start: int, data: bytes) -> Boundary | None:
        """Look at ``data``, which begins at ``start``; the first boundary in it or in the bytes just before."""

    def at_end(self) -> Boundary | None:
        """A boundary that only the end of the bytes shows."""

    def fresh(self) -> Self:
        """A watch for the next part."""


@dataclass(frozen=True, slots=True)
class _Signature:
    head: bytes  # what is searched for
    offset: int  # of the head in the pattern
    pattern: re.Pattern[bytes]

    @classmethod
    def of(cls, pattern: bytes, head: bytes, offset: int = 0) -> _Signature:
        return cls(head, offset, re.compile(pattern, re.DOTALL))


_OGG, _FTYP = b"OggS\0\x02", b"ftyp"
_BEGINNINGS = {
    "matroska": ebml.SIGNATURE,
    "flv": b"FLV\x01",
    "ogg": b"OggS",
    "avi": b"RIFF",
    "ivf": b"DKIF",
    "nut": b"nut/multimedia",
    "asf": b"\x30\x26\xb2\x75\x8e\x66",
}
_SIGNATURES = {
    "matroska": _Signature.of(rb"\x1a\x45\xdf\xa3.{1,64}?\x42\x82.{1,2}(matroska|webm)", ebml.SIGNATURE),
    "flv": _Signature.of(rb"FLV\x01[\0\1\4\5]\0\0\0\x09\0\0\0\0", b"FLV\x01"),
    # A page that begins a stream, and its first packet: position, serial, page 0.
    "ogg": _Signature.of(rb"OggS\0\x02\0{8}.{4}\0{4}", _OGG),
    "avi": _Signature.of(rb"RIFF.{4}AVI LIST", b"RIFF"),
    "ivf": _Signature.of(rb"DKIF\0\0\x20\0.{4}", b"DKIF\0\0\x20\0"),
    "nut": _Signature.of(rb"nut/multimedia container\0", b"nut/multimedia"),
    "asf": _Signature.of(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c", b"\x30\x26\xb2\x75\x8e\x66"),
    "mp4": _Signature.of(rb"\0\0[\0-\2].ftyp[\w ]{4}", _FTYP, 4),
}


def signatures() -> dict[str, re.Pattern[bytes]]:
    """The first bytes of each kind of container."""
    return {kind: signature.pattern for kind, signature in _SIGNATURES.items()}


class SignatureWatch:
    """Looks for the header of one kind of container."""

    strange_bytes = 0

    def __init__(self, kind: str, known_end: int = ENDLESS) -> None:
        self._kind, self._signature = kind, _SIGNATURES[kind]
        self._tail = b""
        self._end = 0  # of the bytes seen
        self._from = 1  # a header before is that of the part
        self.known_end = known_end

    @property
    def keep_from(self) -> int:
        """The header of the next part may have begun."""
        return self._end - len(self._tail)

    @property
    def skip_to(self) -> int:
        """All bytes have to be seen."""
        return self._end

    def scan(self, start: int, data: bytes) -> Boundary | None:
        """The header of the next part."""
        window, begin = self._tail + data, start - len(self._tail)
        if begin == 0:
            self._read_head(window)
        self._end = start + len(data)
        self._tail = window if begin == 0 and len(window) < _HEAD_BYTES else window[-_LONGEST:]
        if self._end > self.known_end:
            behind = data[max(0, self.known_end - start) :]
            self.strange_bytes += len(behind) - behind.count(0)
        return self._search(window, begin)

    def _search(self, window: bytes, begin: int) -> Boundary | None:
        signature = self._signature
        place = window.find(signature.head, max(0, self._from - begin + signature.offset))
        while place >= 0:
            found = place - signature.offset
            if begin + found >= self._from and signature.pattern.match(window, found):
                return Boundary(begin + found, begin + found)
            place = window.find(signature.head, place + 1)
        return None

    def _read_head(self, window: bytes) -> None:
        if self._kind == "ogg":  # one page for each stream begins a part
            page = self._from - 1
            while window.startswith(_OGG, page) and len(window) >= page + 27 + 255:
                segments = window[page + 27 : page + 27 + window[page + 26]]
                page += 27 + len(segments) + sum(segments)
            self._from = page + 1
        if self._kind == "matroska":  # an AVI of more than 1 GB has further lists behind its end
            self.known_end = declared_bytes(window) or ENDLESS

    def at_end(self) -> Boundary | None:
        """None: a header is complete."""
        return None

    def fresh(self) -> SignatureWatch:
        """For a part of the same kind."""
        return SignatureWatch(self._kind)


class BoxWatch:
    """Follows the boxes of an MP4 or MOV file to the head of a second one."""

    def __init__(self) -> None:
        self._next = 0  # offset of the next box
        self._tail = b""
        self._end = 0
        self._has_media = False
        self.has_fragments = False
        self._lost: SignatureWatch | None = None  # behind the last box, or where a size is wrong

    @property
    def keep_from(self) -> int:
        """The next box."""
        return self._lost.keep_from if self._lost is not None else min(self._next, self._end)

    @property
    def skip_to(self) -> int:
        """The next box."""
        return self._end if self._lost is not None else max(self._next, self._end)

    @property
    def is_lost(self) -> bool:
        """Whether something else than a box was met."""
        return self._lost is not None

    @property
    def known_end(self) -> int:
        """The end of the last box."""
        return ENDLESS if self._lost is None else self._next

    @property
    def strange_bytes(self) -> int:
        """Bytes other than zero behind the last box."""
        return 0 if self._lost is None else self._lost.strange_bytes

    def scan(self, start: int, data: bytes) -> Boundary | None:
        """The second head."""
        if start > self._end:  # a box was skipped
            self._tail = b""
        window, begin = self._tail + data, start - len(self._tail)
        self._end = start + len(data)
        while self._lost is None and self._next + 16 <= self._end:
            size, kind = box_head(window, self._next - begin)
            if kind == _FTYP and self._has_media:
                return Boundary(self._next, self._next)
            if size >= 8 and kind.isalnum():
                self._has_media = self._has_media or kind in _MEDIA_BOXES
                self.has_fragments = self.has_fragments or kind == b"moof"
                self._next += size
            else:
                self._lost = SignatureWatch("mp4", self._next)
                start, data = self._next, window[self._next - begin :]
        if self._lost is not None:
            return self._lost.scan(start, data)
        self._tail = window[max(0, self._next - begin) :]
        return None

    def at_end(self) -> Boundary | None:
        """None: a head is complete."""
        return None

    def fresh(self) -> BoxWatch:
        """For a part of the same kind."""
        return BoxWatch()


def box_head(data: bytes, offset: int) -> tuple[int, bytes]:
    """Size and type of an MP4 box, of which 16 bytes are there; one without a size goes to the end."""
    size, kind = _BOX_HEAD.unpack_from(data, offset)
    if size == 1:
        (size,) = struct.unpack_from(">Q", data, offset + 8)
    return (size or ENDLESS) if kind.strip(b"\0") else 0, kind


def kind_of(head: bytes) -> str | None:
    """The kind of container that begins with ``head``, 16 bytes; None: no watch knows it."""
    if head[4:8] in _FIRST_BOXES:
        return "mp4"
    return next((kind for kind, begin in _BEGINNINGS.items() if head.startswith(begin)), None)
