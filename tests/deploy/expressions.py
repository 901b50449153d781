"""Every PromQL expression of dashboard and rules, and what is named in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client import CollectorRegistry

from acfd_stream.metrics import CallType, Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "acfd_stream.json"
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".*", "$mode": "live|file"}
"""What Grafana would put in."""


@dataclass(frozen=True)
class Expression:
    """One expression, and where it stands."""

    where: str
    text: str

    def __str__(self) -> str:
        """Its place, for the names of tests."""
        return self.where


def filled(text: str) -> str:
    """``text`` with Grafana's variables put in."""
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    return text


def panels() -> list[dict[str, Any]]:
    """Panels of the dashboard, rows included."""
    return list(json.loads(DASHBOARD.read_text())["panels"])


def dashboard_expressions() -> list[Expression]:
    """Those of the dashboard, variables put in."""
    return [
        Expression(f"{panel['title']} {target['refId']}", filled(target["expr"]))
        for panel in panels()
        for target in panel.get("targets", [])
    ]


def rule_expressions() -> list[Expression]:
    """Those of recording rules and alerts."""
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return [Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules]


def recorded() -> set[str]:
    """Names that recording rules make."""
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def nodes(node: Any) -> Iterator[Any]:
    """``node`` of a parsed expression and all below it."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, str):
            yield from nodes(child)
    for child in getattr(node, "args", None) or []:
        yield from nodes(child)


def selectors(text: str) -> list[Any]:
    """Vector selectors of an expression."""
    return [node for node in nodes(promql_parser.parse(text)) if isinstance(node, promql_parser.VectorSelector)]


def grouping_labels(text: str) -> set[str]:
    """Labels that an expression groups or matches by."""
    lists = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", text)
    return {label.strip() for inner in lists for label in inner.split(",") if label.strip()}


def exported() -> dict[str, dict[str, set[str]]]:
    """Sample → label → its values, of everything that the service exports from its start on."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.engine("openvino", "f32")
    metrics.build("0", "model", "1")
    for method in ("Track", "TrackUri"):
        metrics.call_started(CallType.UNARY, "service", method)
        metrics.call_handled(CallType.UNARY, "service", method, "OK", 1.0)
    found: dict[str, dict[str, set[str]]] = {}
    for family in registry.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found
