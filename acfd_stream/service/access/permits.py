"""Permits of running calls, and the end of a call whose permit is withdrawn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acfd_stream.service.access.token_file import Grant
    from acfd_stream.service.status import StatusError

GRACE_SECONDS = 0.5
"""Time that a call has to end after its permit was withdrawn; then it is cancelled: its client does not read."""


class Permit:
    """Permission to run one call; without a grant it is never withdrawn. Safe for several threads."""

    def __init__(
        self, grant: Grant | None = None, method: str = "", cancel: Callable[[], object] = lambda: None
    ) -> None:
        """For ``AccessInterceptor``: ``cancel`` cancels the call."""
        self.grant, self.method = grant, method
        self.cancel = cancel
        self._lock = threading.Lock()
        self._error: StatusError | None = None
        self._withdrawn_at = 0.0
        self._tell: Callable[[StatusError], object] = lambda error: None

    @property
    def name(self) -> str:
        """Name of the token; "" without one."""
        return "" if self.grant is None else self.grant.name

    def on_withdrawn(self, tell: Callable[[StatusError], object]) -> None:
        """Call ``tell`` with the error that ends the call, on another thread; at once if it is already withdrawn."""
        with self._lock:
            self._tell, error = tell, self._error
        if error is not None:
            tell(error)

    def require(self) -> None:
        """Raise the error that ends the call, if it is withdrawn."""
        if self._error is not None:
            raise self._error

    def withdraw(self, error: StatusError) -> None:
        """End the call with ``error``; only the first error counts."""
        with self._lock:
            if self._error is not None:
                return
            self._error, self._withdrawn_at, tell = error, time.monotonic(), self._tell
        tell(error)

    def cancel_if_overdue(self) -> None:
        """Cancel the call if it was withdrawn ``GRACE_SECONDS`` ago and still runs; called regularly."""
        if self._error is not None and time.monotonic() - self._withdrawn_at > GRACE_SECONDS:
            self.cancel()


class Permits:
    """The permits of all running calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Permit] = set()

    def add(self, permit: Permit) -> None:
        """The call of ``permit`` begins."""
        with self._lock:
            self._running.add(permit)

    def remove(self, permit: Permit) -> None:
        """The call of ``permit`` has ended."""
        with self._lock:
            self._running.discard(permit)

    def running(self) -> list[Permit]:
        """Permits of the running calls."""
        with self._lock:
            return list(self._running)


_permit: ContextVar[Permit | None] = ContextVar("acfd_permit", default=None)


def enter_permit(permit: Permit) -> None:
    """Make ``permit`` the one of the current call."""
    _permit.set(permit)


def caller_name() -> str:
    """Name of the token of the current call; "" without tokens, or outside a call."""
    return current_permit().name


def current_permit() -> Permit:
    """The permit of the current call; without tokens, or outside a call, one that is never withdrawn."""
    return _permit.get() or Permit()
