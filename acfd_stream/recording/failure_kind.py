"""Whose fault it is that an episode failed: the video's, for good, or the machine's and the network's, for now."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from acfd_stream.errors import AcfdError, ConfigError, MediaError, OverloadedError, ShapeError
from acfd_stream.video.origin import FileStamp, local_path, stamp_of, without_secrets

_PASSING_ERRNOS = frozenset(
    {
        *(errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT),
        *(errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
        *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNRESET, errno.ECONNREFUSED),
    }
)
_FINAL_KINDS = {"InvalidDataError", "HTTPClientError"}  # PyAV's: what came is no video, or there is nothing
_DATA_FAULTS = ("damaged data", "a packet without a picture", "frame_pixels")  # of a decoder that had its bytes


class Reading:
    """How a source is read: whether it changes meanwhile, and whether its store fails.

    Args:
        name: what the results call it.
        source: path or URL.
    """

    def __init__(self, name: str, source: str) -> None:
        self._name, self._path = name, local_path(source)
        self._is_file_object = False
        self.failure: BaseException | None = None  # of reading from a store
        self._stamp = self._current()

    def watched(self, source: str | BinaryIO) -> Any:
        """``source``, if it is a file object under the name of its URL and with an eye on its reads."""
        if isinstance(source, str):
            return source
        self._is_file_object = True
        return _WatchedFile(source, self)

    @property
    def name(self) -> str:
        """What the results call the source."""
        return self._name

    def require_unchanged(self) -> None:
        """Raise OverloadedError where a local file is not the one of the beginning: somebody is writing it."""
        if self._stamp is not None and self._current() != self._stamp:
            raise OverloadedError(f"{self._name}: changed while it was read; it is read again when that has ended")

    def is_break_passing(self, error: str) -> bool:
        """Whether a break in mid-file, of which the session says ``error``, is not the video's fault."""
        if self._is_file_object:
            return self.failure is not None
        if self._path is not None:  # its disk or share may have gone away
            return self._stamp is not None and not os.access(self._path, os.R_OK)
        return not any(fault in error for fault in _DATA_FAULTS)

    def _current(self) -> FileStamp | None:
        if self._path is None:
            return None
        try:
            return stamp_of(self._path)
        except MediaError:
            return None


class _WatchedFile:
    """A file object of a store as the decoder reads it."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self.name = reading.name
        self._file, self._reading = file, reading

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except BaseException as error:
            self._reading.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return self._file.seekable()


def is_passing(error: BaseException, source: str) -> bool:
    """Whether another try with ``source``, unchanged, may go better after ``error``."""
    if isinstance(error, ConfigError | ShapeError):
        return False
    if not isinstance(error, MediaError):
        return True
    causes = list(_causes(error))
    if local_path(source) is None:
        said = [cause for cause in causes if _is_av(cause)]  # of a store's library MediaError says that it is final
        return bool(said) and not any(_is_final(cause) for cause in said)
    return any(isinstance(cause, OSError) and cause.errno in _PASSING_ERRNOS for cause in causes if not _is_av(cause))


def said_in_one_line(error: BaseException, source: str) -> str:
    """What ``error`` says, for a manifest and a person; never a URL's secrets."""
    text = str(error) if isinstance(error, AcfdError) else f"{type(error).__name__}: {error}"
    return " ".join(text.replace(source, without_secrets(source)).split())


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_av(cause: BaseException) -> bool:
    return type(cause).__module__.startswith("av.")


def _is_final(cause: BaseException) -> bool:
    return any(kind.__name__ in _FINAL_KINDS for kind in type(cause).__mro__)
