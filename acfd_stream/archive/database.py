"""The SQLite file of a manifest: its tables and transactions."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from acfd_stream.archive.state_folder import DATABASE, require_room, require_state_folder
from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.files import add_columns, prepare_tables, transaction
from acfd_stream.recording.task import STATE_FOLDER
from acfd_stream.shortage import is_shortage
from acfd_stream.types import Closeable

if TYPE_CHECKING:
    from acfd_stream.recording.published import PublishedFile

SCHEMA_VERSION = 1
_BUSY_SECONDS = 0.2  # of SQLite's own patience; a signal is heard after that
_PATIENCE_SECONDS = 30.0
_RETRY_SECONDS = 0.1
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
# Manifests of before digests lack it; several processes may make it at once.
_PUBLISHED_SCHEMA = """
CREATE TABLE IF NOT EXISTS published (
    episode TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    mtime_ns INTEGER NOT NULL,
    PRIMARY KEY (path, sha256)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS published_by_episode ON published (episode);
"""
# Of tables that were made before there were these columns.
_ADDED_COLUMNS = {"gaps": "INTEGER NOT NULL DEFAULT 0", "missing_seconds": "REAL NOT NULL DEFAULT 0"}

ADD_PUBLISHED = (
    "INSERT OR REPLACE INTO published (episode, path, size, sha256, mtime_ns)"
    " VALUES (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?)"
)
Wait = Callable[[Exception, float], None]
"""Called with a passing error and the seconds since its first try: returns for another try, or raises."""


def wait_briefly(error: Exception, seconds: float) -> None:
    """A ``Wait`` for commands that somebody waits for."""
    if seconds > _PATIENCE_SECONDS:
        raise error
    time.sleep(_RETRY_SECONDS)


S = TypeVar("S", bound="Database")
P = ParamSpec("P")
T = TypeVar("T")


def patient(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """``method``, called again while the disk is full or another process holds the file, as the ``Wait`` decides.

    Its arguments must be usable more than once, and what it did before it failed is rolled back.
    """

    @wraps(method)
    def trying(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        began = time.monotonic()
        while True:
            try:
                return method(self, *args, **kwargs)
            except (OutputError, sqlite3.Error) as error:
                if not is_shortage(error):
                    raise
                self._wait(error, time.monotonic() - began)

    return trying


class Database(Closeable):
    """An open manifest file; a context manager. To be used by one thread."""

    def __init__(
        self,
        out: Path,
        *,
        is_new: bool = False,
        clock: Callable[[], float] = time.time,
        wait: Wait = wait_briefly,
    ) -> None:
        """Open the manifest of ``out``, or make one.

        Args:
            out: folder of the archive's results.
            is_new: whether there may be none yet.
            clock: seconds since 1970.
            wait: what to do while the disk is full or another process holds the file.

        Raises:
            ConfigError: there is none, it is of another version, or ``out`` has a state folder of somebody's.
            OutputError: it cannot be opened or made.
        """
        self._clock, self._out, self._wait = clock, out, wait
        self._path = out / STATE_FOLDER / DATABASE
        try:
            require_state_folder(out, is_new=is_new)
            if not is_new and not self._path.is_file():
                raise ConfigError(f"{out} holds no archive; name the --out of an earlier 'archive run'")
            self._database = sqlite3.connect(
                os.fspath(self._path), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            cause = _cause(error, out)
            raise self._unusable(cause) from cause
        try:
            self._database.row_factory = sqlite3.Row
            self._database.text_factory = _text
            self._prepare()
        except BaseException as error:
            self._database.close()
            if isinstance(error, sqlite3.Error):
                cause = _cause(error, out)
                raise self._unusable(cause) from cause
            raise

    def _unusable(self, cause: Exception) -> OutputError:
        reason = getattr(cause, "strerror", None) or cause
        return OutputError(f"cannot use {self._path}: {reason}; choose another --out")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @patient
    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")  # an episode that is done is not done again
        version = prepare_tables(
            self._database, _SCHEMA + _PUBLISHED_SCHEMA, SCHEMA_VERSION, f"cannot write {self._path}"
        )
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{self._out} holds an archive of version {version}, this program knows {SCHEMA_VERSION}; "
                "choose another --out"
            )
        add_columns(self._database, "episodes", _ADDED_COLUMNS)
        if self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'published'").fetchone() is None:
            self._adopt()

    def _adopt(self) -> None:
        """Give a manifest of before digests the table of published files, with those that it names."""
        from acfd_stream.archive.adopt import files_without_digests

        with self._transaction() as database:
            for statement in _PUBLISHED_SCHEMA.split(";"):
                database.execute(statement)
            for episode, file in [*files_without_digests(self._out, database)]:
                database.execute(ADD_PUBLISHED, published_values(episode, file))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside, or nothing of it.

        Raises:
            OutputError: the disk is full, the file is damaged, or another process holds it for too long.
        """
        with transaction(self._database, f"cannot write {self._path}", "make room, or see who holds it") as database:
            yield database


def published_values(episode: str, file: PublishedFile) -> tuple[bytes, bytes, int, str, int]:
    """The parameters of ``ADD_PUBLISHED``."""
    return text_bytes(episode), text_bytes(file.path), file.size, file.sha256, file.mtime_ns


def text_bytes(text: str) -> bytes:
    """For ``CAST(? AS TEXT)``: file names may hold bytes that are no text, which sqlite3 itself refuses."""
    return text.encode("utf-8", "surrogateescape")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _cause(error: Exception, out: Path) -> Exception:
    """Why a manifest cannot be opened: SQLite does not say whether the disk is full or there are no descriptors."""
    if getattr(error, "sqlite_errorname", "") == "SQLITE_CANTOPEN":
        try:
            require_room(out)
        except OSError as shortage:
            return shortage
    return error
