"""What the programs of this room share: a wrong call and an expected error are one line each on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from acfd_stream.errors import AcfdError, BackendUnavailable


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from ``least`` on."""

    def whole(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be >= {least}, got {text}")
        return int(text)

    return whole


class Parser(argparse.ArgumentParser):
    """An argument parser that prints one line instead of its usage; exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Exit with ``PROGRAM: message``."""
        self.exit(2, f"{self.prog}: {message}\n")

    def run(self, work: Callable[[argparse.Namespace], None], arguments: Sequence[str] | None) -> int:
        """Exit code of ``work`` on the parsed arguments: 0, or 2 for a missing library, 1 for another error of ours.

        An error is printed as ``PROGRAM: message``.
        """
        try:
            work(self.parse_args(arguments))
        except (AcfdError, OSError) as error:
            print(f"{self.prog}: {error}", file=sys.stderr)
            return 2 if isinstance(error, BackendUnavailable) else 1
        return 0
