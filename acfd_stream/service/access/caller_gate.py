"""Finds out who calls, bounds the concurrent calls of each caller, and slows down callers of many faulty calls."""

from __future__ import annotations

from typing import Any

import grpc

from acfd_stream.service.access.callers import Callers, Held, caller_at, enter_caller

_FAULTS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}
"""How calls end that fail by the fault of their caller, and would fail again."""
_FAULT_BYTES = 2**20  # that a faulty call has sent count as one more fault


class CallerGate:
    """Counts a call that has sent its first message, and before it gets a thread.

    Args:
        callers: counts them.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def enter(self, call: Any, is_stream: bool) -> float:
        """Count ``call``, a ``grpc.ServicerContext``, until it ends; its handler then knows ``current_caller``.

        Returns:
            Seconds that the call waits before it gets a thread: its caller made too many faulty calls.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the caller has its maximum of concurrent calls.
            OverloadedError: too many calls wait for a thread, and this caller has its part of them.
        """
        caller = caller_at(call.peer())
        enter_caller(caller)
        for kind in (Held.CALLS,) if is_stream else (Held.CALLS, Held.SHORT_CALLS):
            release = self._callers.hold(caller, kind)
            if not call.add_callback(release):
                release()  # the call has already ended
        seconds, end = self._callers.turn(caller)
        if not call.add_callback(lambda: end(_faults(call))):
            end(0.0)
        return seconds


def _faults(call: Any) -> float:
    return 1 + call.requests.received_bytes / _FAULT_BYTES if call.code() in _FAULTS else 0.0
