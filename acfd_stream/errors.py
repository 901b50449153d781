"""What can go wrong, by whose fault it is; the floor under every room.

A message names the argument, what came and what is allowed. Exceptions of other libraries
become one of these in the one file that imports the library.
"""


class AcfdError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(AcfdError, ValueError):
    """A setting is outside its range, unknown, or at odds with another one."""


class ShapeError(AcfdError, ValueError):
    """An array has the wrong shape, dtype or layout."""


class MediaError(AcfdError):
    """A video or picture cannot be opened, or holds nothing that can be decoded."""


class ResumeError(AcfdError, ValueError):
    """A checkpoint does not fit: it is damaged, or of another video, model or settings."""


class OutputError(AcfdError):
    """A result cannot be written: no room, no permission, no such folder."""


class RunnerError(AcfdError):
    """A model file is refused or the runtime failed while running it."""


class OverloadedError(AcfdError):
    """There is no room for this stream now; a later try may succeed."""


class ServiceError(AcfdError):
    """A service cannot be reached, broke off, or answers what nobody asked for."""


class AccessError(AcfdError):
    """A service does not let the caller in: no token, one that is not known or has expired, or without the right."""


class BackendUnavailable(AcfdError):
    """The device or library that was asked for by name is not on this machine."""
