"""The trace context of a call."""

from __future__ import annotations


def trace_metadata() -> list[tuple[str, str]]:
    """The W3C trace context of the current span as call metadata; [] without a span."""
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ModuleNotFoundError:
        return []
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return list(carrier.items())
