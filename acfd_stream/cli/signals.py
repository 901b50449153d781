"""Ctrl-C and SIGTERM: both unwind a command, so that containers are closed and no temporary file looks whole."""

from __future__ import annotations

import contextlib
import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does."""


class StopSignals:
    """Raises where a signal comes, and remembers it: Python drops what is raised inside a finalizer or a callback."""

    def __init__(self) -> None:
        self._received: KeyboardInterrupt | None = None
        self._numbers: list[signal.Signals] = []

    def listen(self) -> None:
        """Raise KeyboardInterrupt on Ctrl-C and Terminated on SIGTERM; what the caller has us ignore stays ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(ValueError):  # not the main thread: whoever runs us handles signals
                    signal.signal(number, self._stop)
                    self._numbers.append(number)

    def check(self) -> None:
        """Raise again what came before and was lost."""
        if self._received is not None:
            raise self._received

    def let_go(self) -> None:
        """From now on a signal ends the process at once: there is nothing left to unwind."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._received = Terminated("terminated") if number == signal.SIGTERM else KeyboardInterrupt("interrupted")
        raise self._received


STOP = StopSignals()
"""Of this process."""
