"""Where the result lines of jobs lie: a file a job in the state folder, or memory.

Lines are those of ``acfd-stream track --format jsonl``, byte for byte, so a file can be taken as it is. A place in
the results is an offset in bytes at which a line begins.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol

from acfd_stream.errors import ConfigError, OutputError

SUFFIX = ".jsonl"


def made(folder: Path) -> Path:
    """``folder``, which nobody else can look into, made when missing.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"jobs.state_dir: cannot make {folder}: {error.strerror}") from error
    return folder


class ResultLog(Protocol):
    """Lines by job; one writer a job, any number of readers, from any thread."""

    def append(self, job_id: str, lines: bytes) -> None:
        """Put whole lines behind what is there; readers see them at once.

        Raises:
            OutputError: they cannot be written; nothing of them is left.
        """

    def size(self, job_id: str) -> int:
        """Bytes that are there; 0 for a job without results."""

    def read(self, job_id: str, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """The first place at or behind ``offset`` at which a line begins, and whole lines from there on.

        At most ``most_bytes`` of them, but at least one; empty at the end.
        """

    def cut(self, job_id: str, size: int) -> bool:
        """Drop what lies behind ``size`` bytes; False where there is less, and then all is dropped."""

    def sync(self, job_id: str) -> None:
        """Return when what was appended survives a power cut."""

    def forget(self, job_id: str) -> None:
        """Remove a job's lines; no error where there are none."""

    def ids(self) -> set[str]:
        """Jobs that have lines."""


class FileResults:
    """Results as files ``JOB.jsonl`` of a folder."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, made when missing.

        Raises:
            ConfigError: it cannot be made.
        """
        self._folder = made(folder)

    def append(self, job_id: str, lines: bytes) -> None:
        """See ``ResultLog``."""
        before = self.size(job_id)
        try:
            with open(self._path(job_id), "ab", buffering=0) as file:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
        except OSError as error:
            self.cut(job_id, before)
            raise OutputError(f"results of job {job_id} cannot be written: {error.strerror}") from error

    def size(self, job_id: str) -> int:
        """See ``ResultLog``."""
        try:
            return self._path(job_id).stat().st_size
        except OSError:
            return 0

    def read(self, job_id: str, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """See ``ResultLog``."""
        try:
            with open(self._path(job_id), "rb") as file:
                if offset:
                    file.seek(offset - 1)
                    file.readline()  # to the end of the line before
                begin, data = file.tell(), file.read(most_bytes)
                if b"\n" not in data:
                    data += file.readline()
        except OSError:
            return offset, b""
        return begin, data[: data.rfind(b"\n") + 1]

    def cut(self, job_id: str, size: int) -> bool:
        """See ``ResultLog``."""
        is_there = self.size(job_id) >= size
        try:
            if self._path(job_id).exists():
                os.truncate(self._path(job_id), size if is_there else 0)
        except OSError as error:
            raise OutputError(f"results of job {job_id} cannot be written: {error.strerror}") from error
        return is_there

    def sync(self, job_id: str) -> None:
        """See ``ResultLog``."""
        try:
            file = os.open(self._path(job_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fsync(file)
        except OSError as error:
            raise OutputError(f"results of job {job_id} cannot be written: {error.strerror}") from error
        finally:
            os.close(file)

    def forget(self, job_id: str) -> None:
        """See ``ResultLog``."""
        self._path(job_id).unlink(missing_ok=True)

    def ids(self) -> set[str]:
        """See ``ResultLog``."""
        return {path.stem for path in self._folder.glob(f"*{SUFFIX}")}

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}{SUFFIX}"


class MemoryResults:
    """Results that are lost with the process."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._lines: dict[str, bytearray] = {}

    def append(self, job_id: str, lines: bytes) -> None:
        """See ``ResultLog``."""
        with self._turn:
            self._lines.setdefault(job_id, bytearray()).extend(lines)

    def size(self, job_id: str) -> int:
        """See ``ResultLog``."""
        with self._turn:
            return len(self._lines.get(job_id, b""))

    def read(self, job_id: str, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """See ``ResultLog``."""
        with self._turn:
            lines = self._lines.get(job_id, bytearray())
            before = lines.find(b"\n", offset - 1) if offset else -1
            begin = len(lines) if offset and before < 0 else before + 1
            end = lines.rfind(b"\n", begin, begin + most_bytes)
            if end < 0:
                end = lines.find(b"\n", begin)
            return begin, bytes(lines[begin : end + 1])

    def cut(self, job_id: str, size: int) -> bool:
        """See ``ResultLog``."""
        with self._turn:
            lines = self._lines.get(job_id, bytearray())
            is_there = len(lines) >= size
            del lines[size if is_there else 0 :]
            return is_there

    def sync(self, job_id: str) -> None:
        """See ``ResultLog``."""

    def forget(self, job_id: str) -> None:
        """See ``ResultLog``."""
        with self._turn:
            self._lines.pop(job_id, None)

    def ids(self) -> set[str]:
        """See ``ResultLog``."""
        with self._turn:
            return set(self._lines)
