"""What every call passes through before it reaches a servicer, outermost first.

| module | does |
|---|---|
| ``request_timeout`` | ends a unary call whose request does not arrive in time; bounds calls of reflection |
| ``call_metrics`` | counts calls, messages, codes and times, under the names of the Go libraries |
| ``call_log`` | sets the request id and the trace, and logs one line per call |
| ``access.interceptor`` | checks token, right and quota (in ``access``) |
| ``status`` | turns exceptions into a status (``service/status.py``) |
| ``malformed`` | turns bytes that are not the expected message into INVALID_ARGUMENT |
| ``not_ready`` | refuses calls until the engine is warm |

``server`` builds the chain in this order. The order matters: metrics and log must see every way in which a call can
end, so they are outside of access and status. ``malformed`` raises a ConfigError, so ``status`` must be outside of it.

gRPC for Python gives a thread to each call before its request has arrived. A client that opens calls and sends nothing
could therefore block all threads; ``request_timeout`` ends such calls. Streams have their own limit, because their
first message is read by ``streams.request_reader``.

An interceptor wraps the behaviour of a handler with ``handlers.rewrapped`` and keeps its shape (unary or stream). It
knows methods by name only. It does not read messages, streams or jobs.

This package may import ``handlers``, ``status``, ``logs`` and ``tracing`` of the service, and ``metrics``.
"""
