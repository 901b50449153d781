"""The table of docs/metrics.md as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|(.*?)\| (.+) \| `(.+)` \|$")
ANY = frozenset({"*any*"})


@dataclass(frozen=True)
class Row:
    """One metric, as the page says it."""

    name: str
    kind: str
    labels: dict[str, frozenset[str]]  # label → its values
    example: str


def rows(page: Path = PAGE) -> list[Row]:
    """Every row of a page's table of metrics."""
    return [_row(found) for line in page.read_text().splitlines() if (found := _ROW.match(line))]


def goodput_query() -> str:
    """The query in the page's block, on one line."""
    found = re.search(r"```promql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return " ".join(found[1].split())


def _row(found: re.Match[str]) -> Row:
    parts = [part.partition(":") for part in found[3].split(";") if part.strip()]
    labels = {name.strip(" `"): frozenset(values.strip().split(", ")) for name, _, values in parts}
    return Row(found[1], found[2], labels, found[5])
