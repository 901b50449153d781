"""Reads a source as a series of parts, each of which is a video of its own to the demuxer."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from io import FileIO

from acfd_stream.video.boundaries import ENDLESS, Boundary, BoundaryWatch, BoxWatch, SignatureWatch, kind_of
from acfd_stream.video.declared_size import HEAD_BYTES, declared_bytes
from acfd_stream.video.origin import BytesReader, RecentFile, SeekableReader
from acfd_stream.video.transport_watch import TransportWatch, transport_layout

_HEAD_BYTES, _LAYOUT_BYTES = 16, 1024  # tell the container; tell a transport stream that begins in mid-packet
_CHUNK_BYTES = 2**20
_PADDING_BYTES = 65536
"""Bytes behind the end of a video that nothing explains, up to which they are no loss."""


class PartsReader(BytesReader):
    """The bytes of one part; ``next_part`` goes on to the next. Offsets count from the beginning of the part.

    Args:
        inner: reads the whole source.
        new_watch: a watch for the first part.
    """

    def __init__(self, inner: BytesReader, new_watch: Callable[[], BoundaryWatch]) -> None:
        self._inner, self._new_watch = inner, new_watch
        self.is_seekable = inner.is_seekable
        self._start()

    def _start(self) -> None:
        self._watch = self._new_watch()
        self._base = 0  # offset in the source of what is offset 0 here
        self._prefix = b""
        self._position = 0
        self._scanned = 0
        self._recent = bytearray()  # scanned bytes that may have to be read again, where the source cannot seek
        self._again = b""  # bytes to be read before those of the source
        self._taken_to = 0  # offset of the next byte of these or of the source
        self._boundary: Boundary | None = None
        self._head = b""  # of the part
        self._cuts: list[str] = []

    @property
    def interrupt(self) -> BaseException | None:  # type: ignore[override]
        """A KeyboardInterrupt that came while reading."""
        return self._inner.interrupt

    def first(self, size: int) -> bytes:
        """The first ``size`` bytes of the part, before it is read."""
        if self._base == 0:
            return self._inner.first(size)
        while len(self._again) < size and (more := self._inner.read(size - len(self._again))):
            self._again += more
        return (self._prefix + self._again)[:size]

    def fed_at(self, offset: int) -> float | None:
        """When the first ``offset`` bytes of the part were there."""
        return self._inner.fed_at(self._base + offset)

    def forget_before(self, offset: int) -> None:
        """Keep nothing for ``recent_file`` of what lies before the packet whose data begin at ``offset``."""
        self._inner.forget_before(self._base + offset)

    def recent_file(self) -> RecentFile:
        """The bytes that were read last, by their offset in the part."""
        return RecentFile(self._inner.recent, self._base)

    def leave(self) -> None:
        """Stop reading."""
        self._inner.leave()

    # Reading, by FFmpeg

    def seekable(self) -> bool:
        """Whether FFmpeg may seek."""
        return self.is_seekable

    def read(self, size: int) -> bytes:
        """The next bytes of the part, at most ``size``; ``b""`` at its end."""
        if self._boundary is not None:
            size = min(size, self._boundary.end - self._position)
        if size <= 0:
            return b""
        if self._position < len(self._prefix):
            data = self._prefix[self._position : self._position + size]
        else:
            data = self._taken(size)
        start, self._position = self._position, self._position + len(data)
        self._look_at(start, data)
        if self._boundary is None or self._position <= self._boundary.end:
            return data
        self._position = max(start, self._boundary.end)
        return data[: self._position - start]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset of the part, as files do."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._size()
        return self._go_to(offset)

    def tell(self) -> int:
        """The offset of the next read."""
        return self._position

    def _taken(self, size: int) -> bytes:
        if self._again:
            data, self._again = self._again[:size], self._again[size:]
        else:
            data = self._inner.read(size)
        self._taken_to += len(data)
        return data

    def _look_at(self, start: int, data: bytes) -> None:
        """Scan what was not scanned before; nothing where the demuxer has gone ahead."""
        end = start + len(data)
        if start == len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - start]
        if self._boundary is not None or not start <= self._scanned < end:
            return
        fresh = data[self._scanned - start :]
        self._boundary = self._watch.scan(self._scanned, fresh)
        self._scanned = end
        if not self.is_seekable:
            self._recent += fresh
            if self._boundary is None:
                del self._recent[: len(self._recent) - (end - self._watch.keep_from)]

    def _go_to(self, offset: int) -> int:
        """Go to an offset of the part; below 0: there is no such offset, and the position stays."""
        if offset < 0:
            return -errno.EINVAL
        sought = self._seekable_inner().seek(self._base + max(offset, len(self._prefix)))
        if sought >= 0:
            self._position = offset
        return min(sought, offset)

    def _size(self) -> int:
        if self._boundary is not None:
            return self._boundary.end
        return self._seekable_inner().seek(0, os.SEEK_END) - self._base

    def _seekable_inner(self) -> SeekableReader:
        assert isinstance(self._inner, SeekableReader)
        return self._inner

    # Parts

    def follow(self, stream_id: int) -> int | None:
        """Tell which stream of the part is followed.

        Returns:
            The id of the stream to follow: this one, or one that it continues. None where streams do not end.
        """
        if not isinstance(self._watch, TransportWatch):
            return None
        if self._boundary is None:
            self._boundary = self._watch.follow(stream_id)
        return self._watch.followed_pid

    def take_scrambled(self, offset: int) -> bool:
        """Whether the followed stream has a scrambled span before ``offset``; False after the first call."""
        return isinstance(self._watch, TransportWatch) and self._watch.take_scrambled(offset)

    @property
    def was_read_over(self) -> bool:
        """Whether bytes behind the end of the part were read before it was known."""
        return self._boundary is not None and self._boundary.end < self._position

    @property
    def known_end(self) -> int:
        """Where the part ends as its sizes say; ``ENDLESS`` where they do not say."""
        return self._watch.known_end

    def unread(self, last_read: int) -> str | None:
        """What lies behind the last part and is no padding, in words.

        Args:
            last_read: offset of the last packet; what is before was read.
        """
        watch = self._watch
        is_told = self._boundary is None and last_read < watch.known_end and watch.strange_bytes > _PADDING_BYTES
        return f"{watch.strange_bytes} bytes behind the end of the video cannot be read" if is_told else None

    def rewind(self) -> None:
        """Begin with the first part again, in a source that can seek."""
        self._start()
        self._go_to(0)

    def close(self) -> None:
        """Close a local file."""
        if isinstance(self._inner, LocalFile):
            self._inner.leave()

    def begin_again(self) -> None:
        """Go back to the beginning of the part, up to whose end everything is kept."""
        if self.is_seekable:
            self._go_to(0)
        else:
            self._again = bytes(self._recent[len(self._prefix) : self._taken_to]) + self._again
            self._position, self._taken_to = 0, len(self._prefix)

    def next_part(self) -> Boundary | None:
        """Go on to the next part.

        Returns:
            Its boundary, with the offset of its beginning in the source; None if there is none.
        """
        if self._boundary is None:
            self._scan_rest()
        boundary = self._boundary
        if boundary is not None or self._base > 0:  # others look at a source of one part
            self._note_cut(self._scanned if boundary is None else boundary.end)
        if boundary is None:
            return None
        start = self._base + boundary.start
        if not self.is_seekable:
            unseen = self._again[self._scanned - self._taken_to :]  # the rest was scanned before ``begin_again``
            self._again = bytes(self._recent[len(self._recent) - (self._scanned - boundary.start) :]) + unseen
        self._prefix, self._base = boundary.prefix, start - len(boundary.prefix)
        self._position = self._scanned = 0
        self._taken_to = len(self._prefix)
        self._recent.clear()
        self._boundary, self._watch, self._head = None, self._watch.fresh(), b""
        if self.is_seekable:
            self._go_to(0)
        return replace(boundary, start=start)

    def _note_cut(self, end: int) -> None:
        declared = declared_bytes(self._head)
        if declared is not None and end < declared:
            self._cuts.append(
                f"the part that begins at byte {self._base} is cut short: it has {end} of {declared} bytes"
            )

    def take_cuts(self) -> list[str]:
        """Warnings of parts that end before their header says, since the last call."""
        cuts, self._cuts = self._cuts, []
        return cuts

    def _scan_rest(self) -> None:
        """Look for the next part in the bytes that the demuxer left."""
        while self._boundary is None:
            at = self._scanned
            if self.is_seekable:
                at = self._scanned = max(at, self._watch.skip_to)
                self._go_to(at)
            data = self._taken(_CHUNK_BYTES)
            if not data:
                self._boundary = self._watch.at_end()
                return
            self._position = at + len(data)
            self._look_at(at, data)


class LocalFile(SeekableReader):
    """A local file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._file = FileIO(path)  # without a buffer: FFmpeg has one
        super().__init__(self._file)

    def leave(self) -> None:
        """Close the file."""
        self._file.close()


