"""docs/metrics.md and a live scrape say the same, both ways."""

from __future__ import annotations

from collections import defaultdict

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.metrics_page import ANY, PAGE, Row, rows
from tests.service.watched import LIVE, get, send, streamable_clip, url, watched_server


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a server exports that has answered a stream."""
    folder = tmp_path_factory.mktemp("scraped")
    with watched_server(folder) as server:
        assert send(server, streamable_clip(folder), **LIVE) == 60
        status, headers, body = get(url(server, "/metrics"))
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    return body.decode()


def exported(text: str) -> dict[str, Row]:
    """Metric → the page's row that would describe what was scraped."""
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels: dict[str, set[str]] = defaultdict(set)
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    labels[label].add(value)
        found[name] = Row(name, family.type, {label: frozenset(values) for label, values in labels.items()}, "")
    return found


def test_the_page_lists_every_metric_and_no_other(scraped: str) -> None:
    assert sorted(row.name for row in rows()) == sorted(exported(scraped))


def test_types_labels_and_values_are_those_of_the_scrape(scraped: str) -> None:
    live = exported(scraped)
    for row in rows():
        assert row.kind == live[row.name].kind
        assert row.labels.keys() == live[row.name].labels.keys(), row.name
        for label, values in row.labels.items():
            assert values in (ANY, live[row.name].labels[label]), f"{label} of {row.name}"


def test_closed_sets_are_listed(scraped: str) -> None:
    open_labels = {label for row in rows() for label, values in row.labels.items() if values == ANY}
    engine, build = {"backend", "precision", "trt", "sm", "decoder"}, {"version", "model", "model_version"}
    assert open_labels == engine | build | {"grpc_type", "grpc_service", "grpc_method", "grpc_code"}


def test_an_edge_of_latency_is_the_objective(scraped: str) -> None:
    edges = [line for line in scraped.splitlines() if line.startswith("acfd_frame_latency_seconds_bucket")]
    assert sum('le="0.05"' in line for line in edges) == 6
    assert 'le="0.05"' in PAGE.read_text()


def test_no_label_holds_what_a_caller_chose(scraped: str) -> None:
    assert "clip.mkv" not in scraped
    assert scraped.count("\n") < 1000
