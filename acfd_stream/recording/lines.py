"""The lines of an unfinished episode on the disk."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from acfd_stream.errors import ResumeError
from acfd_stream.files import writing


class Part:
    """The lines of an episode under their unfinished name; a context manager."""

    def __init__(self, path: Path, size: int) -> None:
        """Open the part and cut it back to its first ``size`` bytes.

        Raises:
            ResumeError: it holds fewer.
            OutputError: it cannot be written.
        """
        self.path, self.size = path, size
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        found = os.fstat(self._file.fileno()).st_size
        if found < size:
            self._file.close()
            raise ResumeError(f"{path} holds {found} bytes, and its checkpoint says {size}; begin at the beginning")
        with writing(path):
            self._file.truncate(size)
            self._file.seek(size)

    def begins_with(self, line: bytes) -> bool:
        """Whether the first line is ``line``."""
        with writing(self.path):
            return self.size >= len(line) and os.pread(self._file.fileno(), len(line), 0) == line

    def write(self, line: bytes) -> None:
        """Put a whole line behind what is there.

        Raises:
            OutputError: it cannot be written; nothing of it counts.
        """
        with writing(self.path):
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        self.size += len(line)

    def sync(self) -> None:
        """Return when what was written survives a power cut."""
        with writing(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
