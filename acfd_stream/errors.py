"""Errors of this package.

A message names the argument, its value and what is allowed. The file that imports another library translates the
library's exceptions into these.
"""

from __future__ import annotations

from collections.abc import Iterator


class AcfdError(Exception):
    """Base of all errors of this package."""


class ConfigError(AcfdError, ValueError):
    """A setting is out of range, unknown, or contradicts another one."""


class ShapeError(AcfdError, ValueError):
    """An array has the wrong shape, dtype or layout."""


class MediaError(AcfdError):
    """A video or picture cannot be opened or decoded."""


class ResumeError(AcfdError, ValueError):
    """A checkpoint is damaged, or belongs to another video, model or settings."""


class OutputError(AcfdError):
    """A result cannot be written: disk full, no permission, or no such folder."""


class ForeignFileError(OutputError):
    """A file that this program did not write, or a link, has the name of a result; it is kept."""


class CastError(AcfdError):
    """A cast is damaged, no cast at all, or of another format or embedding network."""


class CastNetworkError(CastError):
    """The embeddings of a cast and those of a result are of different networks."""


class RunnerError(AcfdError):
    """A model file is invalid, or the runtime failed."""


class OverloadedError(AcfdError):
    """No capacity for this stream now; a later attempt may succeed."""


class DecoderError(AcfdError):
    """The process that decodes a video ended unexpectedly."""


class DecoderMemoryError(DecoderError):
    """A video needs more memory to be decoded than is allowed."""


class ServiceError(AcfdError):
    """A service cannot be reached, closed the connection, or sent an unexpected response."""


class AccessError(AcfdError):
    """A service denies access: the token is missing, unknown, expired, or lacks the right."""


class BackendUnavailable(AcfdError):
    """The requested device or library is not available on this machine."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """``error``, and what each error was raised from."""
    while error is not None:
        yield error
        error = error.__cause__
