"""Which sources TrackUri and jobs may read: files below the configured folders, URLs of the configured schemes."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import grpc

from acfd_stream.errors import MediaError
from acfd_stream.service.settings import SourceSettings
from acfd_stream.service.status import StatusError
from acfd_stream.video.origin import is_url
from acfd_stream.video.web import WebRules, WebUrl, with_lower_scheme

_STEP_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY  # a pipe must not block
_KERNEL_FOLDERS = ("/proc", "/sys")  # whose files say something of this process, or wait for ever


def open_allowed(uri: str, settings: SourceSettings) -> str | BinaryIO:
    """``uri`` itself with its rules if it is an allowed URL; otherwise the allowed file, opened; the caller closes it.

    Links are resolved before the check, and the file is opened here, so that it cannot be replaced afterwards and a
    playlist cannot make the decoder open other files.

    Raises:
        StatusError: PERMISSION_DENIED, it is not allowed, whether it exists or not.
        MediaError: the file does not exist or cannot be read.
    """
    if is_url(uri):
        return _allowed_url(with_lower_scheme(uri), settings)
    path = _resolved(uri)
    for folder in settings.folders:
        root = folder.resolve()
        if path is not None and path.is_relative_to(root):
            return _opened(root, path.relative_to(root), uri)
    raise _denied("the path is not in a folder that this server reads", _list("folders", settings.folders))


def _allowed_url(url: str, settings: SourceSettings) -> WebUrl:
    scheme = url.partition(":")[0]
    if scheme not in settings.schemes:
        raise _denied(f"this server does not read {scheme}: URLs", _list("schemes", settings.schemes))
    rules = WebRules(settings.schemes, settings.hosts, settings.addresses, settings.ca_file)
    try:
        rules.require(url)
    except MediaError as error:
        raise _denied(str(error), "sources.hosts and sources.addresses of the server say which") from error
    return WebUrl.under(url, rules)


def _resolved(uri: str) -> Path | None:
    """The absolute path without links and dots; None if ``uri`` cannot be one."""
    if not uri or "\0" in uri or not os.path.isabs(uri):
        return None
    try:
        return Path(os.path.realpath(uri))
    except (OSError, ValueError):
        return None


def _opened(root: Path, path: Path, name: str) -> BinaryIO:
    try:
        number = open_beneath(root, path)
    except OSError as error:
        raise MediaError(f"{name}: cannot be opened ({error.strerror}); check the name and its rights") from error
    if number is None:
        raise MediaError(f"{name}: is not a file; name a video")
    return os.fdopen(number, "rb")


def open_beneath(root: Path, path: Path) -> int | None:
    """The descriptor of the ordinary file ``path``, relative to the folder ``root``; None: it is no such file.

    Every folder on the way is opened in the one before, and no link is followed: one that takes the place of a folder
    after its path was resolved leads nowhere.

    Raises:
        OSError: it is not there, may not be read, or has a link in its path.
    """
    folder = os.open(root, _STEP_FLAGS & ~os.O_NOFOLLOW)
    try:
        for step in path.parts[:-1]:
            inner = os.open(step, _STEP_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = inner
        name = path.name or "."
        if not _is_ordinary(os.stat(name, dir_fd=folder, follow_symlinks=False)):  # to open a device may do something
            return None
        number = os.open(name, _READ_FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
    if _is_ordinary(os.fstat(number)):
        return number
    os.close(number)
    return None


def _is_ordinary(status: os.stat_result) -> bool:
    for folder in _KERNEL_FOLDERS:
        with suppress(OSError):
            if os.stat(folder).st_dev == status.st_dev:
                return False
    return stat.S_ISREG(status.st_mode)


def _denied(what: str, where: str) -> StatusError:
    return StatusError(grpc.StatusCode.PERMISSION_DENIED, "SOURCE_NOT_ALLOWED", f"{what}; {where}")


def _list(setting: str, allowed: tuple[object, ...]) -> str:
    """Which setting decides. Its value is not part of the message."""
    return f"sources.{setting} of the server {'has other values' if allowed else 'is empty'}"
