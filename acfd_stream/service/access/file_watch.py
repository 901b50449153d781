"""Whether files have changed since they were read; tokens and certificates change while the service runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

CHECK_SECONDS = 0.5
"""Minimum time between two checks of the files."""
_Stamp = tuple[int, int, int] | None


class FileWatch:
    """Compares ``paths`` with their last known state; created before they are read. Safe for several threads."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._checked_at = time.monotonic()
        self._seen = self._now()

    def note(self) -> None:
        """Take the current state as known: the files are about to be read."""
        with self._lock:
            self._seen = self._now()

    def have_changed(self) -> bool:
        """Whether a file has changed since the last check; False within ``CHECK_SECONDS`` of it."""
        with self._lock:
            now = time.monotonic()
            if now - self._checked_at < CHECK_SECONDS:
                return False
            self._checked_at = now
            before, self._seen = self._seen, self._now()
            return self._seen != before

    def _now(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
