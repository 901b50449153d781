"""Finds the videos of an archive: folders, patterns, single files and URLs become sources with a name each.

The name says where the results go below OUT. It is the path below the folder, below the fixed part of a pattern, or the
file's own name. A video that cannot be read or named is returned as a ``Fault``.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.files import PART_SUFFIX
from acfd_stream.outputs.formats import ARCHIVE_SUFFIXES
from acfd_stream.recording import remote
from acfd_stream.recording.task import STATE_FOLDER
from acfd_stream.video.origin import FileStamp, local_path, os_reason, without_secrets

_SUFFIXES = """
3g2 3gp asf avi dv f4v flv gif h264 h265 264 265 hevc ivf m2t m2ts m2v m4v mj2 mjpeg mjpg mkv mov mp4 mpe mpeg mpg mts
mxf nut obu ogg ogm ogv qt rm rmvb ts vob webm wmv y4m
"""
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of videos in a folder, in lower case; a file that the caller names may have any suffix."""
SYSTEM_FOLDERS = frozenset({"lost+found", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
MADE_VIDEOS = (ARCHIVE_SUFFIXES["overlay"], ARCHIVE_SUFFIXES["proxy"])
"""What follows the name of a video in videos that an archive run makes of it."""
_MAGIC = re.compile(r"[*?\[]")
_NAME_BYTES = 255  # of one part of a path, on every usual file system
_LONGEST_SUFFIX = max(len(suffix) for suffix in ARCHIVE_SUFFIXES.values()) + len(PART_SUFFIX)


@dataclass(frozen=True)
class Video:
    """One video that was found."""

    source: str  # path as given, or URL
    name: str  # see RecordingTask
    size: int | None  # bytes, where known
    stamp: FileStamp | None = None  # of a local file


@dataclass(frozen=True)
class Fault:
    """A video, or a folder of videos, that cannot be read or named."""

    source: str
    name: str
    reason: str  # one line


@dataclass
class Findings:
    """All that was found, by name."""

    videos: list[Video] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def only(self, is_wanted: Callable[[Video], bool]) -> Findings:
        """Without the videos for which ``is_wanted`` does not hold."""
        return Findings([video for video in self.videos if is_wanted(video)], self.faults)

    @property
    def names(self) -> set[str]:
        """Of all of them."""
        return {video.name for video in self.videos} | {fault.name for fault in self.faults}


def find(places: Sequence[str], out: Path, *, may_be_empty: bool = False) -> Findings:
    """The videos of all ``places``: folders, patterns, files and URLs.

    Ignores hidden files and folders, ``out`` inside a folder, videos that an archive made of those next to them, and
    folders of file systems. Follows links, but enters no folder again from inside itself.

    Raises:
        MediaError: a place does not exist, or has no video, unless it ``may_be_empty``.
        ConfigError: two videos would have one name.
        BackendUnavailable: a URL needs a library that is not installed.
    """
    findings = Findings()
    for given in places:
        before = len(findings.videos) + len(findings.faults)
        for entry in _found_at(given, out):
            named = _with_usable_name(entry)
            if isinstance(named, Fault):
                findings.faults.append(named)
            else:
                findings.videos.append(named)
        if not may_be_empty and len(findings.videos) + len(findings.faults) == before:
            raise MediaError(f"{without_secrets(given)}: has no video; name another folder, or the files themselves")
    _refuse_doubles(findings)
    videos = {video.name: video for video in findings.videos}  # a file may be named twice
    faults = {fault.name: fault for fault in findings.faults}
    return Findings([videos[name] for name in sorted(videos)], [faults[name] for name in sorted(faults)])


def _found_at(given: str, out: Path) -> Iterator[Video | Fault]:
    path = local_path(given)
    if path is None:
        yield from _found_remotely(given)
    elif os.path.isdir(path):
        yield from _walk(path, os.path.realpath(out))
    elif os.path.lexists(path):
        yield _file(path, os.path.basename(path), source=given)
    elif _MAGIC.search(path):
        yield from _matches(path, os.path.realpath(out))
    else:
        raise MediaError(f"{path}: no such file or folder; check the name")


def _found_remotely(url: str) -> Iterator[Video | Fault]:
    if not remote.is_remote(url):
        name = PurePosixPath(unquote(urlsplit(url).path)).name or "video"
        yield Video(url, name, None)
        return
    files = remote.listed(url)
    root = _fixed_part(url)
    for file in files:
        path = file.url.partition("://")[2].lstrip("/")
        base = root.partition("://")[2].lstrip("/").rstrip("/")
        below = path.removeprefix(base).lstrip("/") if path != base else ""
        name = "/".join(part for part in below.split("/") if part) or PurePosixPath(path).name
        is_hidden = any(part.startswith(".") for part in name.split("/"))
        if not below or (_is_video(name) and not is_hidden):
            yield Video(file.url, name, file.size)


def _fixed_part(pattern: str) -> str:
    """The folder above the first part of ``pattern`` that has a wildcard."""
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if _MAGIC.search(part):
            return "/".join(parts[:number]) or ("/" if pattern.startswith("/") else "")
    return pattern


def _matches(pattern: str, out: str) -> Iterator[Video | Fault]:
    """The videos that a pattern matches; a pattern that ends in a suffix matches all files with it."""
    root = _fixed_part(pattern)
    wants_suffix = bool(Path(pattern).suffix) and not _MAGIC.search(Path(pattern).suffix)
    for path in sorted(glob.iglob(pattern, recursive=True)):
        name = os.path.relpath(path, root or ".")
        is_inside = os.path.realpath(path) == out or os.path.realpath(path).startswith(out + os.sep)
        is_made = any(os.path.exists(path.removesuffix(suffix)) for suffix in MADE_VIDEOS if path.endswith(suffix))
        is_ours = is_made or not SYSTEM_FOLDERS.isdisjoint(name.split("/"))
        is_wanted = wants_suffix or (_is_video(path) and not is_ours)
        if is_wanted and not is_inside and not os.path.isdir(path):
            yield _file(path, name)


def _walk(root: str, out: str) -> Iterator[Video | Fault]:
    """All videos below a folder."""
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(root, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise MediaError(f"{folder}: {os_reason(error)}") from error
            yield Fault(folder, os.path.relpath(folder, root), f"{folder}: {os_reason(error)}")
            continue
        own = (status.st_dev, status.st_ino)
        if own in above or (folder != root and os.path.realpath(folder) == out):
            continue
        names = {entry.name for entry in entries}
        for entry in entries:
            if entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS or _is_made(entry.name, names):
                continue
            if entry.is_dir():
                waiting.append((entry.path, above | {own}))
            elif _is_video(entry.name) and (found := _entry(entry, root)) is not None:
                yield found


def _entry(entry: os.DirEntry[str], root: str) -> Video | Fault | None:
    """A file of a folder; None for pipes and devices."""
    name = os.path.relpath(entry.path, root)
    try:
        status = entry.stat()
    except OSError as error:
        return Fault(entry.path, name, f"{entry.path}: {os_reason(error)}")
    return Video(entry.path, name, status.st_size, FileStamp.of(status)) if stat.S_ISREG(status.st_mode) else None


def _file(path: str, name: str, source: str | None = None) -> Video | Fault:
    """A file that the caller named."""
    try:
        status = os.stat(path)
    except OSError as error:
        return Fault(source or path, name, f"{path}: {os_reason(error)}")
    if not stat.S_ISREG(status.st_mode):
        return Fault(source or path, name, f"{path}: cannot be read twice; copy it into a file")
    return Video(source or path, name, status.st_size, FileStamp.of(status))


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def _is_made(name: str, names: set[str]) -> bool:
    """Whether a file is a video that an archive run wrote next to the one that it was made of."""
    return any(name.endswith(suffix) and name.removesuffix(suffix) in names for suffix in MADE_VIDEOS)


def _with_usable_name(found: Video | Fault) -> Video | Fault:
    """``found``, or a fault where results cannot have its name."""
    if isinstance(found, Fault):
        return found
    parts = found.name.split("/")
    if ".." in parts or found.name.startswith("/") or parts[0].casefold() == STATE_FOLDER:
        return Fault(found.source, found.name, f"{found.name}: results cannot have this name; rename it")
    if len(os.fsencode(parts[-1])) + _LONGEST_SUFFIX > _NAME_BYTES:
        return Fault(found.source, found.name, f"{found.name}: the name is too long for its results; shorten it")
    return found


def _refuse_doubles(findings: Findings) -> None:
    first: dict[str, str] = {}
    for source, name in _places(findings):
        if first.setdefault(name, source) != source:
            one, other = without_secrets(first[name]), without_secrets(source)
            raise ConfigError(
                f"{one} and {other} would both be {name} in --out; name the folder above both, or run them apart"
            )


def _places(findings: Findings) -> Iterator[tuple[str, str]]:
    yield from ((video.source, video.name) for video in findings.videos)
    yield from ((fault.source, fault.name) for fault in findings.faults)
