"""A real Prometheus, with the rules of deploy/, scrapes a real service at work: the dashboard shows something."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from acfd_stream.client.client import Client, StreamOptions
from acfd_stream.config import SchedulerConfig
from acfd_stream.errors import AcfdError
from acfd_stream.service.server import Server
from acfd_stream.service.settings import ServiceSettings, SourceSettings
from acfd_stream.v1 import job_pb2, job_pb2_grpc
from tests.deploy import real_prometheus
from tests.deploy.expressions import dashboard_expressions, recorded
from tests.detect.tiny_model import write_tiny_model
from tests.pipeline.conftest import DETECT, SIZE, write_clip
from tests.service.rig import OBJECTIVE_SECONDS, ROOMY

PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("media") / "clip.mp4")


@pytest.fixture(scope="module")
def service(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = ServiceSettings(
        listen="127.0.0.1:0",
        metrics="127.0.0.1:0",
        model=str(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")),
        device="cpu",
        detect=DETECT,
        scheduler=SchedulerConfig(warm_sizes=(SIZE,)),
        sources=SourceSettings(folders=(clip.parent,)),
        capacity=ROOMY,
        objective_seconds=OBJECTIVE_SECONDS,
    )
    with Server(settings) as server:
        yield server


def submit_job(service: Server, clip: Path) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
        job_pb2_grpc.JobServiceStub(channel).SubmitJob(job_pb2.SubmitJobRequest(uri=str(clip)), timeout=20)


def work(client: Client, clip: Path, options: StreamOptions) -> None:
    with client.track(str(clip), options) as stream:
        for _ in stream:
            pass


def keep_busy(client: Client, clip: Path, is_over: threading.Event) -> None:
    """Streams of every kind, one after the other: live, file, and one that is no video; and calls beside them."""
    live = StreamOptions(mode="live", declared_size=SIZE, declared_fps=24.0)
    while not is_over.is_set():
        work(client, clip, live)
        work(client, clip, StreamOptions())
        client.capacity(SIZE, 24.0)
        with contextlib.suppress(AcfdError), client.track(iter([b"no video"] * 4)) as stream:
            list(stream)


@pytest.fixture(scope="module")
def prometheus_at_work(
    service: Server, clip: Path, prometheus: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[real_prometheus.Api]:
    """It scrapes while clips are tracked."""
    folder, is_over = tmp_path_factory.mktemp("prometheus"), threading.Event()
    submit_job(service, clip)
    assert service.dashboard is not None
    config = real_prometheus.write_config(folder, f"127.0.0.1:{service.dashboard.port}")
    with (
        Client(f"127.0.0.1:{service.port}") as client,
        real_prometheus.running(prometheus, config) as api,
    ):
        load = threading.Thread(target=keep_busy, args=(client, clip, is_over))
        load.start()
        try:
            yield api
        finally:
            is_over.set()
            load.join()


def without_data(api: real_prometheus.Api, expressions: dict[str, str]) -> list[str]:
    """Those of ``expressions`` that have none, after as long as it may take."""
    missing, until = dict(expressions), time.monotonic() + PATIENCE_SECONDS
    while missing and time.monotonic() < until:
        missing = {where: text for where, text in missing.items() if not api.samples(text)}
        time.sleep(0.2)  # the next scrape
    return list(missing)


def test_every_panel_shows_something(prometheus_at_work: real_prometheus.Api) -> None:
    expressions = {entry.where: entry.text for entry in dashboard_expressions()}
    assert without_data(prometheus_at_work, expressions) == []


def test_every_recording_rule_records(prometheus_at_work: real_prometheus.Api) -> None:
    assert without_data(prometheus_at_work, {name: name for name in recorded()}) == []


def test_no_rule_fails_and_the_target_is_well(prometheus_at_work: real_prometheus.Api) -> None:
    assert without_data(prometheus_at_work, {"up": 'up{job="acfd-stream"} == 1'}) == []
    groups = prometheus_at_work.get("rules")["groups"]
    assert [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"] == []
    (target,) = prometheus_at_work.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
