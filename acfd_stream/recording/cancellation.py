"""How a recording is told to stop, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancelled(Exception):
    """The work was told to stop, and has; not an error."""


class Cancellation:
    """Set once, by any thread; wakes what waits for it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._turn = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """Stop the work; a second call does nothing new."""
        with self._turn:
            self._event.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    @property
    def is_cancelled(self) -> bool:
        """Whether ``cancel`` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled where the work should stop."""
        if self._event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds``; whether it is cancelled."""
        return self._event.wait(seconds)

    @contextmanager
    def on_cancel(self, callback: Callable[[], None]) -> Iterator[None]:
        """Inside, ``cancel`` calls ``callback`` on its own thread; at once where it was called before."""
        with self._turn:
            self._callbacks.append(callback)
            is_late = self._event.is_set()
        try:
            if is_late:
                callback()
            yield
        finally:
            with self._turn:
                self._callbacks.remove(callback)
