"""Calls of every shape and end, on a real server, as the counters see them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from acfd_stream.metrics import Metrics
from acfd_stream.service.interceptors.call_metrics import CallMetricsInterceptor
from acfd_stream.v1 import face_track_pb2 as pb
from acfd_stream.v1 import face_track_pb2_grpc as rpc
from tests.service.small_server import small_server

NAME = "acfd_stream.v1.FaceTrackService"
TIMEOUT_SECONDS = 20


class Servicer(rpc.FaceTrackServiceServicer):
    """Does what a request's text says."""

    def Detect(self, request: pb.DetectRequest, context: grpc.ServicerContext) -> pb.DetectResponse:  # noqa: N802
        if request.image == b"abort":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "as asked")
        if request.image == b"raise":
            raise KeyError("as asked")
        return pb.DetectResponse()

    def Track(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[pb.TrackResponse]:  # noqa: N802
        for _ in requests:
            yield pb.TrackResponse()

    def TrackUri(self, request: Any, context: grpc.ServicerContext) -> Iterator[pb.TrackUriResponse]:  # noqa: N802
        gone = threading.Event()
        context.add_callback(gone.set)
        yield pb.TrackUriResponse()
        gone.wait(TIMEOUT_SECONDS)


class Handled:
    """The counters, with a way to wait for a call's end: the client may see it before the server does."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self._ended = threading.Semaphore(0)
        count = self.metrics.call_handled

        def call_handled(*arguments: Any) -> None:
            count(*arguments)
            self._ended.release()

        self.metrics.call_handled = call_handled  # type: ignore[method-assign]

    def value(self, name: str, method: str, kind: str, **labels: str) -> float | None:
        assert self._ended.acquire(timeout=TIMEOUT_SECONDS)
        self._ended.release()
        service = NAME if method != "unknown" else "unknown"
        labels |= {"grpc_type": kind, "grpc_service": service, "grpc_method": method}
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def handled() -> Handled:
    return Handled()


@pytest.fixture
def channel(handled: Handled) -> Iterator[grpc.Channel]:
    services = [pb.DESCRIPTOR.services_by_name["FaceTrackService"]]
    interceptor = CallMetricsInterceptor(handled.metrics, services)
    with small_server([interceptor], Servicer()) as address, grpc.insecure_channel(address) as channel:
        yield channel


def test_an_answered_call_counts_as_ok_with_its_messages(handled: Handled, channel: grpc.Channel) -> None:
    rpc.FaceTrackServiceStub(channel).Detect(pb.DetectRequest(), timeout=TIMEOUT_SECONDS)
    assert handled.value("grpc_server_handled_total", "Detect", "unary", grpc_code="OK") == 1
    for name in ("started_total", "msg_received_total", "msg_sent_total", "handling_seconds_count"):
        assert handled.value(f"grpc_server_{name}", "Detect", "unary") == 1


@pytest.mark.parametrize(("image", "code"), [(b"abort", "InvalidArgument"), (b"raise", "Unknown")])
def test_a_failed_call_counts_with_its_code(handled: Handled, channel: grpc.Channel, image: bytes, code: str) -> None:
    with pytest.raises(grpc.RpcError):
        rpc.FaceTrackServiceStub(channel).Detect(pb.DetectRequest(image=image), timeout=TIMEOUT_SECONDS)
    assert handled.value("grpc_server_handled_total", "Detect", "unary", grpc_code=code) == 1
    assert handled.value("grpc_server_msg_sent_total", "Detect", "unary") in (None, 0)


def test_messages_of_a_stream_are_counted_both_ways(handled: Handled, channel: grpc.Channel) -> None:
    answers = rpc.FaceTrackServiceStub(channel).Track(iter([pb.TrackRequest()] * 5), timeout=TIMEOUT_SECONDS)
    assert len(list(answers)) == 5
    assert handled.value("grpc_server_handled_total", "Track", "bidi_stream", grpc_code="OK") == 1
    assert handled.value("grpc_server_msg_received_total", "Track", "bidi_stream") == 5
    assert handled.value("grpc_server_msg_sent_total", "Track", "bidi_stream") == 5


def test_a_stream_that_its_client_leaves_counts_as_cancelled(handled: Handled, channel: grpc.Channel) -> None:
    answers = rpc.FaceTrackServiceStub(channel).TrackUri(pb.TrackUriRequest(), timeout=TIMEOUT_SECONDS)
    next(answers)
    answers.cancel()
    assert handled.value("grpc_server_handled_total", "TrackUri", "server_stream", grpc_code="Cancelled") == 1


def test_a_stream_that_takes_too_long_counts_as_such(handled: Handled, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError):
        list(rpc.FaceTrackServiceStub(channel).TrackUri(pb.TrackUriRequest(), timeout=0.2))
    assert handled.value("grpc_server_handled_total", "TrackUri", "server_stream", grpc_code="DeadlineExceeded") == 1


@pytest.mark.parametrize("path", ["/no.such/Method", f"/{NAME}/NoSuchMethod"])
def test_a_callers_own_names_do_not_become_labels(handled: Handled, channel: grpc.Channel, path: str) -> None:
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(path)(b"", timeout=TIMEOUT_SECONDS)
    assert handled.value("grpc_server_handled_total", "unknown", "unary", grpc_code="Unimplemented") == 1
    labels = [sample.labels for family in handled.registry.collect() for sample in family.samples]
    assert not any("no.such" in str(each) or "NoSuchMethod" in str(each) for each in labels)
