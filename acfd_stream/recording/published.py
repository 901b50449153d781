"""Final names below OUT: what a name holds is replaced or removed only if this program wrote it, and it is unchanged.

The SHA-256 of a file is noted before the file gets its final name, so a kill in between leaves no file that nobody
knows. A worker notes it in the journal of the episode; the run takes it from there into the manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from acfd_stream.below import create, is_folder, open_below, open_folder, open_own, sha256_of, status
from acfd_stream.errors import ForeignFileError
from acfd_stream.files import sync_folder, sync_tree, writing

_FRESH = ".acfd-fresh"
"""Name of a file until it gets its own: a kill leaves at most this one."""


@dataclass(frozen=True)
class PublishedFile:
    """A file that got its final name, or a folder of files."""

    path: str  # below OUT, parts separated by /; ends in / for a folder
    size: int = 0  # bytes
    sha256: str = ""  # hexadecimal digits; empty: a version without digests wrote it, or it is a folder
    mtime_ns: int = 0  # of a file without a digest

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.endswith("/")


class Journal:
    """The files that an episode published, in JSON lines; a line is on the disk before its file has its name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[PublishedFile]:
        """All that was noted, oldest first; a line that a kill cut off does not count."""
        found = []
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                found.append(PublishedFile(**json.loads(line)))
        return found

    def note(self, files: Sequence[PublishedFile]) -> None:
        """Add ``files``; on return they survive a power cut.

        Raises:
            OutputError: it cannot be written.
        """
        text = "".join(f"\n{json.dumps(asdict(file))}\n" for file in files)  # the line before may be cut off
        with writing(self._path):
            is_new = not self._path.exists()
            with open(open_own(self._path, os.O_WRONLY | os.O_APPEND), "ab") as opened:
                opened.write(text.encode())
                opened.flush()
                os.fsync(opened.fileno())
            if is_new:
                sync_folder(self._path.parent)


