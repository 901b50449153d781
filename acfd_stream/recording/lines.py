"""The JSON lines of one video while they grow: in a file, or in memory."""

from __future__ import annotations

import errno
import os
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from acfd_stream.below import open_own
from acfd_stream.errors import OutputError, ResumeError
from acfd_stream.files import is_at, writing


@dataclass(frozen=True)
class Limit:
    """How large lines may become."""

    most_bytes: int
    setting: str  # names the limit in the error


class Lines(ABC):
    """The JSON lines of one video: one writer, and any number of readers in other threads.

    Args:
        name: what messages call them.
        limit: of their size; None: no limit.
    """

    def __init__(self, name: str, limit: Limit | None = None) -> None:
        self._name, self._limit = name, limit

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes that are there."""

    @abstractmethod
    def read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """The first offset at or after ``offset`` at which a line begins, and whole lines from there.

        At most ``most_bytes`` of them, but at least one; empty at the end.
        """

    def starts_with(self, line: bytes) -> bool:
        """Whether the first line is ``line``."""
        return self.read(0, 1)[1] == line

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` bytes.

        Raises:
            ResumeError: there are fewer.
            OutputError: they cannot be written.
        """
        if self.size < size:
            raise ResumeError(
                f"{self._name}: {self.size} bytes, and the checkpoint says {size}; begin at the beginning"
            )
        self._truncate(size)

    def append(self, lines: bytes) -> None:
        """Add whole lines; readers see them at once.

        Raises:
            OutputError: they cannot be written, or would exceed the limit; nothing of them is left.
        """
        size = self.size + len(lines)
        if self._limit is not None and size > self._limit.most_bytes:
            raise OutputError(
                f"{self._name} would be larger than the limit, {self._limit.setting} = {self._limit.most_bytes}"
            )
        self._append(lines)

    def sync(self) -> None:  # noqa: B027  # memory has nothing to do
        """Return when what was appended survives a power cut."""

    def close(self) -> None:  # noqa: B027
        """Release what the writer holds; a later call opens it again."""

    @abstractmethod
    def _truncate(self, size: int) -> None: ...

    @abstractmethod
    def _append(self, lines: bytes) -> None: ...


class FileLines(Lines):
    """Lines in a file, whose folder is made when missing. Each reader uses an instance of its own."""

    def __init__(self, path: Path, name: str | None = None, limit: Limit | None = None) -> None:
        super().__init__(name or os.fspath(path), limit)
        self.path = path
        self._file: FileIO | None = None

    @property
    def size(self) -> int:
        """Bytes that are there; 0 without a file."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    def read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """See ``Lines``; empty where they cannot be read."""
        try:
            return self._read(offset, most_bytes)
        except OSError:
            return offset, b""

    def sync(self) -> None:
        """See ``Lines``; an OutputError, too, where the file has lost its name: nobody would find it."""
        with writing(self._name):
            number = self._opened().fileno()
            os.fsync(number)
            if not is_at(number, self.path):
                raise OSError(errno.ESTALE, "the file was removed or replaced while it was written")

    def close(self) -> None:
        """See ``Lines``."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """As ``read``; raises OSError where they cannot be read."""
        with open(self.path, "rb") as file:
            if offset:
                file.seek(offset - 1)
                file.readline()  # to the end of the line before
            begin, data = file.tell(), file.read(most_bytes)
            if b"\n" not in data:
                data += file.readline()
        return begin, data[: data.rfind(b"\n") + 1]

    def _truncate(self, size: int) -> None:
        with writing(self._name):
            file = self._opened()
            file.truncate(size)
            file.seek(size)

    def _append(self, lines: bytes) -> None:
        with writing(self._name):
            file = self._opened()
            before = file.tell()
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                self._truncate(before)
                raise

    def _opened(self) -> FileIO:
        """The file, at its end."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(open_own(self.path, os.O_RDWR), "r+b")
            self._file.seek(0, os.SEEK_END)
        return self._file


class MemoryLines(Lines):
    """Lines that are lost with the process; writer and readers share the instance."""

    def __init__(self, name: str, limit: Limit | None = None) -> None:
        super().__init__(name, limit)
        self._turn = threading.Lock()
        self._lines = bytearray()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return len(self._lines)

    def read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """See ``Lines``."""
        with self._turn:
            before = self._lines.find(b"\n", offset - 1) if offset else -1
            begin = len(self._lines) if offset and before < 0 else before + 1
            end = self._lines.rfind(b"\n", begin, begin + most_bytes)
            if end < 0:
                end = self._lines.find(b"\n", begin)
            return begin, bytes(self._lines[begin : end + 1])

    def _truncate(self, size: int) -> None:
        with self._turn:
            del self._lines[size:]

    def _append(self, lines: bytes) -> None:
        with self._turn:
            self._lines += lines
