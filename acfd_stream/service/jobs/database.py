"""The SQLite connection of the job store: one place for locks, retries, and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.files import lock_file
from acfd_stream.metrics import JobWait
from acfd_stream.service.jobs.waiting import StoreTrouble, storage_reason
from acfd_stream.types import Closeable

DATABASE = "jobs.sqlite3"
LOCK = "jobs.lock"
PATIENCE_SECONDS = 5.0
"""How long a statement is tried again while another process holds the database."""
_BUSY_SECONDS = 0.2  # of one try, in which other threads wait
_PAUSE_SECONDS = 0.05  # between tries, in which they do not
_REASONS = {
    sqlite3.SQLITE_BUSY: JobWait.LOCKED,
    sqlite3.SQLITE_LOCKED: JobWait.LOCKED,
    sqlite3.SQLITE_PROTOCOL: JobWait.LOCKED,
    sqlite3.SQLITE_FULL: JobWait.NO_ROOM,
    sqlite3.SQLITE_NOMEM: JobWait.MEMORY,
    sqlite3.SQLITE_IOERR: JobWait.STORAGE,
    sqlite3.SQLITE_CANTOPEN: JobWait.STORAGE,
    sqlite3.SQLITE_READONLY: JobWait.STORAGE,
    sqlite3.SQLITE_PERM: JobWait.STORAGE,
    sqlite3.SQLITE_CORRUPT: JobWait.DAMAGED,
    sqlite3.SQLITE_NOTADB: JobWait.DAMAGED,
}
# The connection stays good.
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
# Of what can be wrong at the start; the rest is the operator's to mend.
_WAITED_FOR = (JobWait.NO_ROOM, JobWait.LOCKED, JobWait.DESCRIPTORS, JobWait.MEMORY)
_REFUSED = "jobs.state_dir must be a folder of this server's own, got {folder}: {why}"


class Database(Closeable):
    """The database in ``folder``, or one in memory, which one process uses; its threads take turns.

    Args:
        folder: made when missing; None: in memory.
        prepare: makes or extends the tables of a connection; raises ConfigError where it cannot use them.
    """

    def __init__(self, folder: Path | None, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._folder, self._prepare = folder, prepare
        self._turn = threading.Lock()
        self._opened = ExitStack()
        self._is_closed = self._is_ours = False
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # device and inode of the open database

    def open(self) -> None:
        """Open it. Where the machine is in trouble, return all the same: later calls try again.

        Raises:
            ConfigError: the folder is in use by another server, cannot be used, or holds something else.
        """
        with self._turn, suppress(StoreTrouble):
            self._connected()

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with self._turn:
            self._is_closed = True
            self._disconnect()
            self._opened.close()

    def writing(self) -> Any:
        """A context that gives the connection: all of what happens inside, or nothing of it.

        Raises:
            StoreTrouble: the disk is full, another process holds the file for too long, or the storage fails.
        """
        return self._transaction("BEGIN IMMEDIATE")

    def reading(self) -> Any:
        """A context that gives the connection, to read one state of it.

        Raises:
            StoreTrouble: as ``writing``.
        """
        return self._transaction("BEGIN")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with self._turn:
                connection = self._begun(begin, is_last=time.monotonic() >= until)
                if connection is not None:
                    with self._translated(connection):
                        yield connection
                        connection.execute("COMMIT")
                    return
            time.sleep(_PAUSE_SECONDS)

    def _begun(self, begin: str, *, is_last: bool) -> sqlite3.Connection | None:
        """The connection in a transaction; None: another process holds the file, and this is not the last try."""
        try:
            connection = self._connected()
            with self._translated(connection):
                connection.execute(begin)
                connection.execute("PRAGMA user_version").fetchone()  # meets now what else holds the file
        except ConfigError as error:  # found after the start: the server goes on without jobs, and says so
            trouble = self._trouble(error.__cause__ or error)
            raise StoreTrouble(str(error), JobWait.DAMAGED if trouble is None else trouble.reason) from error
        except StoreTrouble as trouble:
            if trouble.reason is JobWait.LOCKED and not is_last:
                return None
            raise
        return connection

    @contextmanager
    def _translated(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Roll back and raise StoreTrouble where SQLite fails."""
        try:
            yield
        except BaseException as error:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            trouble = self._trouble(error)
            if trouble is None:
                raise
            if trouble.reason is JobWait.NO_ROOM and self._connection is connection:
                with suppress(sqlite3.Error):  # the room that the log of changes has is free again for the next one
                    connection.execute("PRAGMA wal_checkpoint(RESTART)")
            if self._folder is not None and _code(error) not in _PASSING:
                self._disconnect()  # what it knows of the files may be wrong
            raise trouble from error

    def _connected(self) -> sqlite3.Connection:
        if self._is_closed:
            raise StoreTrouble("the job store is closed", JobWait.STORAGE)
        if self._connection is not None:
            self._require_file()
            return self._connection
        try:
            self._require_ours()
            path = ":memory:" if self._folder is None else os.fspath(self._folder / DATABASE)
            connection = sqlite3.connect(path, _BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                _require_sound(connection)
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        except (OSError, OutputError, sqlite3.Error) as error:
            trouble = self._trouble(error)
            if trouble is not None and trouble.reason in _WAITED_FOR:
                raise trouble from error
            raise ConfigError(_REFUSED.format(folder=self._folder, why=error)) from error
        self._connection = connection
        self._file = None if self._folder is None else _inode(self._folder / DATABASE)
        return connection

    def _require_ours(self) -> None:
        if self._folder is None or self._is_ours:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = lock_file(self._folder / LOCK, is_required=True)
        if not self._opened.enter_context(held):
            self._opened.close()
            # Two servers would run the same jobs twice.
            raise ConfigError(_REFUSED.format(folder=self._folder, why="another server uses it"))
        self._is_ours = True

    def _require_file(self) -> None:
        """Raise StoreTrouble where what is written would not be found again."""
        if self._folder is not None and _inode(self._folder / DATABASE) != self._file:
            raise StoreTrouble(
                f"{self._folder / DATABASE} was removed or replaced while it was in use; put it back, or restart",
                JobWait.STORAGE,
            )

    def _trouble(self, error: BaseException) -> StoreTrouble | None:
        """What ``error`` means for callers; None: it is no trouble of the database."""
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if isinstance(cause, sqlite3.Error):
            reason = _REASONS.get(_code(cause))
        elif isinstance(cause, OSError):
            reason = storage_reason(cause)
        else:
            return None
        if reason is None:
            return None
        if reason is JobWait.STORAGE and self._folder is not None and _is_full(self._folder):
            reason = JobWait.NO_ROOM
        is_full = reason is JobWait.NO_ROOM
        what = "no space is left for the job store" if is_full else "the job store cannot be used now"
        return StoreTrouble(f"{what}: {error}; try again later", reason)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _require_sound(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"{DATABASE} is damaged ({found}); put a copy back, or move it away")


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_full(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False
