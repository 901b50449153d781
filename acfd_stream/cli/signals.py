"""Ctrl-C and SIGTERM raise an exception, so that a command can close its files."""

from __future__ import annotations

import contextlib
import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came: ends a command as Ctrl-C does."""


class StopSignals:
    """Raises when a signal comes, and remembers it: Python drops exceptions in finalizers and callbacks."""

    def __init__(self) -> None:
        self._received: KeyboardInterrupt | None = None
        self._numbers: list[signal.Signals] = []

    def listen(self) -> None:
        """Raise KeyboardInterrupt on Ctrl-C and Terminated on SIGTERM; signals that are ignored stay ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(ValueError):  # not the main thread: the caller handles signals
                    signal.signal(number, self._stop)
                    self._numbers.append(number)

    def check(self) -> None:
        """Raise a signal that came before, in case Python dropped the exception."""
        if self._received is not None:
            raise self._received

    def let_go(self) -> None:
        """Let signals end the process at once from now on."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._received = Terminated("terminated") if number == signal.SIGTERM else KeyboardInterrupt("interrupted")
        raise self._received


STOP = StopSignals()
"""Of this process."""