def in_parts(target: str | BytesReader) -> str | BytesReader:
    """``target`` as a series of parts, where a second one is possible and would be found.

    A file whose sizes show that it holds one video is left as it is, and so is what a URL names.

    Raises:
        OSError: a local file cannot be read.
    """
    if isinstance(target, str) and not target.startswith("file:"):
        return target
    if not isinstance(target, str):
        return _parts_of(target) or target
    file = LocalFile(target.removeprefix("file:"))
    parts = None
    try:
        parts = _parts_of(file)
    finally:
        if parts is None:
            file.leave()
    return parts or target


def _parts_of(reader: BytesReader) -> PartsReader | None:
    new_watch = _watch_for(reader)
    if new_watch is None or (isinstance(reader, SeekableReader) and _is_single(reader)):
        return None
    return PartsReader(reader, new_watch)


def _watch_for(reader: BytesReader) -> Callable[[], BoundaryWatch] | None:
    head = _head_of(reader, _HEAD_BYTES)
    kind = kind_of(head)
    if kind is not None:
        return BoxWatch if kind == "mp4" else lambda: SignatureWatch(kind)
    layout = transport_layout(_head_of(reader, _LAYOUT_BYTES))
    return None if layout is None else lambda: TransportWatch(layout)


def _head_of(reader: BytesReader, size: int) -> bytes:
    if not isinstance(reader, SeekableReader):
        return reader.first(size)
    begin = reader.tell()
    head = reader.read(size)
    reader.seek(begin)
    return head


