"""Files that are read again when they change: tokens, certificates and keys change while the server runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from acfd_stream.errors import AcfdError

T = TypeVar("T")
CHECK_SECONDS = 0.5
"""Minimum time between two checks of the files."""
_log = logging.getLogger(__name__)


class FileWatch(Generic[T]):
    """The value that ``read`` returns for the files at ``paths``, read again when they change. Thread-safe.

    If a file becomes invalid, the previous value stays in use, and an error is logged.
    """

    def __init__(self, name: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        """Read the files; ``name`` is what they contain, in plural, for the log.

        Raises:
            AcfdError: ``read`` raises it.
        """
        self._name, self._paths, self._read = name, paths, read
        self._lock = threading.RLock()
        self._checked_at = time.monotonic()
        self._stamps = self._stat()
        self._value = read()

    @property
    def value(self) -> T:
        """The current value; never raises."""
        self.refresh()
        return self._value

    def refresh(self) -> bool:
        """Read the files if they have changed since the last check; whether there is a new value. Never raises."""
        with self._lock:
            now = time.monotonic()
            if now - self._checked_at < CHECK_SECONDS:
                return False
            self._checked_at = now
            return self._stat() != self._stamps and self.reload()

    def reload(self) -> bool:
        """Read the files now; whether they were valid. Never raises."""
        with self._lock:
            self._stamps = self._stat()
            try:
                self._value = self._read()
            except AcfdError as error:
                _log.error("the previous %s stay in use: %s", self._name, error)
                return False
            _log.info("new %s are in use", self._name)
            return True

    def _stat(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
