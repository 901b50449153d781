"""Looks at bytes of a source beside its reading: at its beginning, which tells what it is, and at its end."""

from __future__ import annotations

import contextlib
import os

from acfd_stream.errors import MediaError
from acfd_stream.video.origin import BytesReader, SeekableReader, local_path
from acfd_stream.video.web import Web, is_web
from acfd_stream.video.web_file import WebFile

FETCHED_BYTES = 2**20
"""Bytes of a URL that are read when it cannot be read as a video."""
_FETCH_SECONDS = 5.0


class Peek:
    """The bytes of a source by their offset. Of a stream that cannot seek, only what its reader has kept.

    Args:
        target: URL or ``file:…`` name; a reader for bytes.
    """

    def __init__(self, target: str | BytesReader) -> None:
        self._reader = None if isinstance(target, str) else target
        self.path = local_path(target) if isinstance(target, str) else None
        self._url = target if isinstance(target, str) and self.path is None else None
        self._fetched = b""

    @property
    def is_stream(self) -> bool:
        """Whether it is bytes, and not a file or a URL."""
        return self._reader is not None

    def fetch(self) -> None:
        """Read the beginning of an HTTP URL, whose bytes are not there otherwise; a second request to its server."""
        if self._url is None or self._fetched or not is_web(self._url):
            return
        with contextlib.suppress(MediaError, OSError):
            web = Web(self._url, _FETCH_SECONDS)
            with contextlib.closing(WebFile(web, web.url)) as file:
                while len(self._fetched) < FETCHED_BYTES and (data := file.read(FETCHED_BYTES - len(self._fetched))):
                    self._fetched += data

    def at(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on: ``size``, or fewer."""
        if self._reader is None:
            return self._fetched[offset : offset + size] if self.path is None else self._of_file(offset, size)
        if isinstance(self._reader, SeekableReader):
            return self._sought(offset, os.SEEK_SET, size)
        return self._reader.head[offset : offset + size]

    def end(self, size: int) -> bytes:
        """The last bytes, about ``size``; of a stream that cannot seek, of those that were read."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                return self._of_file(max(0, os.path.getsize(self.path) - size), size)
        if isinstance(self._reader, SeekableReader):
            return self._sought(-size, os.SEEK_END, size) or self.at(0, size)
        return b"" if self._reader is None else self._reader.tail

    def _of_file(self, offset: int, size: int) -> bytes:
        try:
            with open(self.path or "", "rb", buffering=0) as file:
                return os.pread(file.fileno(), size, offset)
        except (OSError, OverflowError, ValueError):
            return b""

    def _sought(self, offset: int, whence: int, size: int) -> bytes:
        assert isinstance(self._reader, SeekableReader)
        try:
            before = self._reader.tell()
            self._reader.seek(offset, whence)
            data = self._reader.read(size)
            self._reader.seek(before)
            return data
        except (OSError, OverflowError, ValueError):
            return b""
