"""What the programs of this room share: a wrong call and an expected error are one line each on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from acfd_stream.errors import AcfdError


class Parser(argparse.ArgumentParser):
    """An argument parser that prints one line instead of its usage; exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Exit with ``PROGRAM: message``."""
        self.exit(2, f"{self.prog}: {message}\n")


def exit_code(work: Callable[[], int | None], label: str = "error") -> int:
    """What ``work`` returns (0 for None); 1 after ``label: message`` if it raises AcfdError or OSError."""
    try:
        return work() or 0
    except (AcfdError, OSError) as error:
        print(f"{label}: {error}", file=sys.stderr)
        return 1
