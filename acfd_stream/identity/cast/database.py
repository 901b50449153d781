"""The SQLite file of a cast: its tables, its checks, and changes that can be undone.

While a change is made, triggers note the statement that takes each of its steps back. The file has one rollback
journal, so a kill or a power cut in mid-change leaves the cast as it was.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.errors import CastError, ConfigError, OutputError
from acfd_stream.files import PART_SUFFIX, writing
from acfd_stream.identity.views_file import MOST_SECONDS
from acfd_stream.types import Closeable

FORMAT = 1
MOST_NAME = 100
"""Characters of a name."""
CHANGES_KEPT = 10
"""So many of the last changes can be undone."""
_APPLICATION = 0x41434644  # "ACFD", by which SQLite and ``file`` know the kind of the file
_BUSY_SECONDS = 10.0
_ADVICE = "take a copy of it from before"
_TABLES = {
    "meta": "key TEXT NOT NULL UNIQUE, value TEXT NOT NULL",
    "members": "name TEXT NOT NULL DEFAULT ''",
    "sources": "path TEXT NOT NULL UNIQUE, digest TEXT NOT NULL",
    "appearances": "source INTEGER NOT NULL, character INTEGER NOT NULL, member INTEGER NOT NULL,"
    " tracks INTEGER NOT NULL, UNIQUE (source, character)",
    "together": "source INTEGER NOT NULL, one INTEGER NOT NULL, other INTEGER NOT NULL, UNIQUE (source, one, other)",
    "views": "member INTEGER NOT NULL, source INTEGER NOT NULL, character INTEGER NOT NULL, track INTEGER NOT NULL,"
    " frame INTEGER NOT NULL, time REAL NOT NULL, quality REAL NOT NULL, embedding BLOB NOT NULL, crop BLOB NOT NULL",
}
"""Table → its columns besides ``id``. A number is never used again."""
_SCHEMA = (
    *(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns})" for table, columns in _TABLES.items()),
    "CREATE UNIQUE INDEX members_by_name ON members (name) WHERE name != ''",
    "CREATE INDEX appearances_by_member ON appearances (member)",
    "CREATE INDEX views_by_member ON views (member)",
    "CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL)",
    "CREATE TABLE steps (id INTEGER PRIMARY KEY AUTOINCREMENT, change INTEGER NOT NULL, statement TEXT NOT NULL)",
    "CREATE INDEX steps_by_change ON steps (change)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)
_OUT_OF_RANGE = {
    "members": f"length(name) > {MOST_NAME}",
    "appearances": "character < 0 OR tracks < 0 OR tracks >= 1 << 32",  # their sum is a whole number, too
    "views": f"character < 0 OR track < 0 OR frame < 0 OR quality NOT BETWEEN 0 AND 1 OR abs(time) > {MOST_SECONDS}",
}
"""Table → rows that no cast has; an infinite number is one."""
_UNDONE_BY = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)


class CastDatabase(Closeable):
    """An open cast file. To be used by one thread; any number of processes may have it open."""

    def __init__(self, path: Path, *, is_new: bool = False) -> None:
        """Open ``path``, or make it where ``is_new`` and it is missing.

        Raises:
            ConfigError: there is no such file.
            CastError: it is damaged, no cast, or of another format.
            OutputError: it cannot be made.
        """
        self.path = path
        if not is_new and not path.is_file():
            raise ConfigError(f"{path}: there is no such cast; 'acfd-stream cast build RESULTS --to {path}' makes one")
        mode = "rwc" if is_new else "rw"
        try:
            self._sqlite = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", timeout=_BUSY_SECONDS, isolation_level=None, uri=True
            )
        except sqlite3.Error as error:
            raise OutputError(f"{path}: cannot be opened: {error}; check the folder") from error
        try:
            with self._translated():
                self._sqlite.execute("PRAGMA trusted_schema = OFF")
                self._sqlite.execute("PRAGMA secure_delete = ON")  # what is forgotten leaves the file
                self._check(is_new)
            try:
                self._file = os.stat(path)
            except OSError as error:
                raise OutputError(f"{path}: another process has removed the cast; try again") from error
        except BaseException:
            self._sqlite.close()
            raise

    def _check(self, is_new: bool) -> None:
        application, version = (self.value(f"PRAGMA {name}") for name in ("application_id", "user_version"))
        if is_new and application == version == 0 and not self.value("SELECT COUNT(*) FROM sqlite_schema"):
            self._sqlite.execute("BEGIN IMMEDIATE")
            if not self.value("SELECT COUNT(*) FROM sqlite_schema"):  # another process may have made them
                for statement in _SCHEMA:
                    self._sqlite.execute(statement)
            self._sqlite.execute("COMMIT")
            return
        if application != _APPLICATION:
            raise CastError(f"{self.path}: is not a cast; name another file")
        if version != FORMAT:
            raise CastError(f"{self.path}: is a cast of format {version}, and this program reads {FORMAT}; update it")
        found = self.value("PRAGMA quick_check(1)")
        if found == "ok" and _schema_of(self._sqlite) != _own_schema():
            found = "it has other tables"
        if found == "ok":
            self._sqlite.execute("BEGIN")  # other processes may change the cast meanwhile
            try:
                found = self._wrong_value()
            finally:
                self._sqlite.execute("ROLLBACK")
        if found != "ok":
            raise CastError(f"{self.path}: the cast is damaged ({found}); {_ADVICE}")

    def _wrong_value(self) -> str:
        """Which value no cast has, in words; "ok": none."""
        for table in (*_TABLES, "changes", "steps"):
            columns = self.rows("SELECT name, lower(type) FROM pragma_table_info(?)", table)
            is_other = " OR ".join(f"typeof({name}) != '{kind}'" for name, kind in columns)
            if self.value(f"SELECT COUNT(*) FROM {table} WHERE {is_other}"):
                return f"a value in {table} is of another type"
        for table, is_wrong in _OUT_OF_RANGE.items():
            if self.value(f"SELECT COUNT(*) FROM {table} WHERE {is_wrong}"):
                return f"a value in {table} is out of range"
        self.rows("SELECT name FROM members")  # fails where one is no text in UTF-8
        about = dict(self.rows("SELECT key, value FROM meta"))
        try:
            size = int(about["dimensions"]) * np.dtype("<f2").itemsize if about else 0
            is_sound = not about or (-1.0 <= float(about["link_similarity"]) <= 1.0 and 0 <= size < 2**31)
        except (KeyError, ValueError):
            is_sound = False
        if not is_sound or (about and not {"model", "model_version", "digest"} <= about.keys()):
            return "it does not say what network its embeddings are of"
        if self.value("SELECT COUNT(*) FROM views WHERE length(embedding) != ?", size):
            return "an embedding has another length"
        with closing(self._sqlite.execute("SELECT embedding FROM views")) as embeddings:
            if not all(np.isfinite(np.frombuffer(embedding, "<f2")).all() for (embedding,) in embeddings):
                return "an embedding is not finite"
        return "ok"

    def close(self) -> None:
        """Close the file."""
        self._sqlite.close()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            CastError: the file is damaged.
            OutputError: the file cannot be read now.
        """
        with self._translated():
            try:
                return self._sqlite.execute(query, values).fetchall()
            except OverflowError:  # no row has a number of more than 64 bits
                return []

    def value(self, query: str, *values: Any) -> Any:
        """The first value of the first row; None: there is none."""
        found = self.rows(query, *values)
        return found[0][0] if found else None

    def run(self, statement: str, *values: Any) -> int:
        """Execute a statement inside a ``change``; returns the number of the last row that was inserted."""
        with self._translated():
            return self._sqlite.execute(statement, values).lastrowid or 0

    @contextmanager
    def change(self, what: str) -> Iterator[None]:
        """Make one change, which can be undone, or nothing where an error is raised inside.

        A change inside another one is part of it.

        Args:
            what: the change in words.

        Raises:
            OutputError: another process is changing the cast, or the disk is full; nothing was changed.
        """
        if self._sqlite.in_transaction:
            yield
            return
        with self._transaction():
            change = self.run("INSERT INTO changes (what) VALUES (?)", what)
            for table in _TABLES:
                for trigger in self._triggers(table, change):
                    self._sqlite.execute(trigger)
            yield
            self._drop_triggers()
            kept = f"(SELECT id FROM changes ORDER BY id DESC LIMIT {CHANGES_KEPT})"
            self.run(f"DELETE FROM steps WHERE change NOT IN {kept}")
            self.run(f"DELETE FROM changes WHERE id NOT IN {kept}")

    def undo(self) -> str | None:
        """Take the last change back and return it in words; None: there is none to undo.

        Raises:
            CastError: the log of changes is damaged.
            OutputError: another process is changing the cast.
        """
        with self._transaction():
            last = self.rows("SELECT id, what FROM changes ORDER BY id DESC LIMIT 1")
            if not last:
                return None
            (change, what) = last[0]
            steps = self.rows("SELECT statement FROM steps WHERE change = ? ORDER BY id DESC", change)
            self._sqlite.set_authorizer(_allows_undo)  # the file may come from somebody else
            try:
                for (statement,) in steps:
                    self.run(statement)
            finally:
                self._sqlite.set_authorizer(None)
            self.run("DELETE FROM steps WHERE change = ?", change)
            self.run("DELETE FROM changes WHERE id = ?", change)
        return str(what)

    def remove_if_unchanged(self) -> None:
        """Remove the file if nobody has ever changed the cast; other processes that have it open are told so.

        Raises:
            OutputError: another process is changing the cast.
        """
        with self._transaction():
            if not self.value("SELECT COUNT(*) FROM changes"):
                self.path.unlink()

    def copy_to(self, path: Path) -> None:
        """Write the cast as it is now to ``path``, over what is there; without the log of changes.

        Raises:
            OutputError: it cannot be written.
        """
        fresh = path.with_name(f"{path.name}.{os.getpid()}{PART_SUFFIX}")
        try:
            with self._translated(), closing(sqlite3.connect(os.fspath(fresh), isolation_level=None)) as copy:
                self._sqlite.backup(copy)
                copy.execute("DELETE FROM steps")
                copy.execute("DELETE FROM changes")
                copy.execute("VACUUM")  # free pages have what was deleted
            with writing(path):
                fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _triggers(self, table: str, change: int) -> list[str]:
        columns = [name for (name,) in self.rows("SELECT name FROM pragma_table_info(?)", table)]
        newest = self.value("SELECT seq FROM sqlite_sequence WHERE name = ?", table) or 0
        is_older = f"WHEN OLD.id <= {newest}"  # rows of this change leave with it, whatever became of them
        old = " || ', ' || ".join(f"quote(OLD.{name})" for name in columns)
        pairs = " || ', ' || ".join(f"'{name} = ' || quote(OLD.{name})" for name in columns)
        undone = {
            "INSERT": f"'DELETE FROM {table} WHERE id = ' || NEW.id",
            "UPDATE": f"'UPDATE {table} SET ' || {pairs} || ' WHERE id = ' || OLD.id",
            "DELETE": f"'INSERT INTO {table} ({', '.join(columns)}) VALUES (' || {old} || ')'",
        }
        return [
            f"CREATE TEMP TRIGGER undo_{table}_{event} AFTER {event} ON main.{table}"
            f" {is_older if event != 'INSERT' else ''} BEGIN"
            f" INSERT INTO steps (change, statement) VALUES ({change}, {statement}); END"
            for event, statement in undone.items()
        ]

    def _drop_triggers(self) -> None:
        for table in _TABLES:
            for event in ("INSERT", "UPDATE", "DELETE"):
                self._sqlite.execute(f"DROP TRIGGER undo_{table}_{event}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated():
            self._sqlite.execute("BEGIN IMMEDIATE")
            try:
                self._require_own_file()
                yield
                self._sqlite.execute("COMMIT")
            except BaseException:
                if self._sqlite.in_transaction:
                    self._sqlite.execute("ROLLBACK")
                raise

    def _require_own_file(self) -> None:
        """Raise OutputError if the path has another file by now: a change of the old one would be lost."""
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path), self._file):
                return
        raise OutputError(
            f"{self.path}: another process has removed or replaced the cast; nothing was changed; try again"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = str(getattr(error, "sqlite_errorname", ""))
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise OutputError(f"{self.path}: another process is changing the cast; try again") from error
            if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
                raise OutputError(f"{self.path}: the cast cannot be written: {error}; nothing was changed") from error
            if name.startswith("SQLITE_NOTADB"):
                raise CastError(f"{self.path}: is not a cast; name another file") from error
            raise CastError(f"{self.path}: the cast is damaged ({error}); {_ADVICE}") from error


def _schema_of(sqlite: sqlite3.Connection) -> list[tuple[str, str]]:
    query = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    return sqlite.execute(query).fetchall()


@cache
def _own_schema() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as sqlite:
        for statement in _SCHEMA:
            sqlite.execute(statement)
        return _schema_of(sqlite)


def _allows_undo(action: int, first: str | None, *about: str | None) -> int:
    """Whether SQLite may do it while changes are undone: only rows of our tables are written."""
    is_row = action in _UNDONE_BY and first in {*_TABLES, "sqlite_sequence"}
    return sqlite3.SQLITE_OK if is_row or action == sqlite3.SQLITE_READ else sqlite3.SQLITE_DENY
