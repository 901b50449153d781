"""A real Prometheus scrapes a real server and answers every query that docs/metrics.md gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from acfd_stream.service.server import Server
from tests.deploy.conftest import program
from tests.deploy.real_prometheus import Api, running
from tests.service.metrics_page import goodput_query, rows
from tests.service.watched import LIVE, send, streamable_clip, watched_server

TIMEOUT_SECONDS = 60
_CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs: [{{job_name: acfd_stream, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


def values(api: Api, expression: str) -> list[float]:
    """Values of an instant vector, or the scalar."""
    data = api.get("query", query=expression)
    if data["resultType"] == "scalar":
        return [float(data["result"][1])]
    return [float(entry["value"][1]) for entry in data["result"]]


def await_value(api: Api, expression: str, wanted: float) -> None:
    """Return when the sum of ``expression`` has been scraped as ``wanted``."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while values(api, f"sum({expression})") != [wanted]:
        assert time.monotonic() < end, f"{expression} is {values(api, expression)}, not {wanted}"
        time.sleep(0.1)


def found(api: Api, expression: str) -> list[float]:
    """Its values, after as long as it may take: what a scrape that came too late leaves is no data until the next."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while not (data := values(api, expression)) and time.monotonic() < end:
        time.sleep(0.1)
    return data


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Api]]:
    """A server that has answered a live stream while it was scraped: before, and after."""
    folder = tmp_path_factory.mktemp("prometheus")
    with watched_server(folder) as server:
        assert server.dashboard is not None
        config = folder / "prometheus.yml"
        config.write_text(_CONFIG.format(port=server.dashboard.port))
        with running(program("prometheus"), config) as api:
            await_value(api, "acfd_slo_target_seconds", 0.05)
            assert send(server, streamable_clip(folder), **LIVE, drop_policy="drop_oldest") == 60
            await_value(api, "acfd_frames_total", 60)
            await_value(api, 'grpc_server_handled_total{grpc_method="Track"}', 1)
            yield server, api


def test_it_counts_every_frame_once(scraped: tuple[Server, Api]) -> None:
    _, api = scraped
    answered, *_ = found(api, 'sum(acfd_frame_latency_seconds_count{mode="live"})')
    lost, *_ = found(api, "sum(acfd_frames_dropped_total)")
    assert answered + lost == 60
    assert answered > 0


def test_goodput_is_the_share_of_frames_within_the_objective(scraped: tuple[Server, Api]) -> None:
    server, api = scraped
    value = server.metrics.registry.get_sample_value
    within = value("acfd_frame_latency_seconds_bucket", {"mode": "live", "path": "bytes", "le": "0.05"})
    assert within is not None
    assert found(api, goodput_query()) == [pytest.approx(within / 60, abs=0.01)]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_the_examples_of_the_page_return_data(row: Any, scraped: tuple[Server, Api]) -> None:
    assert row.name in row.example
    assert found(scraped[1], row.example) != []


def test_nothing_is_open_when_the_stream_has_ended(scraped: tuple[Server, Api]) -> None:
    for gauge in ("acfd_streams_active", "acfd_queue_depth", "acfd_inflight_bytes"):
        await_value(scraped[1], gauge, 0)
