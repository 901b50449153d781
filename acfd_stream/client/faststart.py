"""Reorders an MP4 with its index at the end, so that a server can decode it while it is being sent.

The index (the ``moov`` box) is sent first, with its sample offsets increased by its own size. Samples and timestamps do
not change. Other files are sent as they are.

No library does this without writing a copy of the file first.

Source: ISO/IEC 14496-12, sections 4.2 (boxes) and 8.7.5 (chunk offsets).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from acfd_stream.errors import MediaError

PIECE_BYTES = 64 * 2**10
_MOST_INDEX_BYTES = 256 * 2**20
_HOLDERS = (b"trak", b"mdia", b"minf", b"stbl")
_OFFSETS = {b"stco": (">I", 4), b"co64": (">Q", 8)}


@dataclass(frozen=True)
class Box:
    """A top-level box of the file."""

    kind: bytes
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the next box."""
        return self.offset + self.size


@dataclass(frozen=True)
class Layout:
    """The order in which a file is sent: its head, its index if that was at the end, and the rest."""

    path: Path
    total_bytes: int
    head_end: int  # offset at which the index is inserted; 0: the file is not reordered
    index: bytes  # as sent; empty: the file is not reordered
    index_offset: int  # its offset in the file

    @classmethod
    def of(cls, path: Path) -> Layout:
        """How to send the file at ``path``.

        Raises:
            MediaError: it cannot be read.
        """
        try:
            with path.open("rb") as file:
                total = file.seek(0, 2) if file.seekable() else 0
                return _moved(path, file, total) or cls(path, total, 0, b"", 0)
        except OSError as error:
            raise MediaError(f"cannot read {path}: {error.strerror}") from error

    def sent_offset(self, offset: int) -> int:
        """Position in the sent bytes of the byte at ``offset`` of the file; not for bytes of the index."""
        return offset + len(self.index) if self.head_end <= offset < self.index_offset else offset

    def pieces(self) -> Iterator[bytes]:
        """All bytes in order, at most 64 KiB at a time."""
        try:
            with self.path.open("rb") as file:
                if not self.index:
                    yield from _span(file, None)
                    return
                yield from _span(file, self.head_end)
                for offset in range(0, len(self.index), PIECE_BYTES):
                    yield self.index[offset : offset + PIECE_BYTES]
                yield from _span(file, self.index_offset - self.head_end)
                file.seek(self.index_offset + len(self.index))
                yield from _span(file, None)
        except OSError as error:
            raise MediaError(f"cannot read {self.path}: {error.strerror}") from error


def streamable(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in an order in which they can be decoded while they arrive.

    Raises:
        MediaError: it cannot be read.
    """
    return Layout.of(path).pieces()


def _span(file: BinaryIO, size: int | None) -> Iterator[bytes]:
    """The next ``size`` bytes; None: all remaining bytes."""
    while size is None or size > 0:
        piece = file.read(PIECE_BYTES if size is None else min(size, PIECE_BYTES))
        if not piece:
            return
        if size is not None:
            size -= len(piece)
        yield piece


def _moved(path: Path, file: BinaryIO, total: int) -> Layout | None:
    """The order with the index first; None: the file is sent as it is."""
    boxes = _boxes(file, total)
    data = next((box for box in boxes if box.kind == b"mdat"), None)
    index = next((box for box in boxes if box.kind == b"moov"), None)
    is_mp4 = bool(boxes) and boxes[0].kind in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip")
    if not is_mp4 or data is None or index is None or index.offset < data.offset or index.size > _MOST_INDEX_BYTES:
        return None
    file.seek(index.offset)
    content = bytearray(file.read(index.size))
    try:
        _move_samples(content, 8, len(content), range(data.offset, index.offset), index.size)
    except (struct.error, IndexError):  # damaged, or its offsets do not fit: the server reports the error
        return None
    return Layout(path, total, data.offset, bytes(content), index.offset)


def _boxes(file: BinaryIO, total: int) -> list[Box]:
    """The valid boxes of the top level."""
    boxes: list[Box] = []
    offset = 0
    while offset + 8 <= total and len(boxes) < 10_000:
        file.seek(offset)
        header = file.read(16)
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            size = struct.unpack_from(">Q", header, 8)[0]
        elif size == 0:
            size = total - offset
        if size < 8 or offset + size > total or not kind.strip(b" ").isalnum():
            break
        boxes.append(Box(kind, offset, size))
        offset += size
    return boxes


def _move_samples(content: bytearray, begin: int, end: int, moved: range, by: int) -> None:
    """Add ``by`` to each chunk offset within ``moved``, in all tracks between ``begin`` and ``end``.

    Raises:
        struct.error: a box is damaged, or an offset does not fit its field.
    """
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, begin)
        if size < 8 or begin + size > end:
            raise struct.error("a box is longer than its parent")
        if kind in _HOLDERS:
            _move_samples(content, begin + 8, begin + size, moved, by)
        elif kind in _OFFSETS:
            form, width = _OFFSETS[kind]
            count = struct.unpack_from(">I", content, begin + 12)[0]
            if 16 + count * width > size:
                raise struct.error("more offsets than fit in the box")
            for position in range(begin + 16, begin + 16 + count * width, width):
                offset = struct.unpack_from(form, content, position)[0]
                if offset in moved:
                    struct.pack_into(form, content, position, offset + by)
        begin += size
