"""The JSON lines of one video while they grow: in a file, or in memory."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Protocol

from acfd_stream.errors import OutputError, ResumeError
from acfd_stream.files import writing


class Lines(Protocol):
    """The JSON lines of one video: one writer, and any number of readers in other threads."""

    @property
    def size(self) -> int:
        """Bytes that are there."""

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` bytes.

        Raises:
            ResumeError: there are fewer.
            OutputError: they cannot be written.
        """

    def starts_with(self, line: bytes) -> bool:
        """Whether the first line is ``line``."""

    def append(self, lines: bytes) -> None:
        """Add whole lines; readers see them at once.

        Raises:
            OutputError: they cannot be written, or there would be too many bytes; nothing of them is left.
        """

    def read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """The first offset at or after ``offset`` at which a line begins, and whole lines from there.

        At most ``most_bytes`` of them, but at least one; empty at the end.
        """

    def sync(self) -> None:
        """Return when what was appended survives a power cut."""

    def close(self) -> None:
        """Release the file, which stays; a later call opens it again."""


@dataclass(frozen=True)
class Limit:
    """How large lines may become."""

    most_bytes: int
    setting: str  # names the limit in the error


class FileLines:
    """Lines in a file. Each reader uses an instance of its own.

    Args:
        path: the file; its folder is made when missing.
        name: what messages call it; None: its path.
        limit: the largest size, and the setting that it comes from; None: no limit.
    """

    def __init__(self, path: Path, *, name: str | None = None, limit: Limit | None = None) -> None:
        self.path = path
        self._name, self._limit = name or os.fspath(path), limit
        self._file: FileIO | None = None

    @property
    def size(self) -> int:
        """Bytes that are there; 0 without a file."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    def truncate(self, size: int) -> None:
        """See ``Lines``."""
        with writing(self._name):
            file = self._opened()
            found = os.fstat(file.fileno()).st_size
            if found >= size:
                file.truncate(size)
                file.seek(size)
                return
        raise ResumeError(_too_short(self._name, found, size))

    def starts_with(self, line: bytes) -> bool:
        """See ``Lines``."""
        with writing(self._name):
            return os.pread(self._opened().fileno(), len(line), 0) == line

    def append(self, lines: bytes) -> None:
        """See ``Lines``."""
        with writing(self._name):
            file = self._opened()
            before = file.tell()
            _require_room(self._name, before + len(lines), self._limit)
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(before)
                file.seek(before)
                raise

    def read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """See ``Lines``."""
        try:
            with open(self.path, "rb") as file:
                if offset:
                    file.seek(offset - 1)
                    file.readline()  # to the end of the line before
                begin, data = file.tell(), file.read(most_bytes)
                if b"\n" not in data:
                    data += file.readline()
        except OSError:
            return offset, b""
        return begin, data[: data.rfind(b"\n") + 1]

    def sync(self) -> None:
        """See ``Lines``."""
        with writing(self._name):
            os.fsync(self._opened().fileno())

    def close(self) -> None:
        """See ``Lines``."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> FileIO:
        """The file, at its end."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
            self._file.seek(0, os.SEEK_END)
        return self._file


class MemoryLines:
    """Lines that are lost with the process; writer and readers share the instance. See ``FileLines``."""

    def __init__(self, *, name: str = "the results", limit: Limit | None = None) -> None:
        self._name, self._limit = name, limit
        self._turn = threading.Lock()
        self._lines = bytearray()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return len(self._lines)

    def truncate(self, size: int) -> None:
        """See ``Lines``."""
        with self._turn:
            if len(self._lines) < size:
                raise ResumeError(_too_short(self._name, len(self._lines), size))
            del self._lines[size:]

    def starts_with(self, line: bytes) -> bool:
        """See ``Lines``."""
        return self._lines.startswith(line)

    def append(self, lines: bytes) -> None:
        """See ``Lines``."""
        with self._turn:
            _require_room(self._name, len(self._lines) + len(lines), self._limit)
            self._lines += lines

    def read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """See ``Lines``."""
        with self._turn:
            before = self._lines.find(b"\n", offset - 1) if offset else -1
            begin = len(self._lines) if offset and before < 0 else before + 1
            end = self._lines.rfind(b"\n", begin, begin + most_bytes)
            if end < 0:
                end = self._lines.find(b"\n", begin)
            return begin, bytes(self._lines[begin : end + 1])

    def sync(self) -> None:
        """See ``Lines``."""

    def close(self) -> None:
        """See ``Lines``."""


def _too_short(name: str, found: int, size: int) -> str:
    return f"{name} holds {found} bytes, and its checkpoint says {size}; begin at the beginning"


def _require_room(name: str, size: int, limit: Limit | None) -> None:
    if limit is not None and size > limit.most_bytes:
        raise OutputError(f"{name} would be larger than the limit, {limit.setting} = {limit.most_bytes}")
