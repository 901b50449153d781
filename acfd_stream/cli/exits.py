"""How a command ends: the only place where an error becomes an exit code and a line on stderr.

| code | when |
|---|---|
| 0 | done |
| 1 | the input, or the place for the output, is at fault; a service cannot be reached or has no room |
| 2 | the call is: an option, a model, a device, a token, or an extra that is not installed |
| 70 | a fault of this program |
| 130, 143 | stopped by Ctrl-C, by SIGTERM |
| 141 | the reader of stdout went away (what a shell reports for SIGPIPE); says nothing |
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from io import TextIOWrapper
from typing import TextIO

from acfd_stream.cli.signals import STOP, Terminated
from acfd_stream.config import is_debug
from acfd_stream.errors import AcfdError, MediaError, OutputError, OverloadedError, ServiceError, ShapeError

DONE = 0
INPUT_AT_FAULT = 1
CALL_AT_FAULT = 2
PROGRAM_AT_FAULT = 70
INTERRUPTED = 130
READER_GONE = 141
TERMINATED = 143

PROGRAM = "acfd-stream"


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_USER_INFO = re.compile(r"(?<=://)[^\s/?#]*@")
_QUERY = re.compile(r"((?<!file)://[^\s?#]*)[?#]\S*")


def exit_code(error: BaseException) -> int:
    """The exit code that ``error`` stands for."""
    if isinstance(error, MediaError | OutputError | OverloadedError | ServiceError):
        return INPUT_AT_FAULT
    if isinstance(error, ShapeError):  # arrays are made by us: nothing a caller of the command can mend
        return PROGRAM_AT_FAULT
    if isinstance(error, AcfdError):
        return CALL_AT_FAULT
    if isinstance(error, Terminated):
        return TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return READER_GONE if isinstance(error, BrokenPipeError) else PROGRAM_AT_FAULT


def print_error(message: str) -> None:
    """Say on stderr what is wrong."""
    print_note(f"{PROGRAM}: {message}")


def print_note(message: str) -> None:
    """Say ``message`` on stderr, in one line whatever it holds, without what URLs in it keep secret.

    A stderr that takes nothing is no reason to fail: nobody is left to tell.
    """
    line = _QUERY.sub(r"\1", _USER_INFO.sub("", " ".join(message.split())))
    printable = "".join(sign if sign.isprintable() else "?" for sign in line)
    with contextlib.suppress(OSError, ValueError):
        print(printable, file=sys.stderr, flush=True)


def run_guarded(action: Callable[[], int]) -> int:
    """What ``action`` returns, or the exit code of what it raised, said in one line."""
    try:
        return _said(action)
    except KeyboardInterrupt as error:  # also one that comes while an error is being said
        print_error(str(error) or "interrupted")
        return exit_code(error)
    finally:
        _settle(sys.stdout)
        _settle(sys.stderr)


def _said(action: Callable[[], int]) -> int:
    try:
        code = _heard(action)
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        return exit_code(error)
    except SystemExit:  # Rich's way out when its reader is gone; no other library is let out by this door
        return READER_GONE
    except AcfdError as error:
        print_error(str(error))
        return exit_code(error)
    except OSError as error:
        return _fault_of_system(error)
    except MemoryError:
        print_error("there is not enough memory for this input; smaller pictures, --size and --batch need less")
        return INPUT_AT_FAULT
    except Exception as error:
        return _own_fault(error)


def _heard(action: Callable[[], int]) -> int:
    """What ``action`` returns; where a library made an error of its own out of a signal, the signal is raised."""
    try:
        return action()
    except Exception:
        STOP.check()
        raise


def prepare_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr a place for each, and let text always pass.

    Else the next file that is opened takes the free number, and whatever writes to "stderr" writes into it.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):  # to a missing stdout every write fails
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # for as long as the process lives
        sys.stdout.buffer.raw.name = "<stdout>"  # type: ignore[attr-defined]  # as the interpreter calls it
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a help text with … is better than none; results are bytes
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _fault_of_system(error: OSError) -> int:
    """A stdout that takes nothing is the output place's fault; any other surprise is ours.

    Errors of all other places become ours where they are opened; this one comes from print and its like.
    """
    if error.filename is None and error.errno in _UNWRITABLE:
        print_error(f"cannot write to stdout: {error.strerror}; make room or choose another place")
        return INPUT_AT_FAULT
    return _own_fault(error)


def _own_fault(error: Exception) -> int:
    if is_debug():
        traceback.print_exception(error)
    print_error(f"this is a fault of the program: {type(error).__name__}: {error}; ACFD_DEBUG=1 shows where")
    return PROGRAM_AT_FAULT


def _settle(stream: TextIO) -> None:
    """Send what a failed stream still holds nowhere: the interpreter flushes once more at its end."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
