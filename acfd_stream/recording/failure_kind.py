"""What kind of failure an error is: of the video, for good, or of the machine and the network, for now."""

from __future__ import annotations

import errno
import os
from enum import Enum
from typing import Any, BinaryIO

from acfd_stream.errors import (
    AcfdError,
    ForeignFileError,
    MediaError,
    OutputError,
    OverloadedError,
    ResumeError,
    causes,
)
from acfd_stream.shortage import is_shortage
from acfd_stream.video.origin import FileStamp, local_path, source_name, stamp_of, without_secrets

_TRANSIENT_ERRNOS = frozenset(
    {
        *(errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENOMEM),
        *(errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
        *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNRESET, errno.ECONNREFUSED),
    }
)
_FINAL_ERRORS = {"InvalidDataError", "HTTPClientError"}  # PyAV's: the bytes are no video, or there are none
_DATA_DAMAGE = ("damaged data", "a packet without a picture", "frame_pixels")  # of a decoder that got its bytes


class FailureKind(Enum):
    """Who can mend a failure."""

    MEDIA = "media"  # the video is damaged or missing: trying again gives the same
    TRANSIENT = "transient"  # the machine, the network or a store: a later try may succeed
    OUTPUT = "output"  # the results cannot be written
    SHORTAGE = "shortage"  # the disk is full, or there are too many open files: it passes
    FOREIGN = "foreign"  # a file of somebody's has the name of a result
    REQUEST = "request"  # a setting, a model, a device
    PROGRAM = "program"  # a defect of this program


def failure_kind(error: BaseException, source: str) -> FailureKind:
    """The kind of ``error``, with which the recording of ``source``, a path or URL, ended."""
    if isinstance(error, ForeignFileError):
        return FailureKind.FOREIGN
    if is_shortage(error):
        return FailureKind.SHORTAGE
    if isinstance(error, MediaError):
        return FailureKind.TRANSIENT if _is_transient(error, source) else FailureKind.MEDIA
    if isinstance(error, OutputError):
        return FailureKind.OUTPUT
    if isinstance(error, OverloadedError | OSError | MemoryError):
        return FailureKind.TRANSIENT
    return FailureKind.REQUEST if isinstance(error, AcfdError) else FailureKind.PROGRAM


class SourceWatch:
    """Notices a source that changes while it is read, and a store that fails.

    Args:
        source: path or URL.
    """

    def __init__(self, source: str) -> None:
        self._name, self._path = source_name(source), local_path(source)
        self._is_file_object = False
        self.failure: BaseException | None = None  # of reading from a store
        self.stamp = self._current()
        """Of the local file as it was at first; None: it is elsewhere, or not there."""

    def watched(self, source: Any) -> Any:
        """``source``; a file object of a store gets the name of its URL, and its failed reads are noted."""
        if isinstance(source, str) or self._path is not None:
            return source
        self._is_file_object = True
        return _WatchedFile(source, self._name, self)

    def explain(self, error: MediaError | ResumeError) -> None:
        """Raise OverloadedError where the source changed, or its store failed: then ``error`` is only a consequence."""
        self.require_unchanged()
        if self.failure is not None and isinstance(error, MediaError):
            raise OverloadedError(str(error)) from error

    def require_sound(self, error: str | None) -> None:
        """Raise OverloadedError unless the results are those of the video, complete or damaged as it is.

        Args:
            error: what broke the source in the middle, if it broke.
        """
        self.require_unchanged()
        if error is not None and self.is_break_transient(error):
            raise OverloadedError(f"{self._name}: {error}; a later try goes on from there")

    def require_unchanged(self) -> None:
        """Raise OverloadedError where a local file is not what it was at first: another program writes to it."""
        if self.stamp is not None and self._current() != self.stamp:
            raise OverloadedError(f"{self._name}: changed while it was read; try again when that has ended")

    def is_break_transient(self, error: str) -> bool:
        """Whether a break in mid-file, which the session describes as ``error``, is no damage of the video."""
        if self._is_file_object:
            return self.failure is not None
        if self._path is not None:  # its disk or share may have gone away
            return self.stamp is not None and not os.access(self._path, os.R_OK)
        return not any(damage in error for damage in _DATA_DAMAGE)

    def _current(self) -> FileStamp | None:
        if self._path is None:
            return None
        try:
            return stamp_of(self._path)
        except MediaError:
            return None


class _WatchedFile:
    """A file object of a store as the decoder reads it."""

    def __init__(self, file: BinaryIO, name: str, watch: SourceWatch) -> None:
        self.name = name
        self._file, self._watch = file, watch

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except BaseException as error:
            self._watch.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return self._file.seekable()


def said_in_one_line(error: BaseException, source: str) -> str:
    """The message of ``error`` in one line, without the secrets of the URL ``source``."""
    text = str(error) if isinstance(error, AcfdError) else f"{type(error).__name__}: {error}"
    return " ".join(text.replace(source, without_secrets(source)).split())


def _is_transient(error: MediaError, source: str) -> bool:
    """Whether another try with ``source``, unchanged, may succeed after ``error``."""
    chain = list(causes(error))
    if local_path(source) is None:
        # A MediaError of a store's library, or of a server, is final.
        said = [cause for cause in chain if _is_av(cause) or isinstance(cause, ConnectionError | TimeoutError)]
        return bool(said) and not any(_is_final(cause) for cause in said)
    return any(isinstance(cause, OSError) and cause.errno in _TRANSIENT_ERRNOS for cause in chain if not _is_av(cause))


def _is_av(cause: BaseException) -> bool:
    return type(cause).__module__.startswith("av.")


def _is_final(cause: BaseException) -> bool:
    return any(kind.__name__ in _FINAL_ERRORS for kind in type(cause).__mro__)
