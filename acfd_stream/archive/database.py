"""The SQLite file of a manifest: its tables and transactions."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.files import add_columns, prepare_tables, transaction
from acfd_stream.recording.task import STATE_FOLDER
from acfd_stream.types import Closeable

SCHEMA_VERSION = 1
DATABASE = "manifest.sqlite3"
_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE episodes (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    key TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    size INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    frames INTEGER NOT NULL DEFAULT 0,
    expected_frames INTEGER,
    tracks INTEGER NOT NULL DEFAULT 0,
    shots INTEGER NOT NULL DEFAULT 0,
    reused INTEGER NOT NULL DEFAULT 0,
    video_seconds REAL NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    new_frames INTEGER NOT NULL DEFAULT 0,
    stage_seconds TEXT NOT NULL DEFAULT '{}',
    warnings TEXT NOT NULL DEFAULT '[]',
    gaps INTEGER NOT NULL DEFAULT 0,
    missing_seconds REAL NOT NULL DEFAULT 0,
    outputs TEXT NOT NULL DEFAULT '[]',
    result_bytes INTEGER NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',
    run INTEGER NOT NULL DEFAULT 0,
    changed REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX episodes_by_state ON episodes (state, name);
CREATE TABLE files (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    pid INTEGER NOT NULL,
    call TEXT NOT NULL,
    started REAL NOT NULL,
    seen REAL NOT NULL,
    ended REAL,
    code INTEGER
);
"""
# Of tables that were made before there were these columns.
_ADDED_COLUMNS = {"gaps": "INTEGER NOT NULL DEFAULT 0", "missing_seconds": "REAL NOT NULL DEFAULT 0"}


class Database(Closeable):
    """An open manifest file; a context manager. To be used by one thread."""

    def __init__(self, out: Path, *, is_new: bool = False, clock: Callable[[], float] = time.time) -> None:
        """Open the manifest of ``out``, or make one.

        Args:
            out: folder of the archive's results.
            is_new: whether there may be none yet.
            clock: seconds since 1970.

        Raises:
            ConfigError: there is none, or it is of another version.
            OutputError: it cannot be opened or made.
        """
        self._clock = clock
        self._path = out / STATE_FOLDER / DATABASE
        if not is_new and not self._path.is_file():
            raise ConfigError(f"{out} holds no archive; name the --out of an earlier 'archive run'")
        try:
            if is_new:
                (out / STATE_FOLDER / "parts").mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                os.fspath(self._path), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"cannot use {self._path}: {reason}; choose another --out") from error
        try:
            self._database.row_factory = sqlite3.Row
            self._database.text_factory = _text
            self._prepare(out)
        except BaseException as error:
            self._database.close()
            if isinstance(error, sqlite3.Error):
                raise OutputError(f"cannot use {self._path}: {error}; choose another --out") from error
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self, out: Path) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")  # an episode that is done is not done again
        version = prepare_tables(self._database, _SCHEMA, SCHEMA_VERSION, f"cannot write {self._path}")
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{out} holds an archive of version {version}, this program knows {SCHEMA_VERSION}; "
                "choose another --out"
            )
        add_columns(self._database, "episodes", _ADDED_COLUMNS)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside, or nothing of it.

        Raises:
            OutputError: the disk is full, the file is damaged, or another process holds it for too long.
        """
        with transaction(self._database, f"cannot write {self._path}", "make room, or see who holds it") as database:
            yield database


def text_bytes(text: str) -> bytes:
    """For ``CAST(? AS TEXT)``: file names may hold bytes that are no text, which sqlite3 itself refuses."""
    return text.encode("utf-8", "surrogateescape")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")