class FinalNames:
    """Gives files and folders of files their names below OUT; one thread at a time.

    Args:
        out: the folder of the results.
        known: files that were published before.
        note: keeps files that will be published now, for good.
    """

    def __init__(
        self, out: Path, known: Iterable[PublishedFile], note: Callable[[Sequence[PublishedFile]], None]
    ) -> None:
        self._out, self._note = out, note
        self._known: dict[str, dict[str, PublishedFile]] = {}
        self._learn(known)

    def has(self, path: str) -> bool:
        """Whether a file or folder that was published as ``path`` is there, changed or not."""
        known = path in self._known or f"{path}/" in self._known
        return known and os.path.lexists(self._out / path)

    def is_unchanged(self, path: str) -> bool:
        """Whether what was published as ``path`` is there, with the same content."""
        with self._opened(path) as (folder, name):
            return folder is not None and self._holds(folder, name, path)

    def require_free(self, path: str, is_alike: Callable[[Path], bool] = lambda path: False) -> None:
        """Return if nothing is at ``path``, or what was published there, unchanged, or what ``is_alike``.

        Raises:
            ForeignFileError: anything else is there.
        """
        with self._opened(path) as (folder, name):
            if folder is None or status(folder, name) is None or self._holds(folder, name, path):
                return
            is_link = os.path.islink(self._out / path)
            if not is_link and is_alike(self._out / path):
                return
        raise self._foreign(path)

    def publish(self, fresh: Path, path: str) -> None:
        """Give the file or folder ``fresh`` the name ``path``, durably; its folders are made.

        Raises:
            ForeignFileError: the name is taken by what is not ours, and differs from ``fresh``.
            OutputError: the file system refuses.
        """
        with writing(self._out / path):
            files = files_of(fresh, path)
            sync_tree(fresh)
            *parts, name = path.split("/")
            with open_folder(self._out, parts, makes=True) as folder:
                self._require_replaceable(folder, name, path, files)
                self._note(files)
                self._learn(files)
                if is_folder(folder, name):
                    self._clear(folder, name)
                os.replace(fresh, name, dst_dir_fd=folder)
                with contextlib.suppress(OSError):
                    os.fsync(folder)

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write files under their names; their folders are made. Many at once cost one entry in the notes.

        Args:
            contents: path below OUT → content.

        Raises:
            ForeignFileError: a name is taken; nothing of ``contents`` is written.
            OutputError: the file system refuses.
        """
        for path in contents:
            self.require_free(path)
        files = [PublishedFile(path, len(each), hashlib.sha256(each).hexdigest()) for path, each in contents.items()]
        self._note(files)
        self._learn(files)
        fresh = self._out / _FRESH
        for path, content in contents.items():
            *parts, name = path.split("/")
            with writing(self._out / path), open_folder(self._out, parts, makes=True) as folder:
                with open(create(fresh), "wb") as file:
                    file.write(content)
                os.replace(fresh, name, dst_dir_fd=folder)

    def require_replaceable(self, fresh: Path, path: str) -> None:
        """Return if ``publish`` would not refuse because of what is at ``path``.

        Raises:
            ForeignFileError: it would.
        """
        with writing(self._out / path), self._opened(path) as (folder, name):
            if folder is not None and status(folder, name) is not None:  # a free name needs no digests
                self._require_replaceable(folder, name, path, files_of(fresh, path))

    def withdraw(self, path: str) -> None:
        """Remove what was published as ``path``, if it is there and unchanged.

        Raises:
            OutputError: it cannot be removed.
        """
        with writing(self._out / path), self._opened(path) as (folder, name):
            if folder is None or not self._holds(folder, name, path):
                return
            if is_folder(folder, name):
                self._clear(folder, name)
            else:
                os.unlink(name, dir_fd=folder)

    def adopt(self, paths: Iterable[str]) -> None:
        """Note what a version without digests published.

        Raises:
            OutputError: it cannot be read, or noted.
        """
        for path in paths:
            with writing(self._out / path):
                files = files_of(self._out / path, path)
            self._note(files)
            self._learn(files)

    def files(self) -> tuple[PublishedFile, ...]:
        """Of each path that is still there what was published last."""
        newest = [[*versions.values()][-1] for versions in self._known.values()]
        return tuple(file for file in newest if os.path.lexists(self._out / file.path.rstrip("/")))

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int | None, str]]:
        """The folder of ``path`` and the name in it; None: there is no such folder."""
        *parts, name = path.split("/")
        with contextlib.ExitStack() as opened:
            try:
                folder: int | None = opened.enter_context(open_folder(self._out, parts))
            except FileNotFoundError:
                folder = None
            yield folder, name

    def _learn(self, files: Iterable[PublishedFile]) -> None:
        for file in files:
            versions = self._known.setdefault(file.path, {})
            versions.pop(file.sha256, None)
            versions[file.sha256] = file

    def _require_replaceable(self, folder: int, name: str, path: str, files: Sequence[PublishedFile]) -> None:
        same = FinalNames(self._out, files, self._note)  # nothing is lost where the same bytes are there
        if status(folder, name) is not None and not self._holds(folder, name, path, same):
            raise self._foreign(path)

    def _holds(self, folder: int, name: str, path: str, same: FinalNames | None = None) -> bool:
        """Whether ``name`` is a published file, or a folder with nothing else in it."""
        if not is_folder(folder, name):
            found = status(folder, name)
            return any(names._is_known_file(folder, name, path, found) for names in (self, same) if names is not None)
        with open_below(folder, name) as inside:
            return all(
                not is_folder(inside, entry) and self._holds(inside, entry, f"{path}/{entry}", same)
                for entry in os.listdir(inside)
            )

    def _is_known_file(self, folder: int, name: str, path: str, found: os.stat_result | None) -> bool:
        if found is None or not stat.S_ISREG(found.st_mode):
            return False
        versions = [file for file in self._known.get(path, {}).values() if file.size == found.st_size]
        if any(not file.sha256 and file.mtime_ns == found.st_mtime_ns for file in versions):
            return True
        digests = {file.sha256 for file in versions if file.sha256}
        return bool(digests) and sha256_of(folder, name) in digests

    def _clear(self, folder: int, name: str) -> None:
        """Remove a folder whose files are all published ones."""
        with open_below(folder, name) as inside:
            for entry in os.listdir(inside):
                os.unlink(entry, dir_fd=inside)
        os.rmdir(name, dir_fd=folder)

    def _foreign(self, path: str) -> ForeignFileError:
        place = self._out / path
        if os.path.islink(place):
            reason = "is a link"
        elif path in self._known or f"{path}/" in self._known:
            reason = "was changed after this program wrote it"
        else:
            reason = "is not a file of this archive"
        return ForeignFileError(f"{place} {reason}; it is kept; move it away, then run again")


def files_of(fresh: Path, path: str) -> tuple[PublishedFile, ...]:
    """What ``fresh`` is once it is published as ``path``.

    Raises:
        OSError: it cannot be read.
    """
    if not fresh.is_dir():
        return (PublishedFile(path, fresh.stat().st_size, sha256_of(None, fresh)),)
    inside = sorted(fresh.iterdir())
    return (
        PublishedFile(f"{path}/"),
        *(PublishedFile(f"{path}/{file.name}", file.stat().st_size, sha256_of(None, file)) for file in inside),
    )
