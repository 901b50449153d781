"""The trace context that goes with a call."""

from __future__ import annotations


def trace_metadata() -> list[tuple[str, str]]:
    """W3C context of the span that is open here, as metadata of a call; [] where there is none."""
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ModuleNotFoundError:
        return []
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return list(carrier.items())
