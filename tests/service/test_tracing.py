from __future__ import annotations

import sys
from typing import Any

import pytest

from acfd_stream.client.client import Client
from acfd_stream.errors import BackendUnavailable, ConfigError
from acfd_stream.service.interceptors.call_log import CallLogInterceptor
from acfd_stream.service.settings import TraceConfig
from acfd_stream.service.tracing import Tracing
from acfd_stream.wire.trace import trace_metadata
from tests.service.small_server import small_server


@pytest.fixture
def spans() -> Any:
    """A provider, and what it exported."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_a_call_is_a_span_below_that_of_its_caller(spans: Any) -> None:
    provider, exporter = spans
    server = small_server([CallLogInterceptor(Tracing(provider))])
    with server as address, Client(address) as client, provider.get_tracer("test").start_as_current_span("caller"):
        client.capacity((1, 1), 1.0)
        list(client.track([b""]))
    capacity, track, caller = exporter.get_finished_spans()
    assert capacity.name == "acfd_stream.v1.FaceTrackService/GetCapacity"
    assert track.attributes["rpc.method"] == "Track"
    assert track.attributes["rpc.grpc.status"] == "OK"
    assert {capacity.parent.span_id, track.parent.span_id} == {caller.context.span_id}
    assert {capacity.context.trace_id, track.context.trace_id} == {caller.context.trace_id}


def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    tracing = Tracing.open(TraceConfig())
    assert not tracing.is_on
    with tracing.call("/a/b", []) as note:
        assert note is None
    assert trace_metadata() == []
    tracing.close()


def test_an_endpoint_without_the_library_is_told_and_one_of_the_environment_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(BackendUnavailable, match=r"acfd-stream\[otel\]"):
        Tracing.open(TraceConfig(endpoint="http://localhost:4317"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    assert not Tracing.open(TraceConfig()).is_on
    assert trace_metadata() == []


def test_an_endpoint_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1")
    tracing = Tracing.open(TraceConfig())
    assert tracing.is_on
    tracing.close()


@pytest.mark.parametrize("ratio", [0.0, 1.5, -1.0])
def test_the_ratio_has_a_range(ratio: float) -> None:
    with pytest.raises(ConfigError, match="ratio"):
        TraceConfig(ratio=ratio)
