"""The folder OUT/.acfd: it holds the manifest and unfinished files, and is used only if this program made it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
from pathlib import Path

from acfd_stream.below import create, open_folder, status
from acfd_stream.errors import ConfigError, ForeignFileError
from acfd_stream.files import PART_SUFFIX
from acfd_stream.recording.task import PARTS_FOLDER, STATE_FOLDER

MARKER = "archive.json"
"""Says that the folder is ours; its content is ``_MARK``."""
DATABASE = "manifest.sqlite3"
_MARK = {"program": "acfd_stream", "folder": "archive", "version": 1}
_TABLES = {"episodes", "files", "runs"}
_MOST_BYTES = 4096
_PROBE = "room"
_PROBE_BYTES = 256 * 1024


def require_state_folder(out: Path, *, is_new: bool) -> None:
    """Return if OUT/.acfd is ours, without a link on the way to it or in it; mark it as ours.

    Args:
        out: folder of the results; it may be a link itself.
        is_new: make it, with the folder of unfinished files, where there is none.

    Raises:
        ConfigError: it is somebody's, or there is none.
        ForeignFileError: it, or a file that would be written, is a link.
        OSError: the file system refuses.
    """
    with contextlib.ExitStack() as opened:
        try:
            folder = opened.enter_context(open_folder(out, [STATE_FOLDER], makes=is_new))
        except FileNotFoundError:
            raise ConfigError(f"{out} holds no archive; name the --out of an earlier 'archive run'") from None
        names = os.listdir(folder)
        for name in names:
            if name.startswith(DATABASE) and not _is_plain(folder, name):
                raise ForeignFileError(
                    f"{out}/{STATE_FOLDER}/{name} is a link; nothing is written through it; remove it"
                )
        if status(folder, MARKER) is None:  # asked after the listing: another run may be making it
            _require_ours(out, set(names))
            _mark(out, folder)
        elif _read(folder, MARKER) != _MARK:
            raise _not_ours(out)
    if is_new:
        with open_folder(out, PARTS_FOLDER, makes=True):
            pass


def require_room(out: Path) -> None:
    """Return if a file of a few pages can be written to OUT/.acfd.

    Raises:
        OSError: it cannot.
    """
    path = out / STATE_FOLDER / _PROBE
    try:
        with open(create(path), "wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_plain(folder: int, name: str) -> bool:
    found = status(folder, name)
    return found is None or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)


def _require_ours(out: Path, names: set[str]) -> None:
    """Refuse a folder without a marker, unless a version without markers made it, or a kill left it empty."""
    if DATABASE in names:
        path = out / STATE_FOLDER / DATABASE
        is_ours = path.stat().st_size == 0 or _tables(path) >= _TABLES
    else:
        is_ours = all(name == PARTS_FOLDER[-1] or name.startswith(MARKER) for name in names)
    if not is_ours:
        raise _not_ours(out)


def _tables(path: Path) -> set[str]:
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return set()


def _mark(out: Path, folder: int) -> None:
    fresh = out / STATE_FOLDER / f"{MARKER}.{os.getpid()}{PART_SUFFIX}"
    with open(create(fresh), "w") as file:
        file.write(json.dumps(_MARK) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh.name, MARKER, src_dir_fd=folder, dst_dir_fd=folder)


def _read(folder: int, name: str) -> object:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with open(file, "rb") as opened:
            return json.loads(opened.read(_MOST_BYTES))
    except (OSError, ValueError):
        return None


def _not_ours(out: Path) -> ConfigError:
    return ConfigError(f"{out}/{STATE_FOLDER} was not made by this program; choose another --out")
