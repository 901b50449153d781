"""Files that survive a kill and a power cut: atomic replacement, locks, folders made durable, SQLite transactions."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from acfd_stream.errors import OutputError

PART_SUFFIX = ".part"
"""Of a file that is being written; it takes its final name when it is complete."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that more room mends."""


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
        advice = "make room" if error.errno in DISK_FULL else "check the folder"
        raise OutputError(f"cannot write {path}: {error.strerror or error}; {advice}, then resume") from error


@contextlib.contextmanager
def transaction(database: sqlite3.Connection, failure: str, advice: str = "") -> Iterator[sqlite3.Connection]:
    """All of what happens inside, or nothing of it.

    Args:
        database: in autocommit mode, and nobody else's while this lasts.
        failure: what the message begins with where SQLite cannot do it.
        advice: what it ends with.

    Raises:
        OutputError: the disk is full, the file is damaged, or another process holds it for too long.
    """
    try:
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")
    except BaseException as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise OutputError(f"{failure}: {error}" + (f"; {advice}" if advice else "")) from error
        raise
