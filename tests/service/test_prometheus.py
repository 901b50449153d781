"""A real Prometheus scrapes a real server and answers every query that docs/metrics.md gives."""

from __future__ import annotations

import queue
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from acfd_stream.service.server import Server
from tests.deploy.conftest import program
from tests.service.metrics_page import goodput_query, rows
from tests.service.watched import LIVE, get, get_json, send, streamable_clip, watched_server

TIMEOUT_SECONDS = 60
_CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs: [{{job_name: acfd_stream, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


class Prometheus:
    """A running one, asked over its own API."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1/query?"
        end = time.monotonic() + TIMEOUT_SECONDS
        while get(f"http://127.0.0.1:{port}/-/ready")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.1)

    def query(self, expression: str) -> list[float]:
        """Values of an instant vector, or the scalar."""
        data = get_json(self._base + urlencode({"query": expression}))["data"]
        if data["resultType"] == "scalar":
            return [float(data["result"][1])]
        return [float(entry["value"][1]) for entry in data["result"]]

    def await_value(self, expression: str, wanted: float) -> None:
        """Return when the sum of ``expression`` has been scraped as ``wanted``."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while self.query(f"sum({expression})") != [wanted]:
            assert time.monotonic() < end, f"{expression} is {self.query(expression)}, not {wanted}"
            time.sleep(0.1)


@contextmanager
def prometheus_of(target_port: int, folder: Path) -> Iterator[Prometheus]:
    """Prometheus on a free port, scraping ``target_port``."""
    config = folder / "prometheus.yml"
    config.write_text(_CONFIG.format(port=target_port))
    command = [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += ["--web.listen-address=127.0.0.1:0"]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    port: queue.Queue[int] = queue.Queue()
    reader = threading.Thread(target=_read_port, args=(running.stderr, port))
    reader.start()
    try:
        yield Prometheus(port.get(timeout=TIMEOUT_SECONDS))
    finally:
        running.terminate()
        running.wait(TIMEOUT_SECONDS)
        reader.join()
        assert running.stderr is not None
        running.stderr.close()


def _read_port(log: Any, port: queue.Queue[int]) -> None:
    for line in log:
        if found := re.search(r'msg="Listening on" address=\S+:(\d+)', line):
            port.put(int(found[1]))


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Prometheus]]:
    """A server that has answered a live stream while it was scraped: before, and after."""
    folder = tmp_path_factory.mktemp("prometheus")
    with watched_server(folder) as server:
        assert server.monitor is not None
        with prometheus_of(server.monitor.port, folder) as prometheus:
            prometheus.await_value("acfd_slo_target_seconds", 0.05)
            assert send(server, streamable_clip(folder), **LIVE, drop_policy="drop_oldest") == 60
            prometheus.await_value("acfd_frames_total", 60)
            prometheus.await_value('grpc_server_handled_total{grpc_method="Track"}', 1)
            yield server, prometheus


def test_it_counts_every_frame_once(scraped: tuple[Server, Prometheus]) -> None:
    _, prometheus = scraped
    answered, *_ = prometheus.query('sum(acfd_frame_latency_seconds_count{mode="live"})')
    lost, *_ = prometheus.query("sum(acfd_frames_dropped_total)")
    assert answered + lost == 60
    assert answered > 0


def test_goodput_is_the_share_of_frames_within_the_objective(scraped: tuple[Server, Prometheus]) -> None:
    server, prometheus = scraped
    value = server.metrics.registry.get_sample_value
    within = value("acfd_frame_latency_seconds_bucket", {"mode": "live", "path": "bytes", "le": "0.05"})
    assert within is not None
    assert prometheus.query(goodput_query()) == [pytest.approx(within / 60, abs=0.01)]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_the_examples_of_the_page_return_data(row: Any, scraped: tuple[Server, Prometheus]) -> None:
    assert row.name in row.example
    assert scraped[1].query(row.example) != []


def test_nothing_is_open_when_the_stream_has_ended(scraped: tuple[Server, Prometheus]) -> None:
    prometheus = scraped[1]
    for gauge in ("acfd_streams_active", "acfd_queue_depth", "acfd_inflight_bytes"):
        prometheus.await_value(gauge, 0)
