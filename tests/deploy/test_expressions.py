"""Dashboard and alerts ask for nothing that the service does not export."""

from __future__ import annotations

import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from tests.deploy.expressions import (
    Expression,
    dashboard_expressions,
    exported,
    grouping_labels,
    panels,
    recorded,
    rule_expressions,
    selectors,
)

EXPRESSIONS = [*dashboard_expressions(), *rule_expressions()]
TARGET_LABELS = {"job", "instance", "accelerator"}  # Prometheus adds them, see prometheus.yml
FOREIGN = {  # not ours: Prometheus', and those that client libraries export of their process
    "up": set(),
    "ALERTS": {"alertname", "alertstate"},
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds_total": set(),
}
OPEN_LABELS = {"backend", "precision", "trt", "sm", "grpc_code", "grpc_type"}  # have values that no enum lists


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_every_name_label_and_value_is_exported(expression: Expression) -> None:
    known = exported()
    found = selectors(expression.text)
    assert found
    for selector in found:
        assert selector.name in known.keys() | recorded() | FOREIGN.keys()
        labels = known.get(selector.name, {label: set() for label in FOREIGN.get(selector.name, ())})
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels.keys() | TARGET_LABELS
            if selector.name in known and matcher.name not in TARGET_LABELS | OPEN_LABELS:
                wanted = matcher.value.split("|")
                assert set(wanted) <= labels[matcher.name], f"{matcher.name} of {selector.name}"


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_it_groups_by_labels_that_are_there(expression: Expression) -> None:
    known = exported()
    labels = {label for selector in selectors(expression.text) for label in known.get(selector.name, {})}
    assert grouping_labels(expression.text) <= labels | TARGET_LABELS


def test_the_check_sees_a_name_that_is_not_exported() -> None:
    wrong = 'sum(rate(acfd_frame_latency_seconds_bucket{le="0.06"}[5m])) / on (stage) acfd_frames'
    names = [selector.name for selector in selectors(wrong)]
    assert names == ["acfd_frame_latency_seconds_bucket", "acfd_frames"]
    assert "acfd_frames" not in exported()
    assert grouping_labels(wrong) == {"stage"}
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql_parser.parse("sum by (le (acfd_frames)")


def test_the_real_prometheus_parses_the_dashboard(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": entry.text} for n, entry in enumerate(dashboard_expressions())]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
    assert f"{len(rules)} rules found" in done.stdout, done.stdout + done.stderr


def test_the_objective_is_read_off_an_exact_edge() -> None:
    goodput = [entry for entry in rule_expressions() if entry.where.startswith("job:acfd_live_goodput")]
    assert len(goodput) == 8
    assert all('le="0.05"' in entry.text for entry in goodput)


def test_no_panel_lies_on_another_and_each_says_what_it_shows() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        for cell in ((x, y) for x in range(place["w"]) for y in range(place["h"])):
            where = (place["x"] + cell[0], place["y"] + cell[1])
            assert where not in taken, f"{panel['title']} lies on {taken[where]}"
            taken[where] = panel["title"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["description"]
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len({panel["title"] for panel in panels()}) == len(panels())


def test_every_panel_asks_the_data_source_that_is_provisioned() -> None:
    folder = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    wanted = {target["datasource"]["uid"] for panel in panels() for target in panel.get("targets", [])}
    assert wanted == {source["uid"] for source in sources}


@pytest.mark.parametrize(
    "wanted",
    ["heatmap", "p50, p95, p99", "Goodput", "Error budget", "Stage split", "Streams", "Batch size", "Headroom"]
    + ["Drops by reason", "Archive progress"],
)
def test_the_dashboard_shows_what_it_is_for(wanted: str) -> None:
    assert any(wanted in panel["title"] or wanted == panel["type"] for panel in panels())
