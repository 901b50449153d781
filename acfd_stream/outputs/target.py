"""Destinations of result bytes: a file that gets its final name only when complete, or a stream."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from acfd_stream.errors import OutputError
from acfd_stream.files import DISK_FULL, PART_SUFFIX, require_lock


class OutputTarget:
    """A destination that receives whole pieces of bytes.

    A regular file is opened under its own name if ``is_streamed`` (its format marks its own end), else as ``NAME.part``
    until ``finish``. If a write fails, the file is truncated to the last whole piece and left as ``NAME.part``. A link
    stays a link to its file. Pipes and devices have no other name, so they are written directly.
    """

    def __init__(self, place: str | Path | BinaryIO, *, is_streamed: bool) -> None:
        """Open ``place``.

        Raises:
            OutputError: it cannot be opened for writing.
        """
        self._raw: FileIO | None = None
        self._stream: BinaryIO | None = None
        self._bytes = 0
        self._before: tuple[FileIO, int] | None = None  # what ``begin_again`` replaces, and its bytes
        self.is_open = True
        if not isinstance(place, str | Path):
            self.name = str(getattr(place, "name", "<stream>"))
            self._stream = place
            return
        self.name = os.fspath(place)
        try:
            is_special = os.path.exists(place) and not os.path.isfile(place)
            is_link = os.path.islink(place) and not is_special
            self._final = Path(os.path.realpath(place) if is_link else place)
            self._part = Path(f"{self._final}{PART_SUFFIX}")
            self._opened = self._final if is_streamed or is_special else self._part
            if self._final.exists() and not os.access(self._final, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # a rename would bypass the permission
            # A link with the name of the unfinished file would lead to a file of somebody's.
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if is_special else os.O_NOFOLLOW)
            self._raw = FileIO(os.open(self._opened, flags, 0o666), "wb")
            self._is_regular = stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode)
            if self._is_regular:
                require_lock(self._raw.fileno())
                if os.fstat(self._raw.fileno()).st_nlink > 1:
                    self._raw = self._apart()
                os.ftruncate(self._raw.fileno(), 0)
        except (OSError, ValueError) as error:
            self.leave()
            raise OutputError(self._complaint(error)) from error

    def write(self, piece: bytes) -> None:
        """Write all of ``piece`` to the operating system.

        Raises:
            OutputError: it cannot be written; the file contains nothing of ``piece``.
            BrokenPipeError: the reader has closed the stream.
        """
        try:
            self._write_all(piece)
        except BrokenPipeError:
            self.is_open = False
            raise
        except OSError as error:
            raise OutputError(self._complaint(error) + self._fail()) from error
        self._bytes += len(piece)

    @property
    def can_begin_again(self) -> bool:
        """Whether what was written can be replaced: it is in a regular file."""
        return self._raw is not None and self._is_regular

    def read_back(self) -> BinaryIO:
        """What was written so far, for reading; only where ``can_begin_again``.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            return open(self._opened, "rb")
        except OSError as error:
            raise OutputError(self._complaint(error) + self._fail()) from error

    def begin_again(self) -> None:
        """Replace all that was written by what will be; only where ``can_begin_again``.

        A file that is streamed keeps its name and its content until ``finish``.

        Raises:
            OutputError: the file system refuses.
        """
        if self._raw is None:
            return
        try:
            if self._opened == self._part:
                os.ftruncate(self._raw.fileno(), 0)
                self._raw.seek(0)
            else:
                self._part.unlink(missing_ok=True)
                fresh = _created(self._part)
                self._before, self._raw, self._opened = (self._raw, self._bytes), fresh, self._part
        except OSError as error:
            raise OutputError(self._complaint(error) + self._fail()) from error
        self._bytes = 0

    def finish(self) -> None:
        """Close, under the final name.

        Raises:
            OutputError: the file system refuses.
        """
        if not self.is_open:
            return
        self.is_open = False
        if self._raw is None:
            return
        try:
            self._raw.close()
            if self._opened != self._final:
                os.replace(self._part, self._final)
        except OSError as error:
            raise OutputError(self._complaint(error) + self._fail()) from error
        if self._before is not None:
            self._before[0].close()

    def leave(self) -> None:
        """Close an unfinished file: a streamed one keeps its name, any other stays ``NAME.part``. Never raises."""
        self.is_open = False
        self._go_back()
        if self._raw is not None:
            with contextlib.suppress(OSError):
                self._raw.close()

    def set_aside(self) -> None:
        """Close, and keep what was written as ``NAME.part``. Never raises."""
        if self.is_open:
            self._fail()

    def discard(self) -> None:
        """Remove an unfinished ``NAME.part``; does nothing after ``finish``. Never raises."""
        if self.is_open:
            self.leave()
            if self._raw is not None and self._opened == self._part:
                with contextlib.suppress(OSError):
                    self._part.unlink()

    def _apart(self) -> FileIO:
        """A new file in place of the one that has other names, too: those keep what they have."""
        self.leave()
        self.is_open = True
        self._opened.unlink()
        return _created(self._opened)

    def _go_back(self) -> None:
        """Undo ``begin_again`` where the content before is still there."""
        if self._before is None or self._raw is None:
            return
        with contextlib.suppress(OSError):
            self._raw.close()
        with contextlib.suppress(OSError):
            self._part.unlink()
        (self._raw, self._bytes), self._opened, self._before = self._before, self._final, None

    def _write_all(self, piece: bytes) -> None:
        if self._stream is not None:
            self._stream.write(piece)
            self._stream.flush()
            return
        rest = memoryview(piece)
        while rest and self._raw is not None:
            rest = rest[self._raw.write(rest) :]

    def _fail(self) -> str:
        """Keep what was written as ``NAME.part``; returns the end of the message that names it."""
        self.is_open = False
        self._go_back()
        if self._raw is None or not self._is_regular:
            self.leave()
            return ""
        with contextlib.suppress(OSError, ValueError):
            os.ftruncate(self._raw.fileno(), self._bytes)
        self.leave()
        with contextlib.suppress(OSError):
            if self._bytes == 0:
                self._opened.unlink()
                return ""
            if self._opened != self._part:
                os.replace(self._opened, self._part)
            return f"; what was written so far is in {self._part}"
        return f"; {self._opened} is unfinished"

    def _complaint(self, error: Exception) -> str:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        advice = "make room or choose" if isinstance(error, OSError) and error.errno in DISK_FULL else "choose"
        return f"cannot write {self.name}: {reason}; {advice} another place"


def _created(path: Path) -> FileIO:
    """A new file at ``path``, locked."""
    file = FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")
    require_lock(file.fileno())
    return file
