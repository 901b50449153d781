"""The command ``acfd-stream``: reads the call, runs a room, says how it went in one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from acfd_stream.cli.exits import prepare_streams, run_guarded
from acfd_stream.cli.signals import STOP

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; see ``exits`` for what the codes mean.

    Args:
        arguments: of the command; those of this process if None, which then is the command's: its signals are handled.
    """
    if arguments is not None:
        return run_guarded(lambda: _run(arguments))
    try:
        STOP.listen()
        prepare_streams()
        return run_guarded(lambda: _run(sys.argv[1:]))
    finally:
        STOP.let_go()


def _run(arguments: Sequence[str]) -> int:
    from acfd_stream.cli.app import run  # loads much: a Ctrl-C meanwhile is heard like any other

    return run(list(arguments))
