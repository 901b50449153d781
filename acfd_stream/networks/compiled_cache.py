"""Compiled networks on disk, so that the next process starts faster.

The cache only saves time. If a folder cannot be written, a file is cut short or another process does the same, the
network is compiled again, without an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path

from acfd_stream.files import PART_SUFFIX

_log = logging.getLogger(__name__)

KEPT_FILES = 16
"""Most compiled networks in the folder; the one that was not used for the longest time is removed first."""
_DIGEST_BYTES = 32
_STALE_SECONDS = 3600  # longer than any write takes


class CompiledCache:
    """Blobs by key in one folder; a file is the digest and then the blob. Without a folder, nothing is cached."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def load(self, *key: object) -> bytes | None:
        """The blob stored under ``key``, or None, also if its file is damaged."""
        if self._folder is None:
            return None
        path = _path(self._folder, key)
        try:
            data = path.read_bytes()
            _note_use(path)
        except OSError:
            return None
        digest, blob = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return blob if hashlib.sha256(blob).digest() == digest else None

    def store(self, blob: bytes, *key: object) -> None:
        """Store ``blob`` under ``key``; a reader sees all of it or nothing."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=PART_SUFFIX, delete=False) as file:
                try:
                    file.write(hashlib.sha256(blob).digest() + blob)
                    file.flush()
                    os.replace(file.name, _path(self._folder, key))
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            _prune(self._folder)
        except OSError as error:
            _log.debug("compiled network not kept in %s: %s", self._folder, error)


def _path(folder: Path, key: tuple[object, ...]) -> Path:
    return folder / (hashlib.sha256(repr(key).encode()).hexdigest()[:32] + ".compiled")


def _note_use(path: Path) -> None:
    """Set the time of the last access, which file systems seldom write by themselves; another user's file keeps its."""
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _prune(folder: Path) -> None:
    """Remove the blobs above the limit that are unused for longest, and partial files of killed processes."""
    files = sorted(folder.glob("*.compiled"), key=_times)
    stale = [path for path in folder.glob(f"*{PART_SUFFIX}") if _times(path)[1] < time.time() - _STALE_SECONDS]
    for path in files[:-KEPT_FILES] + stale:
        path.unlink(missing_ok=True)


def _times(path: Path) -> tuple[float, float]:
    """Times of the last use and of the last write; 0 for a file that another process has just removed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0, 0.0
    return found.st_atime, found.st_mtime
