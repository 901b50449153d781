"""What every call passes through before it reaches a servicer, outermost first.

| module | does |
|---|---|
| ``call_metrics`` | counts calls, messages, codes and times, under the names of the Go libraries |
| ``call_log`` | sets the request id and the trace, and logs one line per call |
| ``access.interceptor`` | checks token and right (in ``access``) |
| ``short_memory`` | refuses new streams, pictures and jobs while memory is short |
| ``status`` | turns exceptions into a status (``service/status.py``) |
| ``malformed`` | turns bytes that are not the expected message into INVALID_ARGUMENT |
| ``not_ready`` | refuses calls until the engine is warm |

``server`` builds the chain in this order. The order matters: metrics and log must see every way in which a call can
end, so they are outside of access and status. ``malformed`` raises a ConfigError, so ``status`` must be outside of it.

A call reaches the chain when its first message has arrived; ``calls.handler`` waits for it on the event loop, and ends
a call that stays silent. Only a refusal does not wait.

An interceptor wraps the behaviour of a handler with ``handlers.rewrapped`` and keeps its shape (unary or stream). It
knows methods by name only. It does not read messages, streams or jobs.

This package may import ``access``, ``handlers``, ``status``, ``logs``, ``memory_guard`` and ``tracing`` of the service,
and ``metrics``.
"""
