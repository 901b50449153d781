"""Which sources TrackUri and jobs may read: files below the configured folders, URLs of the configured schemes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import grpc

from acfd_stream.errors import MediaError
from acfd_stream.service.settings import SourceSettings
from acfd_stream.service.status import StatusError
from acfd_stream.video.origin import is_url

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # opening a pipe must not block


def open_allowed(uri: str, settings: SourceSettings) -> str | BinaryIO:
    """``uri`` itself if it is an allowed URL; otherwise the allowed file, opened, which the caller closes.

    Links are resolved before the check, and the file is opened here, so that it cannot be replaced afterwards and a
    playlist cannot make the decoder open other files.

    Raises:
        StatusError: PERMISSION_DENIED, it is not allowed, whether it exists or not.
        MediaError: the file does not exist or cannot be read.
    """
    if is_url(uri):
        scheme = uri.partition(":")[0].lower()
        if scheme in settings.schemes:
            return uri
        raise _denied(f"this server does not read {scheme}: URLs", _list("schemes", settings.schemes))
    path = _resolved(uri)
    if path is None or not any(path.is_relative_to(folder.resolve()) for folder in settings.folders):
        raise _denied("the path is not in a folder that this server reads", _list("folders", settings.folders))
    return _opened(path, uri)


def _resolved(uri: str) -> Path | None:
    """The absolute path without links and dots; None if ``uri`` cannot be one."""
    if not uri or "\0" in uri or not os.path.isabs(uri):
        return None
    try:
        return Path(os.path.realpath(uri))
    except (OSError, ValueError):
        return None


def _opened(path: Path, name: str) -> BinaryIO:
    try:
        number = os.open(path, _READ_FLAGS)
    except OSError as error:
        raise MediaError(f"{name}: cannot be opened ({error.strerror}); check the name and its rights") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise MediaError(f"{name}: is not a file; name a video")
    return os.fdopen(number, "rb")


def _denied(what: str, where: str) -> StatusError:
    return StatusError(grpc.StatusCode.PERMISSION_DENIED, "SOURCE_NOT_ALLOWED", f"{what}; {where}")


def _list(setting: str, allowed: tuple[object, ...]) -> str:
    """Which setting decides. Its value is not part of the message."""
    return f"sources.{setting} of the server {'has other values' if allowed else 'is empty'}"
