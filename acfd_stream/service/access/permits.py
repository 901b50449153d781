"""Calls that run under a token, and how they end when it is taken away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acfd_stream.service.access.token_file import Grant
    from acfd_stream.service.status import StatusError

CUT_SECONDS = 0.5
"""A call that has not ended by itself so long after its permit was withdrawn is cut off: its client reads nothing."""


class Permit:
    """The leave to run one call; without a grant it is never withdrawn. May be used from several threads at once."""

    def __init__(
        self, grant: Grant | None = None, method: str = "", cancel: Callable[[], object] = lambda: None
    ) -> None:
        """For ``AccessInterceptor``: ``cancel`` breaks the call off without a word."""
        self.grant, self.method = grant, method
        self.cancel = cancel
        self._lock = threading.Lock()
        self._error: StatusError | None = None
        self._withdrawn_at = 0.0
        self._tell: Callable[[StatusError], object] = lambda error: None

    def on_withdrawn(self, tell: Callable[[StatusError], object]) -> None:
        """Have ``tell`` called, on another thread, with what the call shall end with; at once where that is known."""
        with self._lock:
            self._tell, error = tell, self._error
        if error is not None:
            tell(error)

    def require(self) -> None:
        """Raise what the call shall end with, once it is withdrawn."""
        if self._error is not None:
            raise self._error

    def withdraw(self, error: StatusError) -> None:
        """Have the call end with ``error``; a later one changes nothing."""
        with self._lock:
            if self._error is not None:
                return
            self._error, self._withdrawn_at, tell = error, time.monotonic(), self._tell
        tell(error)

    def press(self) -> None:
        """Cut the call off where it was withdrawn and has not ended for too long; called now and then."""
        if self._error is not None and time.monotonic() - self._withdrawn_at > CUT_SECONDS:
            self.cancel()


class Permits:
    """All that are in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Permit] = set()

    def enter(self, permit: Permit) -> None:
        """Its call begins."""
        with self._lock:
            self._running.add(permit)

    def leave(self, permit: Permit) -> None:
        """Its call is over."""
        with self._lock:
            self._running.discard(permit)

    def running(self) -> list[Permit]:
        """Those of calls that run now."""
        with self._lock:
            return list(self._running)


_permit: ContextVar[Permit | None] = ContextVar("acfd_permit", default=None)


def enter_permit(permit: Permit) -> None:
    """Make ``permit`` that of the call that runs here."""
    _permit.set(permit)


def caller_name() -> str:
    """Name of the token of the call that runs here; "" without tokens, or outside a call."""
    grant = current_permit().grant
    return "" if grant is None else grant.name


def current_permit() -> Permit:
    """The permit of the call that runs here; without tokens, or outside a call, one that lasts."""
    return _permit.get() or Permit()
