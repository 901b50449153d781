"""The tables of the job store, and what a store of an earlier program lacks of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from acfd_stream.errors import ConfigError
from acfd_stream.files import add_columns, prepare_tables, transaction
from acfd_stream.service.jobs.database import DATABASE

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    key TEXT,
    digest BLOB NOT NULL,
    request BLOB NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    frames INTEGER NOT NULL DEFAULT 0,
    tracks INTEGER NOT NULL DEFAULT 0,
    result_bytes INTEGER NOT NULL DEFAULT 0,
    expected_frames INTEGER,
    is_cancel_asked INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    checkpoint BLOB,
    start BLOB,
    error TEXT NOT NULL DEFAULT '',
    error_code INTEGER NOT NULL DEFAULT 0,
    warnings TEXT NOT NULL DEFAULT '[]',
    gaps INTEGER NOT NULL DEFAULT 0,
    missing_seconds REAL NOT NULL DEFAULT 0,
    caller TEXT,
    ended_uptime REAL,
    worked_seconds REAL NOT NULL DEFAULT 0,
    deferrals INTEGER NOT NULL DEFAULT 0,
    view_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, key)
);
CREATE INDEX jobs_by_state ON jobs (state, sequence);
CREATE INDEX jobs_by_owner ON jobs (owner, sequence);
"""
# Of stores that were made before there were these columns and tables.
_ADDED_COLUMNS = {
    "gaps": "INTEGER NOT NULL DEFAULT 0",
    "missing_seconds": "REAL NOT NULL DEFAULT 0",
    "caller": "TEXT",
    "ended_uptime": "REAL",  # seconds for which the service had run when the job ended
    "worked_seconds": "REAL NOT NULL DEFAULT 0",  # up to its last checkpoint
    "deferrals": "INTEGER NOT NULL DEFAULT 0",  # how often it went to the end of the queue
    "view_bytes": "INTEGER NOT NULL DEFAULT 0",  # of a job that has ended
}
_ADDED_TABLES = {
    "digests": "(job_id TEXT, number INTEGER, size INTEGER, sha256 BLOB, PRIMARY KEY (job_id, number)) WITHOUT ROWID",
    "uptime": "(id INTEGER PRIMARY KEY CHECK (id = 0), seconds REAL NOT NULL)",
}
_FAILURE = "the job store cannot be written"


def prepare(database: sqlite3.Connection, uptime: Callable[[], float]) -> None:
    """Make or extend the tables.

    Args:
        database: of the job store.
        uptime: for how long the service has run, seconds; jobs that an earlier program finished have ended now.

    Raises:
        ConfigError: a newer program made them.
        OutputError: they cannot be written.
    """
    version = prepare_tables(database, _SCHEMA, SCHEMA_VERSION, _FAILURE)
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"jobs.state_dir has a {DATABASE} of format {version}, and this program reads format {SCHEMA_VERSION}:"
            " install the newer program again, or choose another jobs.state_dir"
        )
    add_columns(database, "jobs", _ADDED_COLUMNS)
    there = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    missing = _ADDED_TABLES.keys() - there
    ended = "ended_uptime IS NULL AND ended IS NOT NULL"
    if missing or database.execute(f"SELECT 1 FROM jobs WHERE {ended}").fetchone() is not None:
        with transaction(database, _FAILURE):
            for name in missing:
                database.execute(f"CREATE TABLE {name} {_ADDED_TABLES[name]}")
            database.execute(f"UPDATE jobs SET ended_uptime = ? WHERE {ended}", (uptime(),))
