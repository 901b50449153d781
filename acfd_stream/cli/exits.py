"""How a command ends: the only place where an error becomes an exit code and a line on stderr.

| code | when |
|---|---|
| 0 | done |
| 1 | the input, or the place for the output, is at fault |
| 2 | the call is: an option, a model, a device, or an extra that is not installed |
| 70 | a fault of this program |
| 130, 143 | stopped by Ctrl-C, by SIGTERM |
| 141 | the reader of stdout went away (what a shell reports for SIGPIPE); says nothing |
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from acfd_stream.config import is_debug
from acfd_stream.errors import AcfdError, MediaError, OutputError, OverloadedError, ShapeError

DONE = 0
INPUT_AT_FAULT = 1
CALL_AT_FAULT = 2
PROGRAM_AT_FAULT = 70
INTERRUPTED = 130
READER_GONE = 141
TERMINATED = 143

PROGRAM = "acfd-stream"


_USER_INFO = re.compile(r"(?<=://)[^\s/?#]*@")
_QUERY = re.compile(r"((?<!file)://[^\s?#]*)[?#]\S*")


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does."""


def exit_code(error: BaseException) -> int:
    """The exit code that ``error`` stands for."""
    if isinstance(error, MediaError | OutputError | OverloadedError):
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


def complain(message: str) -> None:
    """Say ``message`` on stderr, in one line whatever it holds, without what URLs in it keep secret."""
    line = _QUERY.sub(r"\1", _USER_INFO.sub("", " ".join(message.split())))
    printable = "".join(sign if sign.isprintable() else "?" for sign in line)
    with contextlib.suppress(OSError, ValueError):  # nobody is left to tell
        print(f"{PROGRAM}: {printable}", file=sys.stderr, flush=True)


def run_guarded(action: Callable[[], int]) -> int:
    """What ``action`` returns, or the exit code of what it raised, said in one line."""
    try:
        code = action()
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        _drop_stdout()
        return exit_code(error)
    except KeyboardInterrupt as error:
        complain(str(error) or "interrupted")
        return exit_code(error)
    except AcfdError as error:
        complain(str(error))
        return exit_code(error)
    except OSError as error:
        return _fault_of_system(error)
    except Exception as error:
        return _own_fault(error)


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the command, so that containers are closed and no temporary file looks whole."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated("terminated")

    with contextlib.suppress(ValueError):  # not the main thread: whoever runs us handles signals
        signal.signal(signal.SIGTERM, stop)


def _fault_of_system(error: OSError) -> int:
    """A stdout that takes nothing is the output place's fault; any other surprise is ours."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_stdout()
        complain(f"cannot write to stdout: {error.strerror}; make room or choose another place")
        return INPUT_AT_FAULT
    return _own_fault(error)


def _own_fault(error: Exception) -> int:
    if is_debug():
        traceback.print_exception(error)
    complain(f"this is a fault of the program: {type(error).__name__}: {error}; ACFD_DEBUG=1 shows where")
    return PROGRAM_AT_FAULT


def _drop_stdout() -> None:
    """Send what is still buffered nowhere: the interpreter flushes once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