def _is_single(reader: SeekableReader) -> bool:
    """Whether the sizes in the file show that it holds one video, with one clock."""
    begin = reader.tell()
    try:
        size = reader.seek(0, os.SEEK_END)
        reader.seek(0)
        head = reader.read(_HEAD_BYTES * 4)
        kind = kind_of(head)
        end = _end_of_boxes(reader, size) if kind == "mp4" else declared_bytes(head) or ENDLESS
        if end > size or size - end > _PADDING_BYTES:  # a part may be cut off, with another behind it
            return False
        if end == size:
            return True
        reader.seek(end)
        return not reader.read(size - end).strip(b"\0")
    except OSError:
        reader.retry()  # reading from the beginning meets it where it belongs
        return True
    finally:
        reader.seek(begin)


def _end_of_boxes(reader: SeekableReader, size: int) -> int:
    """Where the boxes of an MP4 of one movie end; 0 where a second head or fragments follow."""
    watch, at = BoxWatch(), 0
    while at < size and not watch.is_lost and not watch.has_fragments:
        reader.seek(at)
        if watch.scan(at, reader.read(_HEAD_BYTES)) is not None:
            return 0
        at = max(watch.skip_to, at + _HEAD_BYTES)
    return 0 if watch.has_fragments else min(at, size)
