"""Reads every file of an archive again, and says which are not what the archive published."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from acfd_stream.archive.manifest import Manifest
from acfd_stream.below import open_folder, sha256_of, status
from acfd_stream.errors import ForeignFileError
from acfd_stream.outputs.formats import ARCHIVE_SUFFIXES, INDEX
from acfd_stream.recording.published import Journal, PublishedFile
from acfd_stream.recording.task import JOURNAL_SUFFIX, PARTS_FOLDER, STATE_FOLDER


class Finding(StrEnum):
    """What is said of a file."""

    GOOD = "good"
    MISSING = "missing"  # it was published, and is gone
    CHANGED = "changed"  # its content is another one
    UNREADABLE = "unreadable"
    FOREIGN = "foreign"  # the archive did not publish it
    NO_DIGEST = "no digest"  # a version without digests published it; its size and time are the same


@dataclass(frozen=True)
class CheckedFile:
    """A file of an archive."""

    path: str  # below OUT
    finding: Finding
    reason: str = ""  # why it is unreadable

    @property
    def is_wrong(self) -> bool:
        """Whether somebody should look at it."""
        return self.finding not in (Finding.GOOD, Finding.NO_DIGEST)


def verify(out: Path) -> Iterator[CheckedFile]:
    """Every published file of the archive ``out``, as soon as it is read; then those that it did not publish.

    Foreign files are those under the name of a result; where no video of the archive is below ``out``, all others, too.

    Raises:
        ConfigError: there is no archive.
        OutputError: its manifest cannot be read.
    """
    with Manifest(out) as manifest:
        published = manifest.published()
        episodes = manifest.episodes()
    for journal in sorted(out.joinpath(*PARTS_FOLDER).glob(f"*{JOURNAL_SUFFIX}")):
        published += Journal(journal).read()
    versions: dict[str, list[PublishedFile]] = {}
    for file in published:
        versions.setdefault(file.path, []).append(file)
    for path in sorted(versions):
        yield _checked(out, path, versions[path])
    is_mixed = any(_is_below(out, episode.source) for episode in episodes)
    names = {f"{episode.name}{suffix}" for episode in episodes for suffix in ARCHIVE_SUFFIXES.values()} | {INDEX}
    for path in _all_files(out):
        is_result_name = path in names or path.rpartition("/")[0] in names
        if path not in versions and f"{path}/" not in versions and (is_result_name or not is_mixed):
            yield CheckedFile(path, Finding.FOREIGN)


def _checked(out: Path, path: str, versions: list[PublishedFile]) -> CheckedFile:
    *parts, name = path.rstrip("/").split("/")
    try:
        with open_folder(out, parts) as folder:
            found = status(folder, name)
            if found is None:
                return CheckedFile(path, Finding.MISSING)
            if path.endswith("/") or not stat.S_ISREG(found.st_mode):
                is_good = path.endswith("/") and stat.S_ISDIR(found.st_mode)
                return CheckedFile(path, Finding.GOOD if is_good else Finding.CHANGED)
            same_size = [file for file in versions if file.size == found.st_size]
            if any(file.sha256 == "" and file.mtime_ns == found.st_mtime_ns for file in same_size):
                return CheckedFile(path, Finding.NO_DIGEST)
            digest = sha256_of(folder, name)
    except (FileNotFoundError, ForeignFileError):
        return CheckedFile(path, Finding.MISSING)
    except OSError as error:
        return CheckedFile(path, Finding.UNREADABLE, error.strerror or str(error))
    is_good = any(file.sha256 == digest for file in same_size)
    return CheckedFile(path, Finding.GOOD if is_good else Finding.CHANGED)


def _all_files(out: Path) -> Iterator[str]:
    """Paths of all files and links below ``out``, without its state folder; folders that are links are not entered."""
    for folder, folders, files in os.walk(out):
        below = os.path.relpath(folder, out)
        folders[:] = sorted(name for name in folders if below != "." or name != STATE_FOLDER)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            yield name if below == "." else f"{below}/{name}"


def _is_below(out: Path, source: str) -> bool:
    if "://" in source:
        return False
    root = os.path.realpath(out)
    return os.path.realpath(source).startswith(root + os.sep)
