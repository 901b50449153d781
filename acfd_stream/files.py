"""Files that survive a kill and a power cut: atomic replacement, locks, folders made durable, SQLite transactions."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from acfd_stream.errors import ForeignFileError, OutputError

PART_SUFFIX = ".part"
"""Of a file that is being written: it takes its final name when it is complete."""
OVERLAY_COMMENT = "overlay of acfd-stream"
"""In the metadata of an overlay, which is told from other videos by it."""
PROXY_COMMENT = "proxy of acfd-stream"
"""In the metadata of a proxy, the same."""
POSTER_COMMENT = "poster of acfd-stream"
"""In the comment of a poster, the same."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that free space mends."""
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


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


def lock(file: int, *, is_patient: bool = False, is_required: bool = False) -> bool:
    """Lock an open file; False: another process holds the lock.

    A file system without locks counts as locked, unless the lock ``is_required``: then that is an OSError.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if is_patient else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if is_required or error.errno not in _NO_LOCKS:
            raise
    return True


def require_lock(file: int) -> None:
    """Lock an open file that results are written to; OSError where another process does so: both would mix."""
    if not lock(file):
        raise OSError(errno.EAGAIN, "another process is writing it")


@contextlib.contextmanager
def lock_file(path: Path, *, is_patient: bool = False, is_required: bool = False) -> Iterator[bool]:
    """Hold the lock file ``path``, which its holder may remove; gives False where another process holds it.

    The system releases the lock when the process ends, also when it is killed.

    Args:
        path: made when missing, with its folder.
        is_patient: wait for the other process.
        is_required: see ``lock``.

    Raises:
        OutputError: it cannot be made.
    """
    with writing(path), contextlib.ExitStack() as opened:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            opened.callback(os.close, file)
            is_ours = lock(file, is_patient=is_patient, is_required=is_required)
            if is_at(file, path):
                break
            opened.close()  # its last holder removed it meanwhile
        held = opened.pop_all()
    with held:
        yield is_ours


def is_at(file: int, path: Path) -> bool:
    """Whether an open file still has the name ``path``."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), there)


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn what the file system refuses into an OutputError that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ForeignFileError(f"{path} is a link; nothing is written through it; remove it") from error
        advice = "make room" if error.errno in DISK_FULL else "check the folder"
        raise OutputError(f"cannot write {path}: {error.strerror or error}; {advice}, then resume") from error


def prepare_tables(database: sqlite3.Connection, schema: str, version: int, failure: str) -> int:
    """The version of the tables in ``database``, which are made by ``schema`` as ``version`` if there are none.

    Raises:
        OutputError: they cannot be made; the message begins with ``failure``.
    """
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found == version:
        return version
    with transaction(database, failure):
        (found,) = database.execute("PRAGMA user_version").fetchone()  # another process may have made them
        if found == 0:
            for statement in schema.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {version}")
    return found or version


@contextlib.contextmanager
def transaction(database: sqlite3.Connection, failure: str, advice: str = "") -> Iterator[sqlite3.Connection]:
    """Commit all that happens inside, or roll it back.

    Args:
        database: in autocommit mode; one thread at a time.
        failure: the beginning of the error message.
        advice: its end.

    Raises:
        OutputError: the disk is full, the file is damaged, or another process holds it for too long.
    """
    try:
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error):  # of a disk that fails altogether; the first error says why
            if database.in_transaction:
                database.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise OutputError(f"{failure}: {error}" + (f"; {advice}" if advice else "")) from error
        raise


def add_columns(database: sqlite3.Connection, table: str, columns: Mapping[str, str]) -> None:
    """Give a table of an earlier program the ``columns`` (name → declaration) that it lacks.

    Raises:
        OutputError: the disk is full, the file is damaged, or another process holds it for too long.
    """
    query = f"SELECT name FROM pragma_table_info('{table}')"
    if columns.keys() <= {name for (name,) in database.execute(query)}:
        return
    with transaction(database, f"cannot extend {table}"):
        there = {name for (name,) in database.execute(query)}
        for name in columns.keys() - there:
            database.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")
