"""Prometheus takes deploy/; every alert is shown to fire and to stay quiet, and tells what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULE_TESTS = ["alerts_test.yml", "alerts_slow_test.yml"]


def run(*command: str) -> str:
    """What ``command`` says; it must do well."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=DEPLOY)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, as a repository's web pages name them."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_prometheus_takes_its_config(promtool: str) -> None:
    assert "1 rule files found" in run(promtool, "check", "config", "prometheus.yml")


def test_prometheus_takes_the_rules(promtool: str, rule_groups: list[dict[str, Any]]) -> None:
    count = sum(len(group["rules"]) for group in rule_groups)
    assert f"{count} rules found" in run(promtool, "check", "rules", "alerts.yml")


@pytest.mark.parametrize("name", RULE_TESTS)
def test_the_rules_do_what_their_tests_say(promtool: str, name: str) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", name)


def test_a_wrong_rule_is_seen_by_them(promtool: str, tmp_path: Path) -> None:
    text = (DEPLOY / "alerts.yml").read_text()
    assert text.count("14.4 * 0.01") == 2
    (tmp_path / "alerts.yml").write_text(text.replace("14.4 * 0.01", "24.4 * 0.01"))
    tests = yaml.safe_load((DEPLOY / RULE_TESTS[0]).read_text())
    tests["tests"] = [test for test in tests["tests"] if "a fifth of the frames late" in test["name"]]
    (tmp_path / "one_test.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run([promtool, "test", "rules", "one_test.yml"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "AcfdObjectiveBurnFast" in done.stdout + done.stderr


def test_every_alert_is_made_to_fire_and_shown_to_stay_quiet(rule_groups: list[dict[str, Any]]) -> None:
    fires, quiet = set(), set()
    for name in RULE_TESTS:
        for test in yaml.safe_load((DEPLOY / name).read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                (fires if case.get("exp_alerts") else quiet).add(case["alertname"])
    assert fires == set(alerts(rule_groups))
    assert quiet == set(alerts(rule_groups))


def test_every_alert_says_how_urgent_it_is_and_links_to_its_place_in_the_runbook(
    rule_groups: list[dict[str, Any]],
) -> None:
    anchors = headings(DEPLOY.parent / "docs" / "operations.md")
    for name, rule in alerts(rule_groups).items():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert name.lower() in anchors


def test_the_runbook_has_no_alert_that_is_gone(rule_groups: list[dict[str, Any]]) -> None:
    anchors = headings(DEPLOY.parent / "docs" / "operations.md")
    assert {name for name in anchors if name.startswith("acfd") and name != "acfd_stream"} == {
        name.lower() for name in alerts(rule_groups)
    }


def test_windows_of_burn_rates_come_in_pairs_of_twelve_to_one(rule_groups: list[dict[str, Any]]) -> None:
    minutes = {"m": 1, "h": 60, "d": 1440}
    rules = [rule for name, rule in alerts(rule_groups).items() if name.startswith("AcfdObjectiveBurn")]
    assert len(rules) == 4
    for rule in rules:
        found = re.findall(r"goodput:ratio_rate(\d+)([mhd])", rule["expr"])
        long, short = (int(number) * minutes[unit] for number, unit in found)
        assert long == 12 * short
