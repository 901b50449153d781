"""Where the bytes of a result go: a file that is never half under a name that says whole, or a stream."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from acfd_stream.errors import OutputError

PART_SUFFIX = ".part"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Target:
    """A place that takes whole pieces of bytes.

    A regular file is opened under its own name when ``is_streamed`` (its format marks its own end), else as
    ``NAME.part`` until ``finish``. When a write fails the file is cut back to the last whole piece and left as
    ``NAME.part``. A link stays a link to its file. Pipes and devices have no other name and are written straight to.
    """

    def __init__(self, place: str | Path | BinaryIO, *, is_streamed: bool) -> None:
        """Open ``place``.

        Raises:
            OutputError: it cannot be opened for writing.
        """
        self._raw: FileIO | None = None
        self._stream: BinaryIO | None = None
        self._bytes = 0
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
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # a new name would go around it
            self._raw = FileIO(os.open(self._opened, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")
            self._is_regular = stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode)
            if self._is_regular:
                self._claim(self._raw.fileno())
        except (OSError, ValueError) as error:
            self.leave()
            raise OutputError(self._complaint(error)) from error

    def write(self, piece: bytes) -> None:
        """Write all of ``piece`` and hand it to the system.

        Raises:
            OutputError: it cannot be written; nothing of ``piece`` is left in a file.
            BrokenPipeError: nobody reads the stream any more.
        """
        try:
            self._write_all(piece)
        except BrokenPipeError:
            self.is_open = False
            raise
        except OSError as error:
            raise OutputError(self._complaint(error) + self._fail()) from error
        self._bytes += len(piece)

    def finish(self) -> None:
        """Close, under the final name.

        Raises:
            OutputError: the file system refused at the last moment.
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

    def leave(self) -> None:
        """Close where things stand: a streamed file under its own name, any other as ``NAME.part``. Never raises."""
        self.is_open = False
        if self._raw is not None:
            with contextlib.suppress(OSError):
                self._raw.close()

    def set_aside(self) -> None:
        """Close, and leave what was written as ``NAME.part``. Never raises."""
        if self.is_open:
            self._fail()

    def _claim(self, file: int) -> None:
        """Empty the file, unless another process is writing to it: two at once would leave a mixture of both."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(error.errno, "another process is writing it") from error
        except OSError:
            pass  # a file system without locks
        os.ftruncate(file, 0)

    def _write_all(self, piece: bytes) -> None:
        if self._stream is not None:
            self._stream.write(piece)
            self._stream.flush()
            return
        rest = memoryview(piece)
        while rest and self._raw is not None:
            rest = rest[self._raw.write(rest) :]

    def _fail(self) -> str:
        """Put what was written aside; the tail of the message that says where it is."""
        self.is_open = False
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
        advice = "make room or choose" if isinstance(error, OSError) and error.errno in _FULL else "choose"
        return f"cannot write {self.name}: {reason}; {advice} another place"
