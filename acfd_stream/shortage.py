"""Which errors pass by themselves: a full disk, too many open files, a database that another process holds."""

from __future__ import annotations

import errno
import sqlite3

_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
_OF_SQLITE = (
    *("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED"),
    *("SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMOPEN"),
)
"""SQLite says IOERR_SHMSIZE where its log finds no room."""


def is_shortage(error: BaseException | None) -> bool:
    """Whether ``error``, or what caused it, passes when there is room, a free descriptor, or the lock is released."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return True
        if isinstance(error, sqlite3.Error) and str(getattr(error, "sqlite_errorname", "")).startswith(_OF_SQLITE):
            return True
        error = error.__cause__
    return False
