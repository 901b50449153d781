"""The command ``acfd-stream``: parses arguments, runs a command, and reports errors by a line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from acfd_stream.cli.exits import prepare_streams, run_guarded
from acfd_stream.cli.signals import STOP

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; see ``exits`` for what the codes mean.

    Args:
        arguments: of the command. None: those of this process, and Ctrl-C and SIGTERM are handled too.
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
    from acfd_stream.cli.app import run  # slow to load: Ctrl-C must be handled meanwhile

    return run(list(arguments))
