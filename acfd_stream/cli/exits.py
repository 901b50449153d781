"""How a command ends: the only module that turns an error into an exit code and a line on stderr.

| code | when |
|---|---|
| 0 | done |
| 1 | the input cannot be read or the output cannot be written; a service is unreachable or full |
| 2 | invalid arguments: an option, a model, a device, a token, or an extra that is not installed |
| 70 | a bug in this program |
| 130, 143 | stopped by Ctrl-C, by SIGTERM |
| 141 | the reader of stdout closed it (what a shell reports for SIGPIPE); prints nothing |
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable
from io import TextIOWrapper
from typing import TextIO

from acfd_stream.cli.signals import STOP, Terminated
from acfd_stream.config import is_debug
from acfd_stream.errors import AcfdError, CastError, MediaError, OutputError, OverloadedError, ServiceError, ShapeError
from acfd_stream.printable import printable

DONE = 0
INPUT_AT_FAULT = 1
CALL_AT_FAULT = 2
PROGRAM_AT_FAULT = 70
INTERRUPTED = 130
READER_GONE = 141
TERMINATED = 143

PROGRAM = "acfd-stream"
_LINE_CHARACTERS = 6000  # of a message; the longest path has 4,096 bytes


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def exit_code(error: BaseException) -> int:
    """The exit code that ``error`` stands for."""
    if isinstance(error, CastError | MediaError | OutputError | OverloadedError | ServiceError):
        return INPUT_AT_FAULT
    if isinstance(error, ShapeError):  # the arrays are made by this program: a bug
        return PROGRAM_AT_FAULT
    if isinstance(error, AcfdError):
        return CALL_AT_FAULT
    if isinstance(error, Terminated):
        return TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return READER_GONE if isinstance(error, BrokenPipeError) else PROGRAM_AT_FAULT


def print_error(message: str) -> None:
    """Print ``acfd-stream: message`` on stderr."""
    print_note(f"{PROGRAM}: {message}")


def print_note(message: str) -> None:
    """Print ``message`` on stderr as one line, without passwords and queries of URLs.

    A stderr that cannot be written is ignored.
    """
    line = " ".join(message[: 2 * _LINE_CHARACTERS].split())
    line = line if len(line) <= _LINE_CHARACTERS else line[: _LINE_CHARACTERS - 1] + "…"
    if "://" in line:
        from acfd_stream.video.origin import hide_secrets

        line = hide_secrets(line)
    with contextlib.suppress(OSError, ValueError):
        print(printable(line), file=sys.stderr, flush=True)


def print_path(path: str) -> None:
    """Print the path of a file that was written on a line of its own on stderr, so that it can be copied or opened."""
    with contextlib.suppress(OSError, ValueError):
        print(printable(path), file=sys.stderr, flush=True)


def run_guarded(action: Callable[[], int]) -> int:
    """What ``action`` returns, or the exit code of the error that it raised, after one line on stderr."""
    try:
        return _guarded(action)
    except KeyboardInterrupt as error:  # also one during the message of another error
        print_error(str(error) or "interrupted")
        return exit_code(error)
    finally:
        _discard_unwritable(sys.stdout)
        _discard_unwritable(sys.stderr)


def _guarded(action: Callable[[], int]) -> int:
    try:
        code = _checked(action)
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        return exit_code(error)
    except SystemExit:  # Rich raises it when its reader is gone; no other library does
        return READER_GONE
    except AcfdError as error:
        print_error(str(error))
        return exit_code(error)
    except OSError as error:
        return _system_error(error)
    except MemoryError:
        print_error("not enough memory for this input; smaller pictures, or a smaller --size or --batch, need less")
        return INPUT_AT_FAULT
    except Exception as error:
        return _bug(error)


def _checked(action: Callable[[], int]) -> int:
    """What ``action`` returns. If a library turned a signal into its own error, the signal is raised instead."""
    try:
        return action()
    except Exception:
        STOP.check()
        raise


def prepare_streams() -> None:
    """Open the null device for a missing stdin, stdout or stderr, and replace signs that stdout cannot encode.

    Without it, the next file that is opened gets the free descriptor, and messages for stderr end in that file.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):  # writes to a missing stdout fail
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # for as long as the process lives
        sys.stdout.buffer.raw.name = "<stdout>"  # type: ignore[attr-defined]  # as the interpreter calls it
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for help texts with "…"; results are bytes
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _system_error(error: OSError) -> int:
    """The exit code of an OSError from ``print``: stdout cannot be written, or a bug.

    All other files raise our errors where they are opened.
    """
    if error.filename is None and error.errno in _UNWRITABLE:
        print_error(f"cannot write to stdout: {error.strerror}; make room or choose another path")
        return INPUT_AT_FAULT
    return _bug(error)


def _bug(error: Exception) -> int:
    if is_debug():
        print("\n".join(map(printable, "".join(traceback.format_exception(error)).splitlines())), file=sys.stderr)
    print_error(f"this is a bug in the program: {type(error).__name__}: {error}; ACFD_DEBUG=1 shows where")
    return PROGRAM_AT_FAULT


def _discard_unwritable(stream: TextIO) -> None:
    """Discard the buffer of a stream that fails: the interpreter would flush it again at exit."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
