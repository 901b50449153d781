"""Compiled networks on disk, so that the next process starts sooner.

It only saves time: a folder that cannot be written, a file cut short or another process at the
same work is never an error, the network is compiled again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path

_log = logging.getLogger(__name__)

KEPT_FILES = 16
"""Compiled networks that stay in the folder; the one written first makes room."""
_DIGEST_BYTES = 32


class CompiledCache:
    """Blobs by key in one folder; each file is its digest and then the blob."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, *key: object) -> bytes | None:
        """The blob stored under ``key``, or None; one that is not whole counts as none."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        digest, blob = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return blob if hashlib.sha256(blob).digest() == digest else None

    def store(self, blob: bytes, *key: object) -> None:
        """Keep ``blob`` under ``key``; a reader sees all of it or nothing."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
                try:
                    file.write(hashlib.sha256(blob).digest() + blob)
                    file.flush()
                    os.replace(file.name, self._path(key))
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            self._prune()
        except OSError as error:
            _log.debug("compiled network not kept in %s: %s", self._folder, error)

    def _path(self, key: tuple[object, ...]) -> Path:
        return self._folder / (hashlib.sha256(repr(key).encode()).hexdigest()[:32] + ".compiled")

    def _prune(self) -> None:
        files = sorted(self._folder.glob("*.compiled"), key=_modified)
        for path in files[:-KEPT_FILES]:
            path.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    """Time of the last write; 0 for a file that another process has just removed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
