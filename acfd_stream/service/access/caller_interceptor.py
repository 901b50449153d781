"""An interceptor that finds out who calls, and bounds the concurrent calls of each caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from acfd_stream.errors import AcfdError
from acfd_stream.service.access.callers import Callers, Held, address_caller, enter_caller
from acfd_stream.service.access.permits import caller_name
from acfd_stream.service.handlers import HEALTH_METHODS, REFLECTION_METHODS, rewrapped
from acfd_stream.service.status import abort


class CallerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Counts the calls of each caller; must run inside AccessInterceptor, which knows the token.

    RESOURCE_EXHAUSTED with QuotaFailure and RetryInfo: the caller has its maximum of concurrent calls. Health and
    reflection are not counted.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler, whose calls are counted."""
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith((HEALTH_METHODS, REFLECTION_METHODS)):
            return handler
        return rewrapped(handler, self._counted)

    def _counted(self, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def run(request: Any, context: Any) -> Any:
            caller = caller_name() or address_caller(context.peer())
            enter_caller(caller)
            try:
                release = self._callers.hold(caller, Held.CALLS)
            except AcfdError as error:
                abort(context, error)
            if not context.add_callback(release):
                release()  # the call has already ended
            return behaviour(request, context)

        return run
