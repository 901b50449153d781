"""Finds out who calls, and bounds the concurrent calls of each caller."""

from __future__ import annotations

from typing import Any

from acfd_stream.service.access.callers import Callers, Held, address_caller, enter_caller
from acfd_stream.service.access.permits import caller_name


class CallerGate:
    """Counts a call that has sent its first message, and before it gets a thread.

    Args:
        callers: counts them.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def enter(self, call: Any, is_stream: bool) -> None:
        """Count ``call``, a ``grpc.ServicerContext``, until it ends; its handler then knows ``current_caller``.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the caller has its maximum of concurrent calls.
            OverloadedError: too many calls wait for a thread, and this caller has its part of them.
        """
        caller = caller_name() or address_caller(call.peer())
        enter_caller(caller)
        for kind in (Held.CALLS,) if is_stream else (Held.CALLS, Held.SHORT_CALLS):
            release = self._callers.hold(caller, kind)
            if not call.add_callback(release):
                release()  # the call has already ended
