"""What TrackUri and jobs may read: files below named folders, URLs of named schemes, and nothing else."""

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

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not hold us up


def open_allowed(uri: str, settings: SourceSettings) -> str | BinaryIO:
    """What ``uri`` names, if it may be read: the URL itself, or the file, open, which is then the caller's to close.

    A file is given open, and by what it is after all links, so that nobody can put another one in its place, and so
    that a playlist cannot lead the decoder to files beside it.

    Raises:
        StatusError: it may not be read: PERMISSION_DENIED, whether it is there or not.
        MediaError: there is no such file, or it cannot be read.
    """
    if is_url(uri):
        scheme = uri.partition(":")[0].lower()
        if scheme in settings.schemes:
            return uri
        raise _denied(f"URLs that begin with {scheme}: are not read here", _list("schemes", settings.schemes))
    path = _resolved(uri)
    if path is None or not any(path.is_relative_to(folder.resolve()) for folder in settings.folders):
        raise _denied("this path is not in a folder that is read here", _list("folders", settings.folders))
    return _opened(path, uri)


def _resolved(uri: str) -> Path | None:
    """The absolute path without links and dots; None where there cannot be one."""
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
    """What the operator may do; the folders themselves are nobody else's business."""
    return f"sources.{setting} of the server {'names others' if allowed else 'is empty'}"
