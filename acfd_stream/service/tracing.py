"""OpenTelemetry spans, if the extra "otel" is installed and an endpoint is set; otherwise nothing, at no cost.

The only file that imports the SDK. A client's trace continues here: its W3C context is in the metadata of the call.
opentelemetry-instrumentation-grpc would be one more dependency, and no shorter: sampling, export and shutdown stay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from acfd_stream.config import otlp_endpoint
from acfd_stream.errors import BackendUnavailable
from acfd_stream.service.settings import TraceConfig

Metadata = Iterable[tuple[str, str | bytes]]


class Tracing:
    """Opens one span per call. Without a provider it does nothing."""

    def __init__(self, provider: Any = None) -> None:
        """Trace to an OpenTelemetry ``TracerProvider``; nowhere if None."""
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("acfd_stream.service")

    @classmethod
    def open(cls, config: TraceConfig) -> Tracing:
        """Tracing as configured by the settings and the environment.

        Raises:
            BackendUnavailable: the settings have an endpoint, but the extra "otel" is not installed.
        """
        endpoint = config.endpoint or otlp_endpoint()
        if not endpoint:
            return cls()
        try:
            return cls(_provider(config, endpoint))
        except ModuleNotFoundError as error:
            if not config.endpoint:
                return cls()
            message = f"traces to {config.endpoint} need {error.name}; pip install 'acfd-stream[otel]'"
            raise BackendUnavailable(message) from error

    @property
    def is_on(self) -> bool:
        """Whether calls are traced."""
        return self._tracer is not None

    def call(self, method: str, metadata: Metadata) -> AbstractContextManager[Callable[[str], None] | None]:
        """A span around a call of ``method``, child of the client span; yields what sets its status, or None."""
        if self._tracer is None:
            return contextlib.nullcontext()
        return self._span(method, metadata)

    def close(self) -> None:
        """Export the remaining spans, and stop."""
        if self._provider is not None:
            self._provider.shutdown()

    @contextlib.contextmanager
    def _span(self, method: str, metadata: Metadata) -> Iterator[Callable[[str], None]]:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        parent = TraceContextTextMapPropagator().extract(carrier)
        service, _, name = method.strip("/").partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        spans = self._tracer.start_as_current_span(  # type: ignore[union-attr]  # is_on
            method.strip("/"), context=parent, kind=SpanKind.SERVER, attributes=attributes, record_exception=False
        )
        with spans as span:

            def note(code: str) -> None:
                span.set_attribute("rpc.grpc.status", code)
                if code not in ("OK", "CANCELLED"):
                    span.set_status(Status(StatusCode.ERROR, code))

            yield note


def current_trace_id() -> str:
    """Trace id of the current span, 32 hex digits; "" without one."""
    try:
        from opentelemetry import trace
    except ModuleNotFoundError:
        return ""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def _provider(config: TraceConfig, endpoint: str) -> Any:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    resource = Resource.create({"service.name": config.service_name})
    provider = TracerProvider(resource=resource, sampler=ParentBasedTraceIdRatio(config.ratio))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider
