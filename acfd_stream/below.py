"""Files below a folder that the user named, reached without following a link: a link may lead to anybody's file.

Each function takes the descriptor of a folder and a plain name in it. ``open_folder`` gives such a descriptor: it steps
down from one folder to the next, so a folder that becomes a link meanwhile changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from acfd_stream.errors import ForeignFileError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PIECE_BYTES = 2**20


@contextlib.contextmanager
def open_folder(root: Path, parts: Sequence[str], *, makes: bool = False) -> Iterator[int]:
    """The descriptor of ``root/part/part…``.

    Args:
        root: the folder that the user named; it may be a link.
        parts: names of folders below it.
        makes: make those that are missing, ``root`` and the folders above it included.

    Raises:
        FileNotFoundError: a folder is missing.
        ForeignFileError: something below ``root`` is a link or a file.
        OSError: the file system refuses.
    """
    if makes:
        root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, _FOLDER)
    try:
        for number, part in enumerate(parts):
            below = _step(folder, part, root.joinpath(*parts[: number + 1]), makes=makes)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def open_below(folder: int, name: str) -> Iterator[int]:
    """The descriptor of a folder in ``folder``.

    Raises:
        OSError: it is none, or a link to one.
    """
    below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield below
    finally:
        os.close(below)


def _step(folder: int, name: str, shown: Path, *, makes: bool) -> int:
    if name in ("", ".", ".."):
        raise ForeignFileError(f"{shown} is not below the folder of results")
    if makes:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        kind = "a link" if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode) else "a file"
        raise ForeignFileError(f"{shown} is {kind} where results need a folder; it is kept; move it away") from error


def status(folder: int, name: str) -> os.stat_result | None:
    """The status of what has this name, a link itself included; None: nothing has."""
    try:
        return os.lstat(name, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_folder(folder: int, name: str) -> bool:
    """Whether this is the name of a folder; a link to one is none."""
    found = status(folder, name)
    return found is not None and stat.S_ISDIR(found.st_mode)


def sha256_of(folder: int | None, name: str | Path) -> str:
    """The SHA-256 of a regular file, in hexadecimal digits.

    Args:
        folder: its folder; None: ``name`` is a path.
        name: of the file.

    Raises:
        OSError: it cannot be read, is a link, or is no regular file.
    """
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(file, "rb", buffering=0) as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        found, buffer = hashlib.sha256(), bytearray(_PIECE_BYTES)
        while read := opened.readinto(buffer):
            found.update(memoryview(buffer)[:read])
    return found.hexdigest()


def open_own(path: Path, flags: int) -> int:
    """The descriptor of a file of this program that is written in place; it is made when missing.

    Raises:
        ForeignFileError: it is a link, or another name leads to the same file, which may be anybody's.
        OSError: the file system refuses.
    """
    try:
        file = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ForeignFileError(f"{path} is a link; nothing is written through it; remove it") from error
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return file
    os.close(file)
    what = "is a hard link to another file" if stat.S_ISREG(found.st_mode) else "is no regular file"
    raise ForeignFileError(f"{path} {what}; nothing is written to it; remove it")


def create(path: Path) -> int:
    """The descriptor of a new file at ``path``, which is a name of this program alone: what has it is removed.

    Raises:
        OSError: the file system refuses.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileExistsError):
        return os.open(path, flags, 0o666)
    path.unlink(missing_ok=True)
    return os.open(path, flags, 0o666)
