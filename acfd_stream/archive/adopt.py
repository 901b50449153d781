"""Files of an archive whose manifest has no digests, because an earlier version of the program made it.

Such a file counts as ours if the manifest names it, its content is that of a result, and nobody wrote to it after the
manifest did. Its size and time stand in for a digest from then on.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

from acfd_stream.below import open_folder, status
from acfd_stream.errors import ForeignFileError
from acfd_stream.outputs.formats import ARCHIVE_SUFFIXES, RESULTS
from acfd_stream.outputs.recognise import is_result, is_thumbnails
from acfd_stream.recording.published import PublishedFile

_HEAD_BYTES = 4096
_SLACK_SECONDS = 2.0  # between a file's time and the manifest's
_QUERY = "SELECT name, state, outputs, result_bytes, changed FROM episodes WHERE key != '' AND state != 'waiting'"


def files_without_digests(out: Path, database: Connection) -> Iterator[tuple[str, PublishedFile]]:
    """Every file of the archive that is ours, after the name of its episode; the index has the name ""."""
    newest = 0.0
    for name, state, outputs, result_bytes, changed in database.execute(_QUERY).fetchall():
        newest = max(newest, changed)
        for output in (RESULTS, *json.loads(outputs)):
            path = f"{name}{ARCHIVE_SUFFIXES[output]}" if output in ARCHIVE_SUFFIXES else ""
            for file in _files_at(out, path, changed) if path else ():
                if output != RESULTS or state != "done" or file.size == result_bytes:
                    yield name, file
    for file in _files_at(out, "index.html", None):
        yield "", file


def _files_at(out: Path, path: str, changed: float | None) -> Iterator[PublishedFile]:
    *parts, name = path.split("/")
    with contextlib.suppress(FileNotFoundError, ForeignFileError), open_folder(out, parts) as folder:
        found = status(folder, name)
        if found is None:
            return
        is_ours = stat.S_ISREG(found.st_mode) and (is_result(out / path) or _is_overlay(out / path))
        if is_ours and _is_old(found, changed):
            yield PublishedFile(path, found.st_size, "", found.st_mtime_ns)
        elif stat.S_ISDIR(found.st_mode) and is_thumbnails(out / path):
            yield PublishedFile(f"{path}/")
            for entry in sorted(os.listdir(out / path)):
                inside = os.lstat(out / path / entry)
                if _is_old(inside, changed):
                    yield PublishedFile(f"{path}/{entry}", inside.st_size, "", inside.st_mtime_ns)


def _is_overlay(path: Path) -> bool:
    """Whether it is an MP4 with the pictures of an overlay; versions without digests left no other sign in it."""
    if not path.name.endswith(ARCHIVE_SUFFIXES["overlay"]):
        return False
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    return head[4:8] == b"ftyp" and b"x264 - core" in head


def _is_old(found: os.stat_result, changed: float | None) -> bool:
    return changed is None or found.st_mtime <= changed + _SLACK_SECONDS
