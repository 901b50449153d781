"""Whether files have changed since they were read: tokens and certificates are exchanged while the service runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

LOOK_SECONDS = 0.5
"""Files are looked at so often at the most, however often one asks."""
_Stamp = tuple[int, int, int] | None


class FileWatch:
    """What tells ``paths`` from what they were; begun before they are read. May be used from several threads."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._seen = self._now()

    def note(self) -> None:
        """The files are about to be read, though nobody asked whether they have changed."""
        with self._lock:
            self._seen = self._now()

    def have_changed(self) -> bool:
        """Whether a file is another one than at the look before; False where that was only just now."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at < LOOK_SECONDS:
                return False
            self._looked_at = now
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
