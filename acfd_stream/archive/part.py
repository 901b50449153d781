"""What an unfinished episode leaves on the disk: its lines so far, and a record of where the work stands.

The record is replaced as a whole, after what it speaks of has reached the disk; what lies behind it in the part is
cut off when the work goes on. So a kill or a power cut at any moment leaves a record that is true, or none.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from acfd_stream.archive.task import EpisodeTask
from acfd_stream.errors import OutputError, ResumeError

RECORD_FORMAT = 1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


def save_record(task: EpisodeTask, values: Mapping[str, Any]) -> None:
    """Replace the record of ``task``; when this returns it survives a power cut.

    Raises:
        OutputError: it cannot be written; the one before it stands.
    """
    text = json.dumps({"format": RECORD_FORMAT, **values}, separators=(",", ":"), allow_nan=False)
    body = text.encode()
    fresh = task.checkpoint.with_suffix(".checkpoint.part")
    with writing(task.checkpoint):
        task.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with open(fresh, "wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, task.checkpoint)
        sync_folder(task.checkpoint.parent)


def load_record(task: EpisodeTask) -> dict[str, Any] | None:
    """The record of ``task``; None where there is none, or none that can be trusted."""
    try:
        digest, _, body = task.checkpoint.read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        values = json.loads(body)
    except (OSError, ValueError):
        return None
    is_ours = isinstance(values, dict) and values.get("format") == RECORD_FORMAT
    return values if is_ours else None


def put_in_place(fresh: Path, place: Path) -> None:
    """Give the file or folder ``fresh`` the name ``place``, so that it survives a power cut; what was there is gone.

    Raises:
        OutputError: it cannot.
    """
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        sync_tree(fresh)
        if fresh.is_dir():
            # A folder cannot take the name of one with something in it.
            remove(place)
        os.replace(fresh, place)
        sync_folder(place.parent)


def sync_tree(path: Path) -> None:
    """Return when a file, or a folder of files, survives a power cut."""
    if path.is_dir():
        for inside in path.iterdir():
            sync_tree(inside)
        sync_folder(path)
        return
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Return when the names in a folder survive a power cut, where its file system can promise that."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(file)
    finally:
        os.close(file)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder of files; no error where there is none."""
    if path.is_dir() and not path.is_symlink():
        for inside in path.iterdir():
            remove(inside)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock file ``path``; gives False at once where another process does.

    The system lets go of it when the process ends, however it does. Where the file system knows no locks, nobody is
    kept out.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                is_free = _locked(file)
                is_the_one = _is_at(file, path)
            except BaseException:
                os.close(file)
                raise
            if is_the_one:
                break
            os.close(file)  # whoever held it has removed it meanwhile
    try:
        yield is_free
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), there)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let what the file system refuses be an OutputError that names ``path``."""
    try:
        yield
    except OSError as error:
        advice = "make room" if error.errno in _FULL else "check the folder"
        raise OutputError(f"cannot write {path}: {error.strerror or error}; {advice}, then resume") from error
